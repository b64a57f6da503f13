// Errors as application/problem+json (RFC 9457).
#ifndef COUNTERSIGN_LIBS_HTTP_PROBLEM_H_
#define COUNTERSIGN_LIBS_HTTP_PROBLEM_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/http/message.h"

namespace countersign::http {

// Total, and the one google.rpc.Code documents: InvalidArgument 400, Unauthenticated 401,
// PermissionDenied 403, NotFound 404, AlreadyExists and Aborted 409, FailedPrecondition and
// OutOfRange 400, ResourceExhausted 429, Cancelled 499, Unimplemented 501, Unavailable 503,
// DeadlineExceeded 504, OK 200, the others and unknown values 500.
int HttpStatusFor(absl::StatusCode code);

// A way back, for clients: the code that an answer with this status stands for. OK for 1xx to 3xx.
absl::StatusCode StatusCodeFor(int http_status);

// "INVALID_ARGUMENT" and so on, as google.rpc.Code spells them.
absl::string_view CodeName(absl::StatusCode code);

struct Problem {
  int status = 500;
  // The reason phrase when empty.
  std::string title;
  // Why, and what to do; omitted when empty.
  std::string detail;
  // google.rpc.Code's name; omitted when empty.
  std::string code;
  // The request's id; omitted when empty.
  std::string request_id;
  // Further members as a JSON object, "{}"-like; omitted when empty. Must be well-formed.
  std::string extensions_json;
};

// {"type":"about:blank","title":…,"status":…,"detail":…,"code":…,"requestId":…,…}, never cached.
Response ProblemResponse(const Problem& problem);

// The same of a failed status; its message is the detail.
Response ProblemResponse(const absl::Status& status, absl::string_view request_id = {});

// The same for a protocol error that no status code stands for (405, 413, …).
Response ProblemResponse(int http_status, absl::string_view detail);

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_PROBLEM_H_
