#include "libs/note/utf8.h"

#include <cstdint>

#include "catch2/catch.hpp"

namespace countersign::note {
namespace {

TEST_CASE("well-formed UTF-8 is read code point by code point") {
  absl::string_view text = "a\xc3\xa9\xe2\x80\x94\xf0\x9f\x94\x91";
  uint32_t c = 0;
  for (uint32_t expected : {0x61u, 0xe9u, 0x2014u, 0x1f511u}) {
    REQUIRE(ConsumeCodePoint(&text, &c));
    CHECK(c == expected);
  }
  CHECK_FALSE(ConsumeCodePoint(&text, &c));
}

TEST_CASE("the limits of each length are UTF-8") {
  for (const char* text : {"", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                           "\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    CHECK(IsUtf8(text));
  }
}

TEST_CASE("overlong, surrogate, truncated and stray bytes are not UTF-8") {
  for (const char* text :
       {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2\x41", "\xe0\x80\x80", "\xe0\x9f\xbf",
        "\xe2\x80", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "ok\xfe"}) {
    CHECK_FALSE(IsUtf8(text));
  }
}

TEST_CASE("Unicode's white space is known") {
  for (uint32_t c : {0x09u, 0x0au, 0x0du, 0x20u, 0x85u, 0xa0u, 0x1680u, 0x2000u, 0x200au, 0x2028u,
                     0x2029u, 0x202fu, 0x205fu, 0x3000u}) {
    CHECK(IsUnicodeSpace(c));
  }
  for (uint32_t c : {0x08u, 0x0eu, 0x21u, 0x84u, 0x1fffu, 0x200bu, 0x2014u, 0x3001u, 0xfeffu}) {
    CHECK_FALSE(IsUnicodeSpace(c));
  }
}

}  // namespace
}  // namespace countersign::note
