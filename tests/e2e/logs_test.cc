// A second log beside the main one: made, witnessed, served, frozen.
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

using Catch::Contains;
using nlohmann::json;
using testing::RequireOk;
using testing::TempDir;

TEST_CASE("A tenant's own log is made, cosigned, served and frozen") {
  TempDir dir;
  const std::string file = dir.path() + "/file";
  RequireOk(base::WriteFileAtomically(file, "an entry of the second log"));
  const std::string data = dir.path() + "/data";
  std::string vkey;
  {
    SuiteProcess suite(data);
    const CommandResult made = suite.Run({"--json", "logs", "create", "releases"});
    INFO(made.output);
    REQUIRE(made.exit_code == 0);
    const json log = json::parse(made.output);
    CHECK(log["name"] == "tenants/default/logs/releases");
    const std::string origin = log["origin"];
    vkey = log["vkey"];
    CHECK_THAT(origin, Catch::EndsWith("/tenants/default/logs/releases"));
    // Again is no harm.
    const CommandResult again = suite.Run({"logs", "create", "releases"});
    INFO(again.output);
    CHECK(again.exit_code == 0);
    CHECK_THAT(again.output, Contains("3 watch it"));

    const CommandResult appended =
        suite.Run({"--json", "ledger", "append", "--log", "releases", "--wait", "cosigned", file});
    INFO(appended.output);
    REQUIRE(appended.exit_code == 0);
    CHECK(json::parse(appended.output)["entries"][0]["index"] == "0");
    const CommandResult checkpoint = suite.Run({"ledger", "checkpoint", "--log", "releases"});
    CHECK_THAT(checkpoint.output, Catch::StartsWith(origin + "\n1\n"));
    // The log's line and those of two witnesses at least.
    size_t lines = 0;
    for (size_t at = 0; (at = checkpoint.output.find("\xE2\x80\x94 ", at)) != std::string::npos;
         ++at) {
      ++lines;
    }
    CHECK(lines >= 3);
    const http::Response served = suite.Request("GET", "/tenants/default/logs/releases/checkpoint");
    CHECK(served.status == 200);
    CHECK(served.body_view() == checkpoint.output);
    CHECK(absl::StrContains(
        suite.Request("GET", "/tenants/default/logs/releases/tile/entries/000.p/1").body_view(),
        "an entry of the second log"));

    CHECK(suite.Run({"logs", "freeze", "releases"}).exit_code == 0);
    const CommandResult list = suite.Run({"logs", "list"});
    INFO(list.output);
    CHECK_THAT(list.output, Contains("frozen"));
    CHECK_THAT(list.output, Contains("active"));
    CHECK(suite.process().Stop() == 0);
  }
  SuiteProcess suite(data);
  const CommandResult refused = suite.Run({"ledger", "append", "--log", "releases", file});
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.output, Contains("frozen"));
  const CommandResult info = suite.Run({"--json", "ledger", "info", "--log", "releases"});
  const json log = json::parse(info.output);
  CHECK(log["vkey"] == vkey);
  CHECK(log["state"] == "LOG_STATE_FROZEN");
  CHECK(log["treeSize"] == "1");
  CHECK(suite.process().Stop() == 0);
}

}  // namespace
}  // namespace countersign::e2e
