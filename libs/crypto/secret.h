// Bytes that must not leak: private keys, key-encryption keys, plaintexts.
#ifndef COUNTERSIGN_LIBS_CRYPTO_SECRET_H_
#define COUNTERSIGN_LIBS_CRYPTO_SECRET_H_

#include <cstddef>
#include <memory>

#include "absl/strings/string_view.h"

namespace countersign::crypto {

// The right to read a secret. Each place that takes it is found by searching for "Grant".
class SecretAccess {
 public:
  static SecretAccess Grant() { return SecretAccess(); }

 private:
  SecretAccess() = default;
};

// Overwrites `size` bytes at `data`, in a way that the compiler keeps.
void Wipe(void* data, size_t size);

// Owns secret bytes and overwrites them when it ends or is assigned over. Moves, never copies.
// Const methods are thread-safe.
class SecretBytes {
 public:
  SecretBytes() = default;

  // `size` zero bytes, to be filled through Expose.
  explicit SecretBytes(size_t size);

  // A copy of `bytes`; wiping the source stays with the caller.
  explicit SecretBytes(absl::string_view bytes);

  ~SecretBytes();
  SecretBytes(SecretBytes&& other) noexcept;
  SecretBytes& operator=(SecretBytes&& other) noexcept;
  SecretBytes(const SecretBytes&) = delete;
  SecretBytes& operator=(const SecretBytes&) = delete;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // The bytes, valid while this object lives and is not moved from.
  absl::string_view Expose(SecretAccess) const { return {data_.get(), size_}; }
  char* ExposeMutable(SecretAccess) { return data_.get(); }

  // Drops all but the first `size` bytes, which must be there.
  void Truncate(size_t size);

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_SECRET_H_
