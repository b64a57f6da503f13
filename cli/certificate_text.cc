#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/cert_commands.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "libs/pki/certificate.h"
#include "libs/pki/pem.h"

namespace countersign::cli {

namespace pb = ::countersign::sign::v1;

std::string CertificatePem(absl::string_view der) { return pki::FormatPem("CERTIFICATE", der); }

std::string ChainPem(absl::string_view der, const std::vector<std::string>& issuers) {
  std::string pem = CertificatePem(der);
  for (const std::string& issuer : issuers) {
    const absl::StatusOr<pki::Certificate> parsed = pki::ParseCertificate(issuer);
    if (parsed.ok() && parsed->IsSelfIssued() && &issuer == &issuers.back()) break;
    pem += CertificatePem(issuer);
  }
  return pem;
}

std::string Distance(absl::Time time, absl::Time now) {
  return time >= now ? absl::StrCat("in ", DurationText(time - now))
                     : absl::StrCat(DurationText(now - time), " ago");
}

std::string ReasonText(pb::RevocationReason reason) {
  return reason == pb::REVOCATION_REASON_UNSPECIFIED_REASON
             ? "unspecified"
             : EnumText(pb::RevocationReason_descriptor(), reason);
}

std::vector<std::string> ReasonNames() {
  std::vector<std::string> names = EnumNames(pb::RevocationReason_descriptor());
  for (std::string& name : names) {
    if (name == "unspecified-reason") name = "unspecified";
  }
  return names;
}

pb::RevocationReason ParseReason(const std::string& text) {
  if (text == "unspecified") return pb::REVOCATION_REASON_UNSPECIFIED_REASON;
  const auto reason = ParseEnum(pb::RevocationReason_descriptor(), text);
  return reason.ok() ? static_cast<pb::RevocationReason>(*reason)
                     : pb::REVOCATION_REASON_UNSPECIFIED;
}

void ShowCertificate(const pb::Certificate& certificate, absl::Time now, Output* output) {
  const auto field = [&](absl::string_view label, const std::string& value) {
    if (!value.empty()) output->Field(label, value);
  };
  field("Subject", certificate.subject());
  field("Names", absl::StrJoin(certificate.host_names(), ", "));
  field("Issuer", certificate.issuer());
  field("Authority", certificate.authority());
  if (certificate.profile() != pb::CERTIFICATE_PROFILE_UNSPECIFIED) {
    field("Profile", EnumText(pb::CertificateProfile_descriptor(), certificate.profile()));
  }
  field("Owner", certificate.owner_team());
  field("Environment", certificate.environment());
  for (const auto& [name, value] : certificate.labels()) {
    field("Label", absl::StrCat(name, "=", value));
  }
  if (certificate.status() == pb::CERTIFICATE_STATUS_REVOKED ||
      certificate.status() == pb::CERTIFICATE_STATUS_ON_HOLD) {
    output->Field(certificate.status() == pb::CERTIFICATE_STATUS_REVOKED ? "Revoked" : "On hold",
                  absl::StrCat(TimeText(certificate.revocation_time()), ", ",
                               ReasonText(certificate.revocation_reason())),
                  Tone::kBad);
  } else {
    field("Status", EnumText(pb::CertificateStatus_descriptor(), certificate.status()));
  }
  field("Valid from", TimeText(certificate.not_before()));
  field("Expires", absl::StrCat(TimeText(certificate.not_after()), ", ",
                                Distance(FromProto(certificate.not_after()), now)));
  if (certificate.has_renew_time()) field("Renew", TimeText(certificate.renew_time()));
  if (!certificate.replaces().empty()) field("Replaces", LastPart(certificate.replaces()));
  field("Serial", certificate.serial_number());
  field("SHA-256", certificate.fingerprint_sha256());
  field("Key SHA-256", certificate.key_fingerprint());
}

}  // namespace countersign::cli
