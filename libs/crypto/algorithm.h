// The signature and encryption algorithms that the suite knows, and their names.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_ALGORITHM_H_
#define COUNTERSIGN_LIBS_CRYPTO_ALGORITHM_H_

#include <array>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/digest.h"

namespace countersign::crypto {

// A key type together with what it signs. kEd25519 signs whole messages (RFC 8032 section 5.1),
// kEd25519ph SHA-512 digests by the same kind of key; the others sign digests of DigestFor().
enum class Algorithm {
  kEd25519,
  kEd25519ph,
  kEcdsaP256Sha256,
  kEcdsaP384Sha384,
  kRsaPss2048Sha256,
  kRsaPss3072Sha256,
  kRsaPss4096Sha256,
  kRsaPkcs1_2048Sha256,
  kRsaPkcs1_3072Sha256,
  kRsaPkcs1_4096Sha256,
  kHpkeX25519,
};

inline constexpr std::array<Algorithm, 11> kAllAlgorithms = {
    Algorithm::kEd25519,
    Algorithm::kEd25519ph,
    Algorithm::kEcdsaP256Sha256,
    Algorithm::kEcdsaP384Sha384,
    Algorithm::kRsaPss2048Sha256,
    Algorithm::kRsaPss3072Sha256,
    Algorithm::kRsaPss4096Sha256,
    Algorithm::kRsaPkcs1_2048Sha256,
    Algorithm::kRsaPkcs1_3072Sha256,
    Algorithm::kRsaPkcs1_4096Sha256,
    Algorithm::kHpkeX25519,
};

// "ed25519", "ed25519ph", "ecdsa-p256-sha256", "rsa-pss-2048-sha256", "rsa-pkcs1-2048-sha256",
// "hpke-x25519", …
absl::string_view AlgorithmName(Algorithm algorithm);

// Inverse of AlgorithmName. InvalidArgument, listing the names, for another one.
absl::StatusOr<Algorithm> ParseAlgorithm(absl::string_view name);

// The hash whose digest is signed; kNone for kEd25519 (signs messages) and kHpkeX25519 (does not
// sign).
DigestAlgorithm DigestFor(Algorithm algorithm);

// False for kHpkeX25519 alone.
bool CanSign(Algorithm algorithm);

// Sigstore's PublicKeyDetails, "PKIX_ECDSA_P256_SHA_256" and so on; empty for kHpkeX25519.
absl::string_view PkixKeyDetails(Algorithm algorithm);

// Inverse of PkixKeyDetails. InvalidArgument for a name that is unknown or not supported here.
absl::StatusOr<Algorithm> FromPkixKeyDetails(absl::string_view name);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_ALGORITHM_H_
