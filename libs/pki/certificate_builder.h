// Building TBSCertificates (RFC 5280 section 4.1.2).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_CERTIFICATE_BUILDER_H_
#define COUNTERSIGN_LIBS_PKI_CERTIFICATE_BUILDER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/crypto/algorithm.h"
#include "libs/pki/certificate.h"

namespace countersign::pki {

// What a certificate shall say. Empty and absent parts are left out.
struct CertificateTemplate {
  std::string serial;  // big-endian magnitude, 1 to 20 bytes, not zero
  crypto::Algorithm signature_algorithm = crypto::Algorithm::kEcdsaP256Sha256;
  std::string issuer_der;
  std::string subject_der;
  absl::Time not_before;
  absl::Time not_after;
  std::string spki_der;

  std::optional<BasicConstraints> basic_constraints;  // critical
  uint16_t key_usage = 0;                             // critical; 0: absent
  std::vector<std::string> extended_key_usage;        // OID contents
  bool critical_extended_key_usage = false;
  std::vector<GeneralName> subject_alt_names;  // critical when the subject is empty
  NameConstraints name_constraints;            // critical
  std::string subject_key_id;
  std::string authority_key_id;
  std::vector<std::string> ocsp_urls;
  std::vector<std::string> issuer_urls;
  std::string crl_url;
  bool ocsp_no_check = false;
};

// The DER of the TBSCertificate.
std::string BuildTbsCertificate(const CertificateTemplate& what);

// RFC 7093 method 1: the leftmost 160 bits of the SHA-256 of the key's bits.
std::string KeyIdentifier(absl::string_view spki_der);

// 16 random bytes with the first bit clear and the second set: 126 random bits, always as long,
// never zero and positive. RFC 5280 section 4.1.2.2.
std::string RandomSerial();

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_CERTIFICATE_BUILDER_H_
