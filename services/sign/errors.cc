#include "services/sign/errors.h"

#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "libs/runtime/error_details.h"

namespace countersign::sign {

absl::Status FieldError(absl::string_view field, absl::string_view description) {
  google::rpc::BadRequest details;
  auto* violation = details.add_field_violations();
  violation->set_field(std::string(field));
  violation->set_description(std::string(description));
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", description));
  status.SetPayload("type.googleapis.com/google.rpc.BadRequest",
                    absl::Cord(details.SerializeAsString()));
  return status;
}

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
