// Failures that name the field of the request that is to blame (AIP-193).
#ifndef COUNTERSIGN_LIBS_RUNTIME_FIELD_ERROR_H_
#define COUNTERSIGN_LIBS_RUNTIME_FIELD_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::runtime {

// INVALID_ARGUMENT with a google.rpc.BadRequest that names `field` as in the request's proto. Pure.
absl::Status FieldError(absl::string_view field, absl::string_view description);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_FIELD_ERROR_H_
