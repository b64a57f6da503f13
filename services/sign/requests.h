// Answers kept by request id (AIP-155), so that a repeated request is answered as the first time.
//
// Functions without state of their own, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_REQUESTS_H_
#define COUNTERSIGN_SERVICES_SIGN_REQUESTS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/storage/database.h"

namespace google::protobuf {
class Message;
}

namespace countersign::sign {

// How long a repeated request id is answered as the first time.
inline constexpr absl::Duration kRequestIdLifetime = absl::Hours(24);

// SHA-256 that tells requests of `method` apart: repeated ones have the same. `request` is taken
// without its request id.
std::string RequestFingerprint(absl::string_view method, const google::protobuf::Message& request);

// The one spelling of a request id; empty for an empty one. InvalidArgument when it is no UUID.
absl::StatusOr<std::string> CheckRequestId(const std::string& request_id);

// What was kept for this request id of the tenant and is not forgotten at `now`. AlreadyExists with
// reason REQUEST_ID_REUSED when it was kept for a request with another fingerprint.
absl::StatusOr<std::optional<std::string>> FindAnswer(storage::Transaction& transaction,
                                                      const std::string& tenant,
                                                      const std::string& request_id,
                                                      const std::string& fingerprint,
                                                      absl::Time now);

// Keeps `answer`, which FindAnswer did not find in the same transaction, and forgets old ones.
absl::Status SaveAnswer(storage::Transaction& transaction, const std::string& tenant,
                        const std::string& request_id, const std::string& fingerprint,
                        const std::string& answer, absl::Time now);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_REQUESTS_H_
