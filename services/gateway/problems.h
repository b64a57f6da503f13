// Failures of calls as problem documents.
#ifndef COUNTERSIGN_SERVICES_GATEWAY_PROBLEMS_H_
#define COUNTERSIGN_SERVICES_GATEWAY_PROBLEMS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/http/message.h"

namespace countersign::gateway {

// libs/http/problem.h, and what the status carries besides: "reason" (google.rpc.ErrorInfo),
// "fieldViolations" (google.rpc.BadRequest), and google.rpc.RetryInfo as "retryAfterSeconds" and
// the Retry-After field, both rounded up to whole seconds.
http::Response ToProblem(const absl::Status& status, absl::string_view request_id);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_PROBLEMS_H_
