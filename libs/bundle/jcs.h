// JSON Canonicalization Scheme (RFC 8785).
#ifndef COUNTERSIGN_LIBS_BUNDLE_JCS_H_
#define COUNTERSIGN_LIBS_BUNDLE_JCS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::bundle {

// The one canonical form of `json`: members sorted by the UTF-16 units of their keys, no white
// space, strings and numbers as ECMAScript writes them. InvalidArgument for what I-JSON (RFC 7493)
// refuses: syntax errors, a key twice in one object, invalid UTF-8, numbers beyond a double; and
// for values nested deeper than 64. Thread-safe.
absl::StatusOr<std::string> CanonicalizeJson(absl::string_view json);

// `value` as ECMAScript's Number::toString writes it (RFC 8785 section 3.2.2.3). Finite only.
std::string CanonicalNumber(double value);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_JCS_H_
