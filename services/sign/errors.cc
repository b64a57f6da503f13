#include "services/sign/errors.h"

#include "libs/runtime/error_details.h"

namespace countersign::sign {

absl::Status ArgumentError(absl::string_view reason, absl::string_view message) {
  return runtime::AttachReason(absl::InvalidArgumentError(message), reason);
}

absl::Status PreconditionError(absl::string_view reason, absl::string_view message) {
  return runtime::AttachReason(absl::FailedPreconditionError(message), reason);
}

absl::Status ExistsError(absl::string_view reason, absl::string_view message) {
  return runtime::AttachReason(absl::AlreadyExistsError(message), reason);
}

}  // namespace countersign::sign
