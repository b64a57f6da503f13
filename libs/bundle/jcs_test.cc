#include "libs/bundle/jcs.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "absl/strings/string_view.h"
#include "catch2/catch.hpp"
#include "libs/bundle/strict_json.h"

namespace countersign::bundle {
namespace {

double FromBits(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

TEST_CASE("Numbers are written as in RFC 8785 appendix B") {
  const struct {
    uint64_t bits;
    const char* text;
  } kCases[] = {
      {0x0000000000000000, "0"},
      {0x8000000000000000, "0"},
      {0x0000000000000001, "5e-324"},
      {0x8000000000000001, "-5e-324"},
      {0x7fefffffffffffff, "1.7976931348623157e+308"},
      {0xffefffffffffffff, "-1.7976931348623157e+308"},
      {0x4340000000000000, "9007199254740992"},
      {0xc340000000000000, "-9007199254740992"},
      {0x4430000000000000, "295147905179352830000"},
      {0x44b52d02c7e14af5, "9.999999999999997e+22"},
      {0x44b52d02c7e14af6, "1e+23"},
      {0x44b52d02c7e14af7, "1.0000000000000001e+23"},
      {0x444b1ae4d6e2ef4e, "999999999999999700000"},
      {0x444b1ae4d6e2ef4f, "999999999999999900000"},
      {0x444b1ae4d6e2ef50, "1e+21"},
      {0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
      {0x3eb0c6f7a0b5ed8d, "0.000001"},
      {0x41b3de4355555553, "333333333.3333332"},
      {0x41b3de4355555554, "333333333.33333325"},
      {0x41b3de4355555555, "333333333.3333333"},
      {0x41b3de4355555556, "333333333.3333334"},
      {0x41b3de4355555557, "333333333.33333343"},
      {0xbecbf647612f3696, "-0.0000033333333333333333"},
      {0x43143ff3c1cb0959, "1424953923781206.2"},
  };
  for (const auto& item : kCases) CHECK(CanonicalNumber(FromBits(item.bits)) == item.text);
}

TEST_CASE("The sample of RFC 8785 section 3.2 takes its canonical form") {
  const absl::string_view input = R"({
    "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
    "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
    "literals": [null, true, false]
  })";
  CHECK(*CanonicalizeJson(input) ==
        "{\"literals\":[null,true,false],"
        "\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
        "\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}");
}

TEST_CASE("Keys are sorted by UTF-16 units as in RFC 8785 section 3.2.3") {
  const absl::string_view input = R"({"\u20ac":"Euro Sign","\r":"Carriage Return",
    "\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face",
    "\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"})";
  CHECK(*CanonicalizeJson(input) ==
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xC2\x80\":\"Control\","
        "\"\xC3\xB6\":\"Latin Small Letter O With Diaeresis\",\"\xE2\x82\xAC\":\"Euro Sign\","
        "\"\xF0\x9F\x98\x80\":\"Emoji: Grinning Face\","
        "\"\xEF\xAC\xB3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

TEST_CASE("A shorter key comes before a longer one that it begins") {
  CHECK(*CanonicalizeJson(R"({"ab":1,"a":2,"":3})") == R"({"":3,"a":2,"ab":1})");
}

TEST_CASE("Canonical JSON is its own canonical form") {
  for (const char* text : {"{}", "[]", "null", "\"\"", "-0.5", "[{},[[]],{\"a\":[1,2]}]"}) {
    CHECK(*CanonicalizeJson(text) == text);
  }
}

TEST_CASE("Integers beyond 2^53 are written as the double they become") {
  CHECK(*CanonicalizeJson("9007199254740993") == "9007199254740992");
  CHECK(*CanonicalizeJson("-9007199254740993") == "-9007199254740992");
}

TEST_CASE("What I-JSON refuses has no canonical form") {
  const std::string deep(kMaxJsonDepth + 1, '[');
  for (const std::string& text :
       {std::string("{\"a\":1,\"a\":2}"), std::string(""), std::string("{"), std::string("[1,]"),
        std::string("{} {}"), std::string("\"\xFF\""), std::string("\"\\ud800\""),
        std::string("1e400"), std::string("NaN"), std::string("01"),
        deep + std::string(kMaxJsonDepth + 1, ']')}) {
    CAPTURE(text);
    CHECK(CanonicalizeJson(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
  const std::string allowed = std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']');
  CHECK(*CanonicalizeJson(allowed) == allowed);
}

TEST_CASE("A refused key is named") {
  CHECK(CanonicalizeJson(R"({"size":1,"size":2})").status().message() ==
        "not valid JSON: the key \"size\" is there twice");
}

}  // namespace
}  // namespace countersign::bundle
