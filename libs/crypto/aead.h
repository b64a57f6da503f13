// Sealing secrets for storage under a key-encryption key (KEK).
#ifndef COUNTERSIGN_LIBS_CRYPTO_AEAD_H_
#define COUNTERSIGN_LIBS_CRYPTO_AEAD_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// A 256-bit key for AES-256-GCM (NIST SP 800-38D) with random nonces; good for 2^32 seals.
// Moves, never copies. Const methods are thread-safe.
//
// Sealed form: version 0x01 ‖ 8-byte key id ‖ 12-byte nonce ‖ ciphertext ‖ 16-byte tag. Version and
// key id are authenticated too, so no byte of it can change unnoticed.
class Kek {
 public:
  // The key in `path`: 64 hexadecimal digits and a newline. A missing file is made, with a random
  // key and mode 0600, durably, never replacing one that another process makes at that moment.
  // FailedPrecondition when others than the owner may read or write the file; DataLoss when it
  // holds something else.
  static absl::StatusOr<Kek> LoadOrCreate(const std::string& path);

  // From 32 bytes. InvalidArgument for another length.
  static absl::StatusOr<Kek> FromBytes(const SecretBytes& key);

  ~Kek();
  Kek(Kek&&) noexcept;
  Kek& operator=(Kek&&) noexcept;

  // 16 hexadecimal digits that tell KEKs apart and reveal nothing of the key.
  const std::string& id() const;

  // `secret` sealed; it opens only with the same `aad`, which is not stored.
  absl::StatusOr<std::string> Seal(const SecretBytes& secret, absl::string_view aad) const;

  // Inverse of Seal. FailedPrecondition when another KEK sealed it; DataLoss when it was altered,
  // is cut short or belongs to another `aad`.
  absl::StatusOr<SecretBytes> Open(absl::string_view sealed, absl::string_view aad) const;

 private:
  struct Impl;

  explicit Kek(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_AEAD_H_
