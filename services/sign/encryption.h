// Encrypts and decrypts with keys of ALGORITHM_HPKE_X25519.
#ifndef COUNTERSIGN_SERVICES_SIGN_ENCRYPTION_H_
#define COUNTERSIGN_SERVICES_SIGN_ENCRYPTION_H_

#include "absl/status/statusor.h"
#include "countersign/sign/v1/sign.pb.h"
#include "services/sign/key_ring.h"

namespace countersign::sign {

inline constexpr size_t kMaxPlaintextBytes = 1 << 20;
inline constexpr size_t kMaxInfoBytes = 64 << 10;  // of info and of aad, each

// Safe to call from any thread; they block when the key is not cached. They answer, and fail, as
// the contract says of Encrypt and Decrypt.
absl::StatusOr<v1::EncryptResponse> Encrypt(KeyRing& keys, const v1::EncryptRequest& request);
absl::StatusOr<v1::DecryptResponse> Decrypt(KeyRing& keys, const v1::DecryptRequest& request);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_ENCRYPTION_H_
