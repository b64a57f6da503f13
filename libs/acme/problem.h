// What an ACME server's refusals mean (RFC 8555 section 6.7).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_ACME_PROBLEM_H_
#define COUNTERSIGN_LIBS_ACME_PROBLEM_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/http/message.h"

namespace countersign::acme {

// The status of a problem document (RFC 7807), JSON; `http_status` decides when it is none.
absl::Status ProblemStatus(absl::string_view json, int http_status);

// The same of a whole answer, with RetryInfo from its Retry-After.
absl::Status ResponseStatus(const http::Response& response, absl::Time now);

// The wait that Retry-After asks for, in seconds or as a date (RFC 9110 section 10.2.3); zero when
// there is none.
absl::Duration RetryAfter(const http::Response& response, absl::Time now);

// Whether the answer says that the nonce was not taken.
bool IsBadNonce(const http::Response& response);

}  // namespace countersign::acme

#endif  // COUNTERSIGN_LIBS_ACME_PROBLEM_H_
