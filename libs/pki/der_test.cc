#include "libs/pki/der.h"

#include <cstdint>
#include <limits>
#include <string>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using testing::RequireOk;

std::string Hex(absl::string_view hex) { return RequireOk(base::HexDecode(hex)); }

TEST_CASE("Lengths are read in their one form only") {
  const struct {
    std::string der;
    bool good;
  } kCases[] = {
      {Hex("0400"), true},
      {Hex("04017f"), true},
      {Hex("0481800000") + std::string(126, 'x'), true},
      {Hex("04820100") + std::string(256, 'x'), true},
      {"", false},
      {Hex("04"), false},
      {Hex("0401"), false},                              // nothing there
      {Hex("048105") + "12345", false},                  // a long form of 5
      {Hex("04817f") + std::string(127, 'x'), false},    // of 127
      {Hex("04820080") + std::string(128, 'x'), false},  // two bytes for one
      {Hex("0480") + "12" + Hex("0000"), false},         // indefinite
      {Hex("0485000000000131"), false},                  // five bytes of length
      {Hex("04ff"), false},                              // reserved
      {Hex("0484ffffffff") + "x", false},                // far beyond the end
      {Hex("1f8101") + "x", false},                      // a tag of several bytes
  };
  for (const auto& test : kCases) {
    INFO(base::HexEncode(test.der.substr(0, 16)));
    DerReader in(test.der);
    uint8_t tag;
    absl::string_view contents;
    CHECK(in.ReadAny(&tag, &contents) == test.good);
    CHECK(in.empty() == (test.good || test.der.empty()));
  }
}

TEST_CASE("A read that fails leaves the reader where it was") {
  const std::string der = Hex("0203008001") + Hex("0101ff");
  DerReader in(der);
  bool boolean;
  int64_t number;
  absl::string_view bytes;
  CHECK(!in.ReadBoolean(&boolean));
  CHECK(!in.ReadBitStringBytes(&bytes));
  CHECK(!in.Read(kOctetString, &bytes));
  CHECK(in.rest() == der);
  REQUIRE(in.ReadInt64(&number));
  CHECK(number == 0x8001);
  CHECK(!in.ReadInt64(&number));
  REQUIRE(in.ReadBoolean(&boolean));
  CHECK(boolean);
  CHECK(in.empty());
  CHECK(in.PeekTag() == 0);
  bool present = true;
  CHECK(in.ReadOptional(kInteger, &bytes, &present));
  CHECK(!present);
}

TEST_CASE("Integers have one form, and a magnitude no sign") {
  for (const int64_t value :
       {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{127}, int64_t{128}, int64_t{-128},
        int64_t{-129}, int64_t{65535}, std::numeric_limits<int64_t>::max(),
        std::numeric_limits<int64_t>::min()}) {
    DerWriter out;
    out.AddInt64(value);
    DerReader in(out.der());
    int64_t read;
    REQUIRE(in.ReadInt64(&read));
    CHECK(read == value);
    absl::string_view magnitude;
    CHECK(DerReader(out.der()).ReadUnsigned(&magnitude) == (value >= 0));
  }
  for (const char* bad : {"0200", "02020001", "0202ff80", "0209008000000000000000"}) {
    INFO(bad);
    const std::string der = Hex(bad);
    int64_t value;
    CHECK(!DerReader(der).ReadInt64(&value));
  }
  const std::string large = Hex("0209008000000000000000");
  absl::string_view magnitude;
  REQUIRE(DerReader(large).ReadUnsigned(&magnitude));
  CHECK(magnitude == Hex("8000000000000000"));
  DerWriter out;
  out.AddUnsigned(Hex("00008000000000000000"));
  CHECK(out.der() == large);
  DerWriter zero;
  zero.AddUnsigned("");
  zero.AddUnsigned(Hex("0000"));
  CHECK(zero.der() == Hex("020100020100"));
}

TEST_CASE("Booleans are 00 or FF, and bit strings of bytes have no unused bits") {
  bool boolean;
  absl::string_view bytes;
  CHECK(!DerReader(Hex("010101")).ReadBoolean(&boolean));
  CHECK(!DerReader(Hex("0102ffff")).ReadBoolean(&boolean));
  CHECK(!DerReader(Hex("0100")).ReadBoolean(&boolean));
  CHECK(!DerReader(Hex("0300")).ReadBitStringBytes(&bytes));
  CHECK(!DerReader(Hex("030201fe")).ReadBitStringBytes(&bytes));
  const std::string der = Hex("030200fe");
  REQUIRE(DerReader(der).ReadBitStringBytes(&bytes));
  CHECK(bytes == Hex("fe"));
}

TEST_CASE("What is written nested reads back, whatever its size") {
  for (const size_t size : {0, 1, 120, 123, 124, 125, 126, 127, 128, 250, 251, 252, 253, 255, 256,
                            65530, 65536, 16777216}) {
    INFO(size);
    const std::string bytes(size, 'b');
    DerWriter out;
    const size_t outer = out.Begin(kSequence);
    const size_t inner = out.Begin(ContextConstructed(3));
    out.Add(kOctetString, bytes);
    out.End(inner);
    out.AddNull();
    out.AddBoolean(true);
    out.AddBitStringBytes(bytes);
    out.End(outer);

    DerReader in(out.der());
    DerReader sequence;
    DerReader context;
    absl::string_view octets;
    absl::string_view null;
    absl::string_view bits;
    bool boolean = false;
    REQUIRE(in.Read(kSequence, &sequence));
    CHECK(in.empty());
    REQUIRE(sequence.Read(ContextConstructed(3), &context));
    REQUIRE(context.Read(kOctetString, &octets));
    CHECK(context.empty());
    REQUIRE(sequence.Read(kNull, &null));
    CHECK(null.empty());
    REQUIRE(sequence.ReadBoolean(&boolean));
    CHECK(boolean);
    REQUIRE(sequence.ReadBitStringBytes(&bits));
    CHECK(sequence.empty());
    CHECK((octets == bytes && bits == bytes));
    std::string header;
    AppendDerHeader(kOctetString, size, &header);
    CHECK(header.size() == DerHeaderSize(size));
  }
}

}  // namespace
}  // namespace countersign::pki
