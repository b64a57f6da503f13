// Ed25519ph, RFC 8032 section 5.1, with an empty context. BoringSSL has plain Ed25519 only; this is
// built from its group operations.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_ED25519PH_H_
#define COUNTERSIGN_LIBS_CRYPTO_ED25519PH_H_

#include <cstdint>

namespace countersign::crypto {

// Signs a 64-byte SHA-512 digest with the 64-byte key seed ‖ public key, in constant time.
void Ed25519phSign(const uint8_t key[64], const uint8_t digest[64], uint8_t signature[64]);

// Whether `signature` is one over `digest` by the 32-byte `public_key`. A signature whose S is not
// below the group's order is none.
bool Ed25519phVerify(const uint8_t public_key[32], const uint8_t digest[64],
                     const uint8_t signature[64]);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_ED25519PH_H_
