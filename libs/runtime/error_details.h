// Machine-readable details on an absl::Status, for code that knows nothing of gRPC.
//
// They travel as google.rpc.ErrorInfo and google.rpc.RetryInfo (AIP-193) through status.h.
#ifndef COUNTERSIGN_LIBS_RUNTIME_ERROR_DETAILS_H_
#define COUNTERSIGN_LIBS_RUNTIME_ERROR_DETAILS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::runtime {

// The domain of every ErrorInfo the suite makes.
inline constexpr char kErrorDomain[] = "countersign";

// `status` with the reason, an UPPER_SNAKE_CASE constant such as "KEY_DISABLED", that clients may
// switch on. Replaces an earlier reason. An OK status is returned as it is.
absl::Status AttachReason(absl::Status status, absl::string_view reason);

// `status` (RESOURCE_EXHAUSTED or UNAVAILABLE, usually) with how long a client should wait before
// it tries again. An OK status is returned as it is.
absl::Status AttachRetryAfter(absl::Status status, absl::Duration delay);

// What was attached, here or by the server that a status came from; nullopt when nothing was.
std::optional<std::string> ReasonOf(const absl::Status& status);
std::optional<absl::Duration> RetryAfterOf(const absl::Status& status);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_ERROR_DETAILS_H_
