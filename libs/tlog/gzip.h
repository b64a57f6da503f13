// gzip (RFC 1952), decoding only.
#ifndef COUNTERSIGN_LIBS_TLOG_GZIP_H_
#define COUNTERSIGN_LIBS_TLOG_GZIP_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::tlog {

// What one or more gzip members, and nothing else, decode to. InvalidArgument when malformed or cut
// short, ResourceExhausted when it would be more than `max_bytes`.
absl::StatusOr<std::string> Gunzip(absl::string_view bytes, size_t max_bytes);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_GZIP_H_
