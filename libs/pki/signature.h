// AlgorithmIdentifiers of signatures in certificates, CRLs, requests and OCSP responses (RFC 5758,
// 8017, 8410), and signing and checking what they stand in.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_SIGNATURE_H_
#define COUNTERSIGN_LIBS_PKI_SIGNATURE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"

namespace countersign::pki {

// The DER of the AlgorithmIdentifier: parameters absent for ECDSA and Ed25519, NULL for PKCS#1
// v1.5, explicit for PSS. Empty for an algorithm that signs no certificates (Ed25519ph, HPKE).
absl::string_view SignatureAlgorithmDer(crypto::Algorithm algorithm);

// Whether `signature` (the contents of the BIT STRING) over `message` is by `key`, as the
// AlgorithmIdentifier `algorithm_der` says: ECDSA with SHA-256 or SHA-384, RSA PKCS#1 v1.5 with
// SHA-256, SHA-384 or SHA-512, RSA PSS with SHA-256, Ed25519. InvalidArgument for another
// algorithm, or one that does not fit the key.
absl::StatusOr<bool> CheckSignature(const crypto::PublicKey& key, absl::string_view algorithm_der,
                                    absl::string_view message, absl::string_view signature);

// SEQUENCE { tbs, algorithm, BIT STRING signature }: the shape of everything signed in PKIX.
std::string AssembleSigned(absl::string_view tbs, crypto::Algorithm algorithm,
                           absl::string_view signature);

// The same, signed here by `key`.
absl::StatusOr<std::string> SignAndAssemble(absl::string_view tbs, const crypto::PrivateKey& key);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_SIGNATURE_H_
