// Catch matchers for absl::Status and absl::StatusOr:
//
//   REQUIRE_THAT(store.Get("x"), StatusIs(absl::StatusCode::kNotFound, "no such key"));
//   CHECK_THAT(store.Put("x"), IsOk());
//   auto value = RequireOk(store.Get("x"));  // fails the test case, or unwraps
#ifndef COUNTERSIGN_LIBS_TESTING_MATCHERS_H_
#define COUNTERSIGN_LIBS_TESTING_MATCHERS_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "catch2/catch.hpp"

// Shows the message when an assertion fails.
namespace Catch {
template <>
struct StringMaker<absl::Status> {
  static std::string convert(const absl::Status& status) { return status.ToString(); }
};
template <typename T>
struct StringMaker<absl::StatusOr<T>> {
  static std::string convert(const absl::StatusOr<T>& value) {
    return value.ok() ? "OK with a value" : value.status().ToString();
  }
};
}  // namespace Catch

namespace countersign::testing {

// Matches an absl::Status or an absl::StatusOr<T> of any T. Catch 2's own base class is tied to one
// type, so this one only has its shape.
class StatusMatcher {
 public:
  StatusMatcher(absl::StatusCode code, std::string substring)
      : code_(code), substring_(std::move(substring)) {}

  bool match(const absl::Status& status) const {
    return status.code() == code_ &&
           absl::StrContains(status.message(),
                             absl::string_view(substring_.data(), substring_.size()));
  }
  template <typename T>
  bool match(const absl::StatusOr<T>& value) const {
    return match(value.status());
  }
  std::string toString() const {
    return "is " + absl::StatusCodeToString(code_) +
           (substring_.empty() ? "" : " with \"" + substring_ + "\"");
  }

 private:
  absl::StatusCode code_;
  std::string substring_;
};

inline StatusMatcher IsOk() { return StatusMatcher(absl::StatusCode::kOk, ""); }

// The code, and a part of the message.
inline StatusMatcher StatusIs(absl::StatusCode code, std::string substring = "") {
  return StatusMatcher(code, std::move(substring));
}

// Fails the test case with the status, or returns the value.
template <typename T>
T RequireOk(absl::StatusOr<T> value) {
  INFO(value.status().ToString());
  REQUIRE(value.ok());
  return *std::move(value);
}
inline void RequireOk(const absl::Status& status) {
  INFO(status.ToString());
  REQUIRE(status.ok());
}

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_MATCHERS_H_
