// Secrets that people give to commands: typed without echo, or from files, never as arguments.
#ifndef COUNTERSIGN_CLI_SECRET_INPUT_H_
#define COUNTERSIGN_CLI_SECRET_INPUT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/secret.h"

namespace countersign::cli {

// The first line of the file without its end, or of standard input's rest for "-" (the next call
// with "-" gets the next line). PermissionDenied when others than the file's owner may read it;
// InvalidArgument when the line is empty or longer than 4,096 bytes; else as reading fails.
absl::StatusOr<crypto::SecretBytes> ReadSecretLine(const std::string& path);

// What is typed at the terminal after `prompt`, up to the end of the line; nothing is shown of it.
// FailedPrecondition when the process has no terminal; Cancelled for Ctrl-C and Ctrl-D;
// InvalidArgument as above.
absl::StatusOr<crypto::SecretBytes> AskSecret(absl::string_view prompt);

// ReadSecretLine when a file is named, else AskSecret; `option` ("--pin-file") is named to who has
// no terminal. `twice` asks the person again, and is InvalidArgument when the answers differ.
absl::StatusOr<crypto::SecretBytes> GetSecret(const std::string& path, absl::string_view prompt,
                                              absl::string_view option, bool twice = false);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_SECRET_INPUT_H_
