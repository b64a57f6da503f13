// Authorities and certificates for tests, made in memory with fresh keys.
#ifndef COUNTERSIGN_LIBS_PKI_TEST_AUTHORITY_H_
#define COUNTERSIGN_LIBS_PKI_TEST_AUTHORITY_H_

#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"

namespace countersign::pki {

struct TestIdentity {
  crypto::PrivateKey key;
  Certificate certificate;
};

// Each fails the test case when something cannot be made. Certificates are valid from an hour ago
// for a day, unless the template says otherwise.

// What a CA, a TLS server and an OCSP signer look like; the issuer's part is filled in by
// IssueTest.
CertificateTemplate TestCaTemplate(absl::string_view subject);
CertificateTemplate TestLeafTemplate(absl::string_view host);
CertificateTemplate TestOcspSignerTemplate(absl::string_view subject);

// A self-signed CA.
TestIdentity MakeTestRoot(crypto::Algorithm algorithm, absl::string_view subject = "CN=Test Root");
// What `issuer` issues by `what` to a key of `algorithm`.
TestIdentity IssueTest(const TestIdentity& issuer, CertificateTemplate what,
                       crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_TEST_AUTHORITY_H_
