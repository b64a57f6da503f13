#include "libs/http/problem.h"

#include <map>
#include <nlohmann/json.hpp>

#include "catch2/catch.hpp"

namespace countersign::http {
namespace {

TEST_CASE("Every status code has the HTTP status that google.rpc.Code documents") {
  const std::map<int, int> expected = {{0, 200},  {1, 499},  {2, 500},  {3, 400},   {4, 504},
                                       {5, 404},  {6, 409},  {7, 403},  {8, 429},   {9, 400},
                                       {10, 409}, {11, 400}, {12, 501}, {13, 500},  {14, 503},
                                       {15, 500}, {16, 401}, {17, 500}, {999, 500}, {-1, 500}};
  for (const auto& [code, status] : expected) {
    CAPTURE(code);
    CHECK(HttpStatusFor(static_cast<absl::StatusCode>(code)) == status);
  }
}

TEST_CASE("A failure stays the same failure over HTTP and back, as far as HTTP can tell") {
  for (int code = 1; code <= 16; ++code) {
    const auto original = static_cast<absl::StatusCode>(code);
    const auto back = StatusCodeFor(HttpStatusFor(original));
    CAPTURE(code);
    CHECK(back != absl::StatusCode::kOk);
    CHECK(HttpStatusFor(back) == HttpStatusFor(original));
  }
  CHECK(StatusCodeFor(200) == absl::StatusCode::kOk);
  CHECK(StatusCodeFor(304) == absl::StatusCode::kOk);
  CHECK(StatusCodeFor(418) == absl::StatusCode::kInvalidArgument);
  CHECK(StatusCodeFor(599) == absl::StatusCode::kUnknown);
  CHECK(StatusCodeFor(0) == absl::StatusCode::kUnknown);
}

TEST_CASE("A problem document carries title, status, detail, code and request id") {
  const Response response = ProblemResponse(absl::NotFoundError("no \"such\" key"), "req-1");
  CHECK(response.status == 404);
  CHECK(response.headers.Get("Content-Type") == "application/problem+json");
  CHECK(response.headers.Get("Cache-Control") == "no-store");
  const auto json = nlohmann::json::parse(*response.body);
  CHECK(json == nlohmann::json{{"type", "about:blank"},
                               {"title", "Not Found"},
                               {"status", 404},
                               {"detail", "no \"such\" key"},
                               {"code", "NOT_FOUND"},
                               {"requestId", "req-1"}});
}

TEST_CASE("Extensions are merged but never replace a standard member") {
  Problem problem;
  problem.status = 400;
  problem.detail = "bad";
  problem.extensions_json = R"({"status":200,"fieldViolations":[{"field":"a"}]})";
  const auto json = nlohmann::json::parse(*ProblemResponse(problem).body);
  CHECK(json["status"] == 400);
  CHECK(json["fieldViolations"][0]["field"] == "a");
}

TEST_CASE("A detail that is not UTF-8 still gives well-formed JSON") {
  const Response response = ProblemResponse(absl::InvalidArgumentError("bytes \xff\xfe"));
  const auto json = nlohmann::json::parse(*response.body, nullptr, false);
  REQUIRE(json.is_object());
  CHECK(json["detail"] == "bytes \xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST_CASE("The names of the codes are google.rpc.Code's") {
  CHECK(CodeName(absl::StatusCode::kFailedPrecondition) == "FAILED_PRECONDITION");
  CHECK(CodeName(absl::StatusCode::kCancelled) == "CANCELLED");
  CHECK(CodeName(static_cast<absl::StatusCode>(99)) == "UNKNOWN");
}

}  // namespace
}  // namespace countersign::http
