#include "libs/http/message.h"

#include "catch2/catch.hpp"

namespace countersign::http {
namespace {

TEST_CASE("Header names compare without regard to case and keep their order") {
  Headers headers = {{"Content-Type", "text/plain"}, {"X-A", "1"}};
  headers.Add("x-a", "2");
  CHECK(headers.Get("content-TYPE") == "text/plain");
  CHECK(headers.Get("X-a") == "1");
  CHECK(headers.Count("X-A") == 2);
  CHECK(headers.Get("absent").empty());
  CHECK_FALSE(headers.Has("absent"));
  headers.Set("X-A", "3");
  CHECK(headers.Count("x-a") == 1);
  CHECK(headers.Get("x-a") == "3");
  headers.Remove("X-A");
  CHECK(headers.size() == 1);
}

TEST_CASE("A target splits at its first question mark") {
  Request request;
  request.target = "/a/b?c=1?d";
  CHECK(request.path() == "/a/b");
  CHECK(request.query() == "c=1?d");
  request.target = "/a";
  CHECK(request.path() == "/a");
  CHECK(request.query().empty());
}

TEST_CASE("HTTP dates are in IMF-fixdate form") {
  CHECK(FormatHttpDate(absl::FromUnixSeconds(784111777)) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(FormatHttpDate(absl::UnixEpoch()) == "Thu, 01 Jan 1970 00:00:00 GMT");
  // Every weekday, month and number, by another's reckoning.
  for (int64_t second = -3'000'000'000; second < 9'000'000'000; second += 12'345'678) {
    const absl::Time time = absl::FromUnixSeconds(second);
    CHECK(FormatHttpDate(time) ==
          absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", time, absl::UTCTimeZone()));
  }
  std::string date = "since ";
  AppendHttpDate(absl::FromUnixSeconds(253402300799), &date);
  CHECK(date == "since Fri, 31 Dec 9999 23:59:59 GMT");
}

TEST_CASE("Cache helpers replace what was set before") {
  Response response = MakeResponse(200, "text/plain", "x");
  SetImmutable(&response);
  CHECK(response.headers.Get("cache-control") == "public, max-age=31536000, immutable");
  SetMaxAge(absl::Seconds(5), &response);
  CHECK(response.headers.Get("cache-control") == "public, max-age=5");
  SetMaxAge(-absl::Seconds(5), &response);
  CHECK(response.headers.Get("cache-control") == "public, max-age=0");
  SetNoStore(&response);
  CHECK(response.headers.Get("cache-control") == "no-store");
  CHECK(response.headers.Count("cache-control") == 1);
}

TEST_CASE("If-None-Match is a list of tags, weak or strong, or a star") {
  Request request;
  CHECK_FALSE(MatchesETag(request, "\"a\""));
  request.headers.Add("If-None-Match", "\"x,y\", W/\"a\"");
  CHECK(MatchesETag(request, "\"a\""));
  CHECK(MatchesETag(request, "W/\"a\""));
  CHECK(MatchesETag(request, "\"x,y\""));
  CHECK_FALSE(MatchesETag(request, "\"x\""));
  request.headers.Set("If-None-Match", " * ");
  CHECK(MatchesETag(request, "\"anything\""));
  request.headers.Set("If-None-Match", "\"a");
  CHECK_FALSE(MatchesETag(request, "\"a\""));
}

}  // namespace
}  // namespace countersign::http
