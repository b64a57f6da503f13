#include "services/sign/certificates/foreign_certificates.h"

#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/pem.h"
#include "services/sign/certificates/ownership.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

constexpr size_t kMaxCertificates = 1000;
constexpr size_t kMaxCertificateBytes = 64 << 10;

// The DER of each certificate in `bytes`.
absl::StatusOr<std::vector<std::string>> Split(const std::string& bytes) {
  if (!absl::StrContains(bytes, "-----BEGIN ")) return std::vector<std::string>{bytes};
  ASSIGN_OR_RETURN(std::vector<pki::PemBlock> blocks, pki::ParsePem(bytes));
  std::vector<std::string> ders;
  for (pki::PemBlock& block : blocks) {
    if (block.label == "CERTIFICATE") ders.push_back(std::move(block.der));
  }
  if (ders.empty()) return absl::InvalidArgumentError("no certificate in it");
  return ders;
}

}  // namespace

absl::StatusOr<std::vector<NewCertificate>> ForeignCertificates(
    const v1::ImportCertificatesRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  RETURN_IF_ERROR(CheckOwnership(request.owner_team(), request.environment()));
  std::vector<NewCertificate> all;
  for (int i = 0; i < request.certificates_size(); ++i) {
    const std::string field = absl::StrCat("certificates[", i, "]");
    const auto ders = Split(request.certificates(i));
    if (!ders.ok()) return FieldError(field, ders.status().message());
    for (const std::string& der : *ders) {
      if (der.size() > kMaxCertificateBytes) {
        return FieldError(field, absl::StrCat("a certificate of ", der.size(), " bytes; at most ",
                                              kMaxCertificateBytes, " are taken"));
      }
      auto certificate = pki::ParseCertificate(der);
      if (!certificate.ok()) return FieldError(field, certificate.status().message());
      if (all.size() == kMaxCertificates) {
        return FieldError("certificates", absl::StrCat("at most ", kMaxCertificates, " at once"));
      }
      NewCertificate& added = all.emplace_back();
      added.tenant = tenant;
      added.certificate = *std::move(certificate);
      added.owner_team = request.owner_team();
      added.environment = request.environment();
    }
  }
  if (all.empty()) return FieldError("certificates", "at least one is required");
  return all;
}

}  // namespace countersign::sign
