#include "services/sign/algorithms.h"

#include "services/sign/errors.h"

namespace countersign::sign {

v1::Algorithm ToProto(crypto::Algorithm algorithm) {
  switch (algorithm) {
    case crypto::Algorithm::kEd25519:
      return v1::ALGORITHM_ED25519;
    case crypto::Algorithm::kEd25519ph:
      return v1::ALGORITHM_ED25519PH;
    case crypto::Algorithm::kEcdsaP256Sha256:
      return v1::ALGORITHM_ECDSA_P256_SHA256;
    case crypto::Algorithm::kEcdsaP384Sha384:
      return v1::ALGORITHM_ECDSA_P384_SHA384;
    case crypto::Algorithm::kRsaPss2048Sha256:
      return v1::ALGORITHM_RSA_PSS_2048_SHA256;
    case crypto::Algorithm::kRsaPss3072Sha256:
      return v1::ALGORITHM_RSA_PSS_3072_SHA256;
    case crypto::Algorithm::kRsaPss4096Sha256:
      return v1::ALGORITHM_RSA_PSS_4096_SHA256;
    case crypto::Algorithm::kRsaPkcs1_2048Sha256:
      return v1::ALGORITHM_RSA_PKCS1_2048_SHA256;
    case crypto::Algorithm::kRsaPkcs1_3072Sha256:
      return v1::ALGORITHM_RSA_PKCS1_3072_SHA256;
    case crypto::Algorithm::kRsaPkcs1_4096Sha256:
      return v1::ALGORITHM_RSA_PKCS1_4096_SHA256;
    case crypto::Algorithm::kHpkeX25519:
      return v1::ALGORITHM_HPKE_X25519;
  }
  return v1::ALGORITHM_UNSPECIFIED;
}

absl::StatusOr<crypto::Algorithm> KeyAlgorithm(absl::string_view field, v1::Algorithm algorithm) {
  if (algorithm == v1::ALGORITHM_ED25519PH) {
    return FieldError(field,
                      "make an ALGORITHM_ED25519 key: it signs Ed25519ph when given digests");
  }
  for (crypto::Algorithm candidate : crypto::kAllAlgorithms) {
    if (ToProto(candidate) == algorithm) return candidate;
  }
  return FieldError(field, algorithm == v1::ALGORITHM_UNSPECIFIED ? "an algorithm is required"
                                                                  : "unknown algorithm");
}

}  // namespace countersign::sign
