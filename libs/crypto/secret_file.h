// Files that hold secrets and nothing else.
#ifndef COUNTERSIGN_LIBS_CRYPTO_SECRET_FILE_H_
#define COUNTERSIGN_LIBS_CRYPTO_SECRET_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// The bytes of a regular file that its owner alone may read and write, checked on the descriptor
// that is read. `what` names what is in it for messages, "the key-encryption key".
// FailedPrecondition, saying how to mend it, when others have access; InvalidArgument for more than
// `max_bytes`; else what the system said.
absl::StatusOr<SecretBytes> ReadSecretFile(const std::string& path, absl::string_view what,
                                           size_t max_bytes);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_SECRET_FILE_H_
