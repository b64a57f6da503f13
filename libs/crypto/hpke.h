// Hybrid public-key encryption, RFC 9180: base mode, one message a context,
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM (suite 0x0020, 0x0001, 0x0002).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_HPKE_H_
#define COUNTERSIGN_LIBS_CRYPTO_HPKE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"

namespace countersign::crypto {

struct HpkeCiphertext {
  std::string enc;         // the encapsulated key, 32 bytes
  std::string ciphertext;  // 16 bytes longer than the plaintext
};

// Encrypts to `recipient`. InvalidArgument when it is no X25519 key or a useless one (of small
// order).
absl::StatusOr<HpkeCiphertext> HpkeSeal(const PublicKey& recipient, absl::string_view info,
                                        absl::string_view aad, absl::string_view plaintext);

// The plaintext. InvalidArgument when `recipient` is no kHpkeX25519 key, or when key, enc, info,
// aad and ciphertext do not belong together.
absl::StatusOr<std::string> HpkeOpen(const PrivateKey& recipient, absl::string_view enc,
                                     absl::string_view info, absl::string_view aad,
                                     absl::string_view ciphertext);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_HPKE_H_
