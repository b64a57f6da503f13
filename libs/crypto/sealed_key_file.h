// A service's own signing key, kept in a file sealed under a KEK.
#ifndef COUNTERSIGN_LIBS_CRYPTO_SEALED_KEY_FILE_H_
#define COUNTERSIGN_LIBS_CRYPTO_SEALED_KEY_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/private_key.h"

namespace countersign::crypto {

// The private key in `path` (PKCS#8 sealed by `kek`, base64 and a newline, mode 0600). A missing
// file is made, durably, with a fresh key for `algorithm`. The file is bound to `purpose`, such as
// "log key": one made for another purpose does not open. FailedPrecondition when another KEK sealed
// it; DataLoss when it was altered.
absl::StatusOr<PrivateKey> LoadOrCreateSealedKey(const std::string& path, const Kek& kek,
                                                 Algorithm algorithm, absl::string_view purpose);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_SEALED_KEY_FILE_H_
