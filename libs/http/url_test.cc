#include "libs/http/url.h"

#include "catch2/catch.hpp"

namespace countersign::http {
namespace {

TEST_CASE("Percent-decoding accepts any byte and refuses broken escapes") {
  CHECK(*PercentDecode("a%20b%2Fc%00d") == std::string("a b/c\0d", 7));
  CHECK(*PercentDecode("a+b") == "a+b");
  CHECK(*PercentDecode("a+b", true) == "a b");
  CHECK(*PercentDecode("%fF") == "\xff");
  for (const char* bad : {"%", "%1", "%zz", "a%2", "%%20"}) {
    CAPTURE(bad);
    CHECK(absl::IsInvalidArgument(PercentDecode(bad).status()));
  }
}

TEST_CASE("Percent-encoding is undone by decoding, for every byte") {
  std::string all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  CHECK(*PercentDecode(PercentEncode(all)) == all);
  CHECK(*PercentDecode(PercentEncode(all), true) == all);
  CHECK(PercentEncode("a-b_c.d~/:") == "a-b_c.d~%2F%3A");
}

TEST_CASE("A query becomes decoded pairs in order") {
  CHECK(*ParseQuery("a=1&b=x%20y+z&&c&a=2&d==") ==
        QueryParams{{"a", "1"}, {"b", "x y z"}, {"c", ""}, {"a", "2"}, {"d", "="}});
  CHECK(ParseQuery("")->empty());
  CHECK_FALSE(ParseQuery("a=%").ok());
  CHECK_FALSE(ParseQuery("%=a").ok());
}

TEST_CASE("Addresses are host and port, IPv6 in brackets") {
  CHECK(ParseHostPort("127.0.0.1:80")->host == "127.0.0.1");
  CHECK(ParseHostPort("127.0.0.1:80")->port == 80);
  CHECK(ParseHostPort("[::1]:0")->host == "::1");
  CHECK(ParseHostPort("name:65535")->port == 65535);
  CHECK(FormatHostPort("::1", 5) == "[::1]:5");
  CHECK(FormatHostPort("a", 5) == "a:5");
  for (const char* bad : {"", ":80", "a", "a:", "a:65536", "a:-1", "a:+1", "::1:80", "[::1]",
                          "[]:1", "[::1]80", "a b:1", "a:1x", "a:000001"}) {
    CAPTURE(bad);
    CHECK(absl::IsInvalidArgument(ParseHostPort(bad).status()));
  }
}

TEST_CASE("http URLs split into host, port and target") {
  const Url plain = *ParseHttpUrl("http://example.com");
  CHECK(plain.host == "example.com");
  CHECK(plain.port == 80);
  CHECK(plain.target == "/");
  CHECK(plain.authority() == "example.com");
  const Url full = *ParseHttpUrl("HTTP://[::1]:8080/a%20b?c=d#e");
  CHECK(full.host == "::1");
  CHECK(full.port == 8080);
  CHECK(full.target == "/a%20b?c=d");
  CHECK(full.authority() == "[::1]:8080");
  CHECK(ParseHttpUrl("http://h?q")->target == "/?q");
  for (const char* bad :
       {"", "https://a/", "http://", "http:///x", "http://a:0/", "http://a:99999/", "http://u@a/",
        "http://a/b c", "http://a/\r\nX: y", "ftp://a", "http://a:/", "http://[::1/"}) {
    CAPTURE(bad);
    CHECK(absl::IsInvalidArgument(ParseHttpUrl(bad).status()));
  }
}

}  // namespace
}  // namespace countersign::http
