// Secrets that stay in memory for long: PINs.
#ifndef COUNTERSIGN_LIBS_CRYPTO_LOCKED_SECRET_H_
#define COUNTERSIGN_LIBS_CRYPTO_LOCKED_SECRET_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// Owns up to a page of secret bytes on pages of their own that are neither swapped out (mlock) nor
// part of a core dump (MADV_DONTDUMP) nor inherited by a child (MADV_WIPEONFORK), with a guard page
// on either side. Wiped when it ends. Moves, never copies. Const methods are thread-safe.
class LockedSecret {
 public:
  // ResourceExhausted, saying which limit to raise (RLIMIT_MEMLOCK), when the memory cannot be
  // locked; InvalidArgument for more than a page.
  static absl::StatusOr<LockedSecret> Create(const SecretBytes& secret);

  LockedSecret() = default;
  ~LockedSecret();
  LockedSecret(LockedSecret&& other) noexcept;
  LockedSecret& operator=(LockedSecret&& other) noexcept;
  LockedSecret(const LockedSecret&) = delete;
  LockedSecret& operator=(const LockedSecret&) = delete;

  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }

  // A copy to hand to the card, wiped when it ends.
  SecretBytes Copy() const;
  // In time that depends on the lengths only.
  bool Equals(const SecretBytes& other) const;

 private:
  void Release();

  char* page_ = nullptr;
  size_t size_ = 0;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_LOCKED_SECRET_H_
