#include "libs/http/router.h"

#include "catch2/catch.hpp"

namespace countersign::http {
namespace {

Handler Names(std::string name) {
  return [name](Request request, Responder respond) {
    std::string text = name;
    for (const auto& [key, value] : request.params) text += " " + key + "=" + value;
    respond(MakeResponse(200, "text/plain", text));
  };
}

Response Ask(const Router& router, const std::string& method, const std::string& target) {
  Request request;
  request.method = method;
  request.target = target;
  Response answer;
  answer.status = 0;
  router.Route(request, [&](Response response) { answer = std::move(response); });
  return answer;
}

std::string Get(const Router& router, const std::string& target) {
  const Response response = Ask(router, "GET", target);
  return response.status == 200 ? *response.body : std::to_string(response.status);
}

TEST_CASE("The most literal pattern wins, whatever the order of registration") {
  Router router;
  REQUIRE(router.Add("GET", "/{rest...}", Names("rest")).ok());
  REQUIRE(router.Add("GET", "/keys/{key}", Names("key")).ok());
  REQUIRE(router.Add("GET", "/keys/{key}:publicKey", Names("public")).ok());
  REQUIRE(router.Add("GET", "/keys/search", Names("search")).ok());
  REQUIRE(router.Add("GET", "/keys/{key}/versions/{n}", Names("version")).ok());
  REQUIRE(router.Add("GET", "/", Names("root")).ok());
  CHECK(Get(router, "/") == "root");
  CHECK(Get(router, "/keys/search") == "search");
  CHECK(Get(router, "/keys/a?x=/y") == "key key=a");
  CHECK(Get(router, "/keys/a:publicKey") == "public key=a");
  CHECK(Get(router, "/keys/a:other") == "rest rest=keys/a:other");
  CHECK(Get(router, "/keys/a/versions/3") == "version key=a n=3");
  CHECK(Get(router, "/keys/") == "rest rest=keys/");
  CHECK(Get(router, "/keys/a/") == "rest rest=keys/a/");
}

TEST_CASE("Parameters are decoded, the rest of a path is not") {
  Router router;
  REQUIRE(router.Add("GET", "/p/{a}", Names("p")).ok());
  REQUIRE(router.Add("GET", "/r/{a...}", Names("r")).ok());
  CHECK(Get(router, "/p/x%2Fy%3A%20") == "p a=x/y: ");
  CHECK(Get(router, "/r/x%2Fy//z+=") == "r a=x%2Fy//z+=");
  CHECK(Get(router, "/r/") == "404");
  CHECK(Get(router, "/r") == "404");
  CHECK(Get(router, "/p/%zz") == "404");
  CHECK(Get(router, "/p/..") == "404");
  CHECK(Get(router, "/p/%2e%2E") == "404");
  CHECK(Get(router, "/p/") == "404");
  CHECK(Get(router, "*") == "404");
}

TEST_CASE("A known path with another method is 405 and names the methods that work") {
  Router router;
  REQUIRE(router.Add("GET", "/a", Names("get")).ok());
  REQUIRE(router.Add("POST", "/a", Names("post")).ok());
  const Response refused = Ask(router, "DELETE", "/a");
  CHECK(refused.status == 405);
  CHECK(refused.headers.Get("Allow") == "GET, HEAD, OPTIONS, POST");
  CHECK(refused.headers.Get("Content-Type") == "application/problem+json");
  const Response options = Ask(router, "OPTIONS", "/a");
  CHECK(options.status == 204);
  CHECK(options.headers.Get("Allow") == "GET, HEAD, OPTIONS, POST");
  CHECK(Ask(router, "GET", "/b").status == 404);
  CHECK(Ask(router, "OPTIONS", "/b").status == 404);
}

TEST_CASE("A less literal pattern with the right method is used before giving up with 405") {
  Router router;
  REQUIRE(router.Add("GET", "/a/b", Names("literal")).ok());
  REQUIRE(router.Add("POST", "/a/{x}", Names("param")).ok());
  CHECK(*Ask(router, "POST", "/a/b").body == "param x=b");
}

TEST_CASE("Malformed and repeated patterns are refused") {
  Router router;
  for (const char* bad : {"", "a", "/{", "/{}", "/{a b}", "/{a}/{a}", "/{a...}/b", "/{a...}:x",
                          "/x{a}", "/{a}x", "/a}b"}) {
    CAPTURE(bad);
    CHECK(absl::IsInvalidArgument(router.Add("GET", bad, Names("x"))));
  }
  REQUIRE(router.Add("GET", "/a/{x}", Names("x")).ok());
  CHECK(absl::IsAlreadyExists(router.Add("GET", "/a/{x}", Names("x"))));
  CHECK(absl::IsAlreadyExists(router.Add("GET", "/a/{y}", Names("x"))));
  CHECK(absl::IsInvalidArgument(router.Add("POST", "/a/{y}", Names("x"))));
  CHECK(router.Add("POST", "/a/{x}", Names("x")).ok());
}

TEST_CASE("A handler made from a router outlives it") {
  Handler handler;
  {
    Router router;
    REQUIRE(router.Add("GET", "/a", Names("a")).ok());
    handler = router.AsHandler();
  }
  Request request;
  request.target = std::string("/a");
  int status = 0;
  handler(request, [&](Response response) { status = response.status; });
  CHECK(status == 200);
}

}  // namespace
}  // namespace countersign::http
