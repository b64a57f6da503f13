// What PublicKey and PrivateKey hold, for this folder alone.
#ifndef COUNTERSIGN_LIBS_CRYPTO_KEY_IMPL_H_
#define COUNTERSIGN_LIBS_CRYPTO_KEY_IMPL_H_

#include <memory>
#include <string>

#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "openssl/evp.h"

namespace countersign::crypto {

struct PublicKey::Impl {
  // InvalidArgument for a key of an unsupported type or size. `spki` is the key's one encoding
  // where the caller knows it already, else empty.
  static absl::StatusOr<std::shared_ptr<const Impl>> FromPkey(bssl::UniquePtr<EVP_PKEY> pkey,
                                                              absl::string_view spki = "");

  KeyType type;
  int bits;
  bssl::UniquePtr<EVP_PKEY> pkey;
  std::string spki;
  std::string raw;  // Ed25519 and X25519
};

struct PrivateKey::Impl {
  // InvalidArgument for a key that is unsupported or does not fit `algorithm`.
  static absl::StatusOr<std::unique_ptr<Impl>> FromPkey(bssl::UniquePtr<EVP_PKEY> pkey,
                                                        Algorithm algorithm);

  Algorithm algorithm;
  PublicKey public_key;
  bssl::UniquePtr<EVP_PKEY> pkey;
  SecretBytes ed25519;  // seed ‖ public key, for Ed25519 keys
};

// The 32 private bytes of an X25519 key.
class X25519Secret {
 public:
  static absl::StatusOr<SecretBytes> Of(const PrivateKey& key);
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_KEY_IMPL_H_
