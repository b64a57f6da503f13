#include "libs/piv/tlv.h"

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/testing/matchers.h"

namespace countersign::piv {
namespace {

std::string Hex(absl::string_view hex) { return testing::RequireOk(base::HexDecode(hex)); }

TEST_CASE("Lengths are written in their shortest form, tags in one or two bytes") {
  CHECK(Tlv(0x53, "") == Hex("5300"));
  CHECK(Tlv(0x7F49, "ab") == Hex("7f49026162"));
  CHECK(Tlv(0x70, std::string(127, 'x')).substr(0, 2) == Hex("707f"));
  CHECK(Tlv(0x70, std::string(128, 'x')).substr(0, 3) == Hex("708180"));
  CHECK(Tlv(0x70, std::string(255, 'x')).substr(0, 3) == Hex("7081ff"));
  CHECK(Tlv(0x70, std::string(256, 'x')).substr(0, 4) == Hex("70820100"));
  CHECK(Tlv(0x70, std::string(65535, 'x')).size() == 65539);
}

TEST_CASE("What was written is read back, one element after another") {
  std::string bytes;
  AppendTlv(0x70, std::string(300, 'c'), &bytes);
  AppendTlv(0x5F2F, "\x40", &bytes);
  AppendTlv(0xFE, "", &bytes);
  TlvReader reader(bytes);
  absl::string_view value;
  uint32_t tag = 0;
  REQUIRE(reader.Read(0x70, &value));
  CHECK(value == std::string(300, 'c'));
  REQUIRE(reader.Read(&tag, &value));
  CHECK(tag == 0x5F2F);
  CHECK(value == "\x40");
  CHECK_FALSE(reader.empty());
  REQUIRE(reader.Read(0xFE, &value));
  CHECK(value.empty());
  CHECK(reader.empty());
  CHECK_FALSE(reader.Read(&tag, &value));
}

TEST_CASE("Lengths of up to three bytes need not be the shortest") {
  absl::string_view value;
  for (const char* hex : {"8001aa", "808101aa", "80820001aa", "8083000001aa"}) {
    const std::string bytes = Hex(hex);
    TlvReader reader(bytes);
    REQUIRE(reader.Read(0x80, &value));
    CHECK(value == "\xAA");
    CHECK(reader.empty());
  }
}

TEST_CASE("What is cut short, indefinite or another tag leaves the reader where it was") {
  absl::string_view value = "kept";
  uint32_t tag = 7;
  for (const char* hex :
       {"80", "8002aa", "8081", "808200", "8080", "808400000001aa", "5f", "5f2f", "7f", "7f8101"}) {
    const std::string bytes = Hex(hex);
    TlvReader reader(bytes);
    CHECK_FALSE(reader.Read(&tag, &value));
    CHECK(reader.rest() == bytes);
  }
  const std::string bytes = Hex("8001aa");
  TlvReader reader(bytes);
  CHECK_FALSE(reader.Read(0x81, &value));
  CHECK(reader.rest() == bytes);
  CHECK(value == "kept");
  CHECK(tag == 7);
}

}  // namespace
}  // namespace countersign::piv
