// The failures that callers of the service can switch on (AIP-193).
#ifndef COUNTERSIGN_SERVICES_SIGN_ERRORS_H_
#define COUNTERSIGN_SERVICES_SIGN_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::sign {

// ErrorInfo reasons.
inline constexpr char kKeyVersionDisabled[] = "KEY_VERSION_DISABLED";
inline constexpr char kKeyVersionDestroyed[] = "KEY_VERSION_DESTROYED";
inline constexpr char kWrongAlgorithm[] = "WRONG_ALGORITHM";
inline constexpr char kDecryptionFailed[] = "DECRYPTION_FAILED";
inline constexpr char kKeyExists[] = "KEY_EXISTS";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kNoLedger[] = "NO_LEDGER";

// INVALID_ARGUMENT with a google.rpc.BadRequest that names `field` as in the request's proto.
absl::Status FieldError(absl::string_view field, absl::string_view description);

// FAILED_PRECONDITION with one of the reasons above.
absl::Status PreconditionError(absl::string_view reason, absl::string_view message);

// ALREADY_EXISTS with one of the reasons above.
absl::Status ExistsError(absl::string_view reason, absl::string_view message);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_ERRORS_H_
