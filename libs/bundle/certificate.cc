#include "libs/bundle/certificate.h"

#include "absl/status/status.h"
#include "libs/pki/der.h"

namespace countersign::bundle {

absl::StatusOr<std::string> CertificateSpki(absl::string_view der) {
  pki::DerReader in(der);
  pki::DerReader certificate;
  pki::DerReader tbs;
  if (!in.Read(pki::kSequence, &certificate) || !in.empty() ||
      !certificate.Read(pki::kSequence, &tbs)) {
    return absl::InvalidArgumentError("this is not the DER of an X.509 certificate");
  }
  absl::string_view element;
  bool has_version;  // absent in version 1
  if (!tbs.ReadOptional(pki::ContextConstructed(0), &element, &has_version) ||
      !tbs.Read(pki::kInteger, &element)) {
    return absl::InvalidArgumentError("the certificate has no serial number");
  }
  // signature, issuer, validity, subject; then the key.
  for (int i = 0; i < 5; ++i) {
    if (!tbs.ReadElement(pki::kSequence, &element)) {
      return absl::InvalidArgumentError("the certificate ends before its public key");
    }
  }
  return std::string(element);
}

}  // namespace countersign::bundle
