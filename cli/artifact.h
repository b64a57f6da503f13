// The file under signature: read as a stream, so that its size does not matter.
#ifndef COUNTERSIGN_CLI_ARTIFACT_H_
#define COUNTERSIGN_CLI_ARTIFACT_H_

#include <string>

#include "absl/status/statusor.h"
#include "libs/crypto/digest.h"

namespace countersign::cli {

// The digest of the file at `path`, which holds a megabyte of memory whatever the file's size.
// NotFound, PermissionDenied, or InvalidArgument for a folder; each names the path.
absl::StatusOr<std::string> DigestFile(const std::string& path, crypto::DigestAlgorithm algorithm);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_ARTIFACT_H_
