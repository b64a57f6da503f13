#include "libs/piv/apdu.h"

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/testing/matchers.h"

namespace countersign::piv {
namespace {

using testing::RequireOk;
using testing::StatusIs;

std::string Hex(absl::string_view hex) { return RequireOk(base::HexDecode(hex)); }

TEST_CASE("A command without data has an Lc of zero") {
  CHECK(EncodeCommand({0x00, 0xFD, 0x01, 0x02, ""}) == std::vector<std::string>{Hex("00fd010200")});
}

TEST_CASE("Long commands are chained in blocks of 255 bytes, the last one without the bit") {
  for (const size_t size : {1, 254, 255, 256, 510, 511, 3072}) {
    Command command{0x00, 0xDB, 0x3F, 0xFF, ""};
    for (size_t i = 0; i < size; ++i) command.data.push_back(static_cast<char>(i * 7));
    const std::vector<std::string> apdus = EncodeCommand(command);
    REQUIRE(apdus.size() == (size + 254) / 255);
    std::string joined;
    for (size_t i = 0; i < apdus.size(); ++i) {
      const Command block = RequireOk(ParseCommand(apdus[i]));
      const bool last = i + 1 == apdus.size();
      CHECK(block.cla == (last ? 0x00 : 0x10));
      CHECK(block.ins == 0xDB);
      CHECK(block.p1 == 0x3F);
      CHECK(block.p2 == 0xFF);
      if (!last) CHECK(block.data.size() == 255);
      joined += block.data;
    }
    CHECK(joined == command.data);
  }
}

TEST_CASE("All four cases of short APDUs are understood") {
  CHECK(RequireOk(ParseCommand(Hex("00f90000"))).data.empty());
  CHECK(RequireOk(ParseCommand(Hex("00f9000010"))).data.empty());
  CHECK(RequireOk(ParseCommand(Hex("00f9000002aabb"))).data == Hex("aabb"));
  CHECK(RequireOk(ParseCommand(Hex("00f9000002aabb00"))).data == Hex("aabb"));
  CHECK(RequireOk(ParseCommand(Hex("00f900000000"))).data.empty());
}

TEST_CASE("An APDU that is not as long as it says is refused") {
  for (const char* hex : {"", "00f900", "00f9000002aa", "00f9000002aabbccdd", "00f90000000002aabb",
                          "00f9000000000000"}) {
    CHECK_THAT(ParseCommand(Hex(hex)), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("A response ends with its status word") {
  const Response response = RequireOk(ParseResponse(Hex("aabb6982")));
  CHECK(response.data == Hex("aabb"));
  CHECK(response.sw == kSecurityStatusNotSatisfied);
  CHECK_FALSE(response.ok());
  CHECK(EncodeResponse(response) == Hex("aabb6982"));
  CHECK(RequireOk(ParseResponse(Hex("9000"))).ok());
  CHECK_THAT(ParseResponse(Hex("90")), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("The tries that are left are in the last digit of 63Cx alone") {
  CHECK(TriesLeft(0x63C3) == 3);
  CHECK(TriesLeft(0x63C0) == 0);
  CHECK(TriesLeft(0x9000) == -1);
  CHECK(TriesLeft(0x6300) == -1);
  CHECK(TriesLeft(kAuthenticationBlocked) == -1);
}

}  // namespace
}  // namespace countersign::piv
