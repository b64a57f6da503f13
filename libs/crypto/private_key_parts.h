// The numbers of a private key, for devices that take them one by one.
//
// Pure, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_PRIVATE_KEY_PARTS_H_
#define COUNTERSIGN_LIBS_CRYPTO_PRIVATE_KEY_PARTS_H_

#include "absl/status/statusor.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// Big-endian, with leading zeros up to the full length. Those that the key does not have are empty.
struct PrivateKeyParts {
  // RSA (RFC 8017 section 3.2), each half as long as the modulus.
  SecretBytes p;
  SecretBytes q;
  SecretBytes dp;    // d mod (p - 1)
  SecretBytes dq;    // d mod (q - 1)
  SecretBytes qinv;  // q^-1 mod p
  // Elliptic curves: as long as the field. Ed25519: the 32 bytes of RFC 8032 section 5.1.5.
  SecretBytes scalar;
};

// Of an unencrypted PrivateKeyInfo that PrivateKey::FromPkcs8 takes for `algorithm`;
// InvalidArgument as there.
absl::StatusOr<PrivateKeyParts> PartsOfPkcs8(const SecretBytes& der, Algorithm algorithm);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_PRIVATE_KEY_PARTS_H_
