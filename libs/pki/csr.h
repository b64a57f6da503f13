// Certification requests, PKCS#10 (RFC 2986). Values and pure functions, safe to use from any
// thread.
#ifndef COUNTERSIGN_LIBS_PKI_CSR_H_
#define COUNTERSIGN_LIBS_PKI_CSR_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "libs/pki/certificate.h"

namespace countersign::pki {

struct Csr {
  std::string der;
  std::string info;  // the CertificationRequestInfo element
  Name subject;
  std::string subject_der;
  std::string spki_der;
  std::string signature_algorithm;
  std::string signature;
  Extensions extensions;  // of its extensionRequest attribute; empty when it has none

  // InvalidArgument for a kind or size of key that the suite does not know.
  absl::StatusOr<crypto::PublicKey> Key() const;
  // Proof of possession: the request is signed by its own key. FailedPrecondition when not.
  absl::Status CheckSignature() const;
  // The same, by Key() where the caller has it already.
  absl::Status CheckSignature(const crypto::PublicKey& key) const;
};

// The request in `der`, with nothing behind it. InvalidArgument, saying where, when it is not one.
absl::StatusOr<Csr> ParseCsr(absl::string_view der);
// DER, or PEM with exactly one request.
absl::StatusOr<Csr> ParseCsrDerOrPem(absl::string_view bytes);

// A request for `subject` with these alternative names (none: no extensionRequest), signed by
// `key`.
absl::StatusOr<std::string> BuildCsr(const Name& subject, const std::vector<GeneralName>& names,
                                     const crypto::PrivateKey& key);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_CSR_H_
