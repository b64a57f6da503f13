#include "libs/base/bytes.h"

#include <array>
#include <random>
#include <string>

#include "catch2/catch.hpp"

namespace countersign::base {
namespace {

TEST_CASE("RFC 4648 section 10 vectors encode and decode") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    CHECK(Base64Encode(plain) == encoded);
    REQUIRE(Base64Decode(encoded).ok());
    CHECK(*Base64Decode(encoded) == plain);
  }
}

TEST_CASE("Base64 that is not canonical is refused") {
  for (const char* text : {"Zg", "Zg=", "Zh==", "Zm9v\n", " Zm9v", "Zm9-", "Zm9_", "Zg..",
                           "====", "Zm9vYg==Zm9v", "Zm=v"}) {
    INFO(text);
    CHECK(Base64Decode(text).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

TEST_CASE("Hexadecimal survives a round trip and refuses what is not hexadecimal") {
  std::mt19937 random(1);
  for (int length = 0; length < 100; ++length) {
    std::string bytes;
    for (int i = 0; i < length; ++i) bytes.push_back(static_cast<char>(random()));
    REQUIRE(HexDecode(HexEncode(bytes)).ok());
    CHECK(*HexDecode(HexEncode(bytes)) == bytes);
  }
  CHECK(*HexDecode("FFfe") == "\xff\xfe");
  CHECK_FALSE(HexDecode("abc").ok());
  CHECK_FALSE(HexDecode("0g").ok());
  CHECK_FALSE(HexDecode("0x").ok());
}

TEST_CASE("A reader gives back what was appended and stops at the end") {
  std::string bytes;
  AppendU16(&bytes, 0x0102);
  AppendU32(&bytes, 0x03040506);
  AppendU64(&bytes, 0x0708090a0b0c0d0e);
  CHECK(HexEncode(bytes) == "0102030405060708090a0b0c0d0e");

  ByteReader reader(bytes);
  uint8_t u8;
  uint16_t u16;
  uint32_t u32;
  uint64_t u64;
  absl::string_view rest;
  REQUIRE(reader.ReadU8(&u8));
  CHECK(u8 == 1);
  reader = ByteReader(bytes);
  REQUIRE(reader.ReadU16(&u16));
  REQUIRE(reader.ReadU32(&u32));
  CHECK(u16 == 0x0102);
  CHECK(u32 == 0x03040506);
  CHECK_FALSE(reader.ReadBytes(9, &rest));
  REQUIRE(reader.ReadU64(&u64));
  CHECK(u64 == 0x0708090a0b0c0d0e);
  CHECK(reader.empty());
  CHECK_FALSE(reader.ReadU8(&u8));
  CHECK(reader.ReadBytes(0, &rest));
}

}  // namespace
}  // namespace countersign::base
