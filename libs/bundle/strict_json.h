// Reads JSON that strangers wrote, for the parsers of this library only.
#ifndef COUNTERSIGN_LIBS_BUNDLE_STRICT_JSON_H_
#define COUNTERSIGN_LIBS_BUNDLE_STRICT_JSON_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace countersign::bundle {

// Objects and arrays inside one another beyond this are refused, which bounds every recursion.
inline constexpr size_t kMaxJsonDepth = 64;

// One JSON text (RFC 8259) as I-JSON wants it: InvalidArgument for a syntax error, invalid UTF-8, a
// key twice in one object, a number no double can hold, or too much depth.
absl::StatusOr<nlohmann::json> ParseStrictJson(absl::string_view text);

// Member access as protobuf's JSON mapping reads messages: an absent or null member is the default,
// unknown members are not looked at. `where` names the parent in messages ("tlogEntries[0]").
//
// Each is InvalidArgument when the member has another type; `object` must be an object.
absl::StatusOr<std::string> TextMember(const nlohmann::json& object, absl::string_view name,
                                       absl::string_view where);
// Standard base64 with padding and nothing else.
absl::StatusOr<std::string> BytesMember(const nlohmann::json& object, absl::string_view name,
                                        absl::string_view where);
// A non-negative int64 as a decimal string (or a JSON integer), without a sign or leading zeros.
absl::StatusOr<int64_t> CountMember(const nlohmann::json& object, absl::string_view name,
                                    absl::string_view where);
// Null when absent.
absl::StatusOr<const nlohmann::json*> ObjectMember(const nlohmann::json& object,
                                                   absl::string_view name, absl::string_view where);
absl::StatusOr<const nlohmann::json*> ArrayMember(const nlohmann::json& object,
                                                  absl::string_view name, absl::string_view where);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_STRICT_JSON_H_
