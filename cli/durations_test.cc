#include "cli/durations.h"

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::cli {
namespace {

using testing::RequireOk;
using testing::StatusIs;

TEST_CASE("A duration is numbers with units, the larger ones first") {
  CHECK(RequireOk(ParseDuration("45s")) == absl::Seconds(45));
  CHECK(RequireOk(ParseDuration("90m")) == absl::Minutes(90));
  CHECK(RequireOk(ParseDuration("12h")) == absl::Hours(12));
  CHECK(RequireOk(ParseDuration("30d")) == absl::Hours(720));
  CHECK(RequireOk(ParseDuration("2w")) == absl::Hours(336));
  CHECK(RequireOk(ParseDuration("1y")) == absl::Hours(8760));
  CHECK(RequireOk(ParseDuration("1d12h30m")) == absl::Hours(36.5));
  CHECK(RequireOk(ParseDuration("1000y")) == 1000 * absl::Hours(8760));
}

TEST_CASE("What is no duration, or an absurd one, is refused") {
  for (const char* text : {"",
                           "d",
                           "30",
                           "0d",
                           "0h0m",
                           "-1d",
                           "+1d",
                           "1.5d",
                           "1 d",
                           " 1d",
                           "1d ",
                           "1D",
                           "1d1d",
                           "1h1d",
                           "1x",
                           "1d2",
                           "1mo",
                           "1001y",
                           "1000y1s",
                           "9223372036854775807s",
                           "99999999999999999999s",
                           "\xC2\xB5s"}) {
    CAPTURE(text);
    CHECK_THAT(ParseDuration(text), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("A duration is shown by its two largest units") {
  CHECK(DurationText(absl::ZeroDuration()) == "0 s");
  CHECK(DurationText(absl::Milliseconds(1999)) == "1 s");
  CHECK(DurationText(absl::Seconds(61)) == "1 m 1 s");
  CHECK(DurationText(absl::Hours(76)) == "3 d 4 h");
  CHECK(DurationText(absl::Hours(24) + absl::Minutes(5)) == "1 d");
  CHECK(DurationText(absl::Hours(8760 + 49)) == "1 y 2 d");
  CHECK(DurationText(-absl::Minutes(59)) == "-59 m");
  CHECK(DurationText(-absl::Milliseconds(5)) == "0 s");
}

}  // namespace
}  // namespace countersign::cli
