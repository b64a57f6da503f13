// gzip bodies (RFC 1952) for clients that take them.
#ifndef COUNTERSIGN_LIBS_HTTP_GZIP_H_
#define COUNTERSIGN_LIBS_HTTP_GZIP_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/http/message.h"

namespace countersign::http {

// Whether the request's Accept-Encoding names gzip and does not forbid it (RFC 9110
// section 12.5.3).
// "*" alone does not count: such a client may not expect it.
bool AcceptsGzip(const Request& request);

// `bytes` compressed, quickly rather than well. The same bytes give the same result.
// ResourceExhausted when there is no memory for it, or they are more than 1 GiB.
absl::StatusOr<std::string> Gzip(absl::string_view bytes);

}  // namespace countersign::http

#endif  // COUNTERSIGN_LIBS_HTTP_GZIP_H_
