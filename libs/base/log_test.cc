#include "libs/base/log.h"

#include "catch2/catch.hpp"

namespace countersign::base {
namespace {

TEST_CASE("A log line is one JSON object whatever is logged") {
  CHECK(FormatLogLine("2026-01-02T03:04:05Z", Severity::kWarning, "ledger", "a \"b\"\n\\",
                      {{"path", "/x"}, {"raw", std::string("\x01\xff", 2)}}) ==
        "{\"ts\":\"2026-01-02T03:04:05Z\",\"level\":\"warning\",\"service\":\"ledger\","
        "\"msg\":\"a \\\"b\\\"\\n\\\\\",\"path\":\"/x\",\"raw\":\"\\u0001\\u00ff\"}");
}

TEST_CASE("Severities are parsed by name") {
  CHECK(*ParseSeverity("error") == Severity::kError);
  CHECK(ParseSeverity("loud").status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace countersign::base
