#include "services/sign/certificates/resource_names.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

constexpr size_t kMaxSerialDigits = 40;
constexpr size_t kFingerprintDigits = 64;

bool IsLowerHex(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f'); });
}

bool ValidCertificateId(absl::string_view id) {
  if (absl::ConsumePrefix(&id, "fp-")) return id.size() == kFingerprintDigits && IsLowerHex(id);
  return !id.empty() && id.size() <= kMaxSerialDigits && IsLowerHex(id) &&
         (id[0] != '0' || id.size() == 1);
}

// The parts of `tenants/{}/COLLECTION/{}`; false for another form.
bool Split(absl::string_view name, absl::string_view collection, std::string* tenant,
           std::string* id) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[2] != collection) return false;
  const auto parsed = ParseTenantName("", absl::StrCat(parts[0], "/", parts[1]));
  if (!parsed.ok()) return false;
  *tenant = *parsed;
  *id = std::string(parts[3]);
  return true;
}

}  // namespace

std::string AuthorityName::ToString() const {
  return absl::StrCat("tenants/", tenant, "/authorities/", id);
}

std::string CertificateName::ToString() const {
  return absl::StrCat("tenants/", tenant, "/certificates/", id);
}

absl::StatusOr<AuthorityName> ParseAuthorityName(absl::string_view field, absl::string_view name) {
  AuthorityName result;
  if (Split(name, "authorities", &result.tenant, &result.id) && ValidKeyId(result.id)) {
    return result;
  }
  return FieldError(
      field, absl::StrCat("expected tenants/{tenant}/authorities/{authority}, not \"", name, "\""));
}

absl::StatusOr<CertificateName> ParseCertificateName(absl::string_view field,
                                                     absl::string_view name) {
  CertificateName result;
  if (Split(name, "certificates", &result.tenant, &result.id) && ValidCertificateId(result.id)) {
    return result;
  }
  return FieldError(field,
                    absl::StrCat("expected tenants/{tenant}/certificates/{certificate}, where "
                                 "{certificate} is a serial number in lower-case hex without "
                                 "leading zeros or fp- and a fingerprint, not \"",
                                 name, "\""));
}

std::string SerialHex(absl::string_view serial) {
  std::string hex = base::HexEncode(serial);
  const size_t first = hex.find_first_not_of('0');
  if (first == std::string::npos) return "0";
  hex.erase(0, first);
  return hex;
}

absl::StatusOr<std::string> ParseSerialHex(absl::string_view field, absl::string_view hex) {
  const bool empty = hex.empty();
  while (absl::StartsWith(hex, "0")) hex.remove_prefix(1);
  std::string digits = absl::StrCat(hex.size() % 2 == 0 ? "" : "0", hex);
  auto bytes = base::HexDecode(digits);
  if (empty || hex.size() > kMaxSerialDigits || !bytes.ok()) {
    return FieldError(field, "expected a serial number in hex, of at most 20 bytes");
  }
  return bytes;
}

}  // namespace countersign::sign
