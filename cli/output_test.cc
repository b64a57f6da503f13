#include "cli/output.h"

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "catch2/catch.hpp"

namespace countersign::cli {
namespace {

TEST_CASE("Text from elsewhere cannot drive the terminal") {
  CHECK(Printable("a\x1b[31mb\nc\x7f") == "a\\x1b[31mb\\x0ac\\x7f");
  CHECK(Printable("\xC2\x9B"
                  "31m") == "\\xc2\\x9b31m");
  CHECK(Printable("na\xC3\xAFve \xE2\x9C\x93") == "na\xC3\xAFve \xE2\x9C\x93");
}

TEST_CASE("Without colour there are no escapes, with it each ends") {
  std::ostringstream out;
  std::ostringstream err;
  Output plain(out, err, false);
  plain.Headline(true, "done");
  plain.Field("Label", "value", Tone::kBad);
  CHECK(out.str() == "done\n  Label       value\n");
  out.str("");
  Output colored(out, err, true);
  colored.Headline(false, "failed");
  CHECK(absl::StartsWith(out.str(), "\x1b[31m"));
  CHECK(absl::EndsWith(out.str(), "\x1b[0m\n"));
}

TEST_CASE("Columns are aligned by characters, not bytes") {
  std::ostringstream out;
  std::ostringstream err;
  Output(out, err, false).Table({{"A", "B"}, {"\xC3\xA9\xC3\xA9\xC3\xA9", "1"}, {"x", "2"}});
  CHECK(out.str() == "A    B\n\xC3\xA9\xC3\xA9\xC3\xA9  1\nx    2\n");
}

TEST_CASE("Numbers and times are written for people") {
  CHECK(Count(1, "entry", "entries") == "1 entry");
  CHECK(Count(0, "entry", "entries") == "0 entries");
  CHECK(FormatUtc(absl::FromUnixSeconds(0)) == "1970-01-01 00:00:00 UTC");
}

}  // namespace
}  // namespace countersign::cli
