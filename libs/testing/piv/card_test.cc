// Applets, chaining, faults and the state of a card.
#include "libs/testing/piv/card.h"

#include <unistd.h>

#include <thread>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/piv/tlv.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/card_host.h"
#include "libs/testing/temp_dir.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // instructions, status words and TLV

// The bytes that answer one APDU, in hexadecimal digits.
std::string Raw(Card* card, absl::string_view hex) {
  return base::HexEncode(RequireOk(card->Transmit(Hex(hex))));
}

TEST_CASE("SELECT answers as real cards do, for the AID and its longer forms") {
  const auto card = RequireOk(Card::Create({}));
  CHECK(Raw(card.get(), "00a4040005a000000308") == "61114f0600001000010079074f05a0000003089000");
  CHECK(Raw(card.get(), "00a4040009a00000030800001000") ==
        "61114f0600001000010079074f05a0000003089000");
  CHECK(Raw(card.get(), "00a404000ba000000308000010000100") ==
        "61114f0600001000010079074f05a0000003089000");
  CHECK(Raw(card.get(), "00a4040004a0000003") == "6a82");
  CHECK(Raw(card.get(), "00a4040005a000000309") == "6a82");
  CHECK(Raw(card.get(), "00a4000005a000000308") == "6a86");
}

TEST_CASE("Until an applet is selected, and of what it does not know, nothing is done") {
  const auto card = RequireOk(Card::Create({}));
  CHECK(Raw(card.get(), "00fd000000") == "6d00");
  Raw(card.get(), "00a4040005a000000308");
  CHECK(Raw(card.get(), "00fd000000") == "0504039000");
  CHECK(Raw(card.get(), "0001100000") == "6d00");
  CHECK(Raw(card.get(), "00f6ff9a00") == "6d00");
  CHECK(Raw(card.get(), "80fd000000") == "6e00");
  CHECK(Raw(card.get(), "04fd000000") == "6e00");
  CHECK(Raw(card.get(), "00fd00") == "6700");
  CHECK(Raw(card.get(), "00fd000005aa") == "6700");
  card->Reset();
  CHECK(Raw(card.get(), "00fd000000") == "6d00");
}

TEST_CASE("Selecting another applet, or PIV again, forgets what was verified") {
  CardHost host;
  for (const char* aid : {"a000000308", "a000000527471117", "a000000527200101"}) {
    REQUIRE(host.Verify() == kOk);
    REQUIRE(host.Authenticate() == kOk);
    REQUIRE(host.Select(Hex(aid)) == kOk);
    REQUIRE(host.Select() == kOk);
    CHECK(host.Status(kVerify, 0, 0x80) == 0x63C3);
    CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 5301aa")) ==
          kSecurityStatusNotSatisfied);
  }
  REQUIRE(host.Verify() == kOk);
  CHECK(host.Select(Hex("a000000151000000")) == kObjectNotFound);
  CHECK(host.Status(kVerify, 0, 0x80) == kOk);
}

TEST_CASE("The serial number comes from PIV since firmware 5, from the OTP applet always") {
  CardHost new_card(CardOptions{.serial = 0x01020304});
  CHECK(new_card.Data(kGetSerial, 0, 0) == Hex("01020304"));
  CardHost old_card(CardOptions{.serial = 0x01020304, .version = {4, 3, 5}});
  CHECK(old_card.Status(kGetSerial, 0, 0) == kInstructionNotSupported);
  CHECK(old_card.Data(kGetVersion, 0, 0) == Hex("040305"));
  for (CardHost* host : {&new_card, &old_card}) {
    REQUIRE(host->Select(Hex("a0000005272001")) == kOk);
    REQUIRE(host->Select(Hex("a000000527200101")) == kOk);
    CHECK(host->Data(0x01, 0x10, 0) == Hex("01020304"));
    CHECK(host->Status(0x01, 0x11, 0) == kWrongParameters);
    CHECK(host->Status(kGetVersion, 0, 0) == kInstructionNotSupported);
  }
}

TEST_CASE("The answer to reset is that of the generation") {
  CHECK(base::HexEncode(RequireOk(Card::Create({}))->atr()) ==
        "3bfd1300008131fe158073c021c057597562694b657940");
  CHECK(base::HexEncode(RequireOk(Card::Create({.version = {4, 3, 5}}))->atr()) ==
        "3bf81300008131fe15597562696b657934d4");
}

TEST_CASE("Chained blocks are joined; one of another command ends the chain") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  Card* const card = host.card();
  CHECK(Raw(card, "10db3fff055c035fc102") == "9000");
  CHECK(Raw(card, "10db3fff035303aa") == "9000");
  CHECK(Raw(card, "00db3fff02bbcc") == "9000");
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == Hex("5303aabbcc"));
  CHECK(Raw(card, "10db3fff055c035fc102") == "9000");
  CHECK(Raw(card, "00fd000000") == "0504039000");
  CHECK(Raw(card, "00db3fff035301aa") == "6a80");
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == Hex("5303aabbcc"));
}

TEST_CASE("A long answer is fetched by GET RESPONSE in parts of at most 256 bytes") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  const std::string object = Tlv(0x53, std::string(596, 'x'));
  REQUIRE(object.size() == 600);
  REQUIRE(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102") + object) == kOk);
  Card* const card = host.card();
  const auto part = [card](absl::string_view apdu) {
    return RequireOk(ParseResponse(RequireOk(card->Transmit(Hex(apdu)))));
  };
  const Response first = part("00cb3fff055c035fc102");
  CHECK(first.data == object.substr(0, 256));
  CHECK(first.sw == 0x6100);
  const Response second = part("00c0000000");
  CHECK(second.data == object.substr(256, 256));
  CHECK(second.sw == 0x6158);
  const Response third = part("00c0000058");
  CHECK(third.data == object.substr(512));
  CHECK(third.sw == kOk);
  CHECK(part("00c0000000").sw == kConditionsNotSatisfied);
  // As few as the host expects, and another command drops the rest.
  const Response eight = part("00cb3fff055c035fc10208");
  CHECK(eight.data == object.substr(0, 8));
  CHECK(eight.sw == 0x6100);
  part("00fd000000");
  CHECK(part("00c0000000").sw == kConditionsNotSatisfied);
}

TEST_CASE("A status word strikes after those that it skips, as often as it is told") {
  CardHost host;
  host.card()->AddFault({.instruction = kVerify, .skip = 1, .times = 2, .status_word = 0x6F00});
  CHECK(host.Status(kVerify, 0, 0x80) == 0x63C3);
  CHECK(host.Status(kGetVersion, 0, 0) == kOk);
  CHECK(host.Verify("000000") == 0x6F00);
  CHECK(host.Verify() == 0x6F00);
  CHECK(host.card()->pin_tries() == 3);
  CHECK(host.Verify() == kOk);
}

TEST_CASE("A fault for ever and any instruction ends with ClearFaults") {
  CardHost host;
  host.card()->AddFault({.times = -1, .status_word = 0x6581});
  for (int i = 0; i < 10; ++i) CHECK(host.Status(kGetVersion, 0, 0) == 0x6581);
  host.card()->ClearFaults();
  CHECK(host.Status(kGetVersion, 0, 0) == kOk);
}

TEST_CASE("A card pulled before a command has not done it, one pulled after it has") {
  CardHost host;
  Card* const card = host.card();
  card->AddFault({.kind = Fault::Kind::kRemoveBefore, .instruction = kVerify});
  CHECK_THAT(host.TrySend(kVerify, 0, 0x80, Pad("000000")),
             StatusIs(absl::StatusCode::kUnavailable));
  CHECK(card->pin_tries() == 3);
  CHECK(card->commands(kVerify) == 0);
  CHECK_THAT(host.TrySend(kGetVersion, 0, 0), StatusIs(absl::StatusCode::kUnavailable));
  card->Reset();
  REQUIRE(host.Select() == kOk);
  card->AddFault({.kind = Fault::Kind::kRemoveAfter, .instruction = kVerify});
  CHECK_THAT(host.TrySend(kVerify, 0, 0x80, Pad("000000")),
             StatusIs(absl::StatusCode::kUnavailable));
  CHECK(card->pin_tries() == 2);
  CHECK(card->commands(kVerify) == 1);
  card->Reset();
  REQUIRE(host.Select() == kOk);
  CHECK(host.Status(kVerify, 0, 0x80) == 0x63C2);
}

TEST_CASE("Pull ends a delay, of which the command is not done") {
  CardHost host;
  host.card()->AddFault(
      {.kind = Fault::Kind::kDelay, .instruction = kVerify, .delay = absl::Hours(1)});
  absl::StatusCode code = absl::StatusCode::kOk;
  std::thread waiting(
      [&] { code = host.card()->Transmit(Hex("00200080 08 303030303030ffff")).status().code(); });
  REQUIRE(Eventually([&] { return host.card()->commands(kVerify) == 1; }));
  host.card()->Pull();
  waiting.join();
  CHECK(code == absl::StatusCode::kUnavailable);
  CHECK(host.card()->pin_tries() == 3);
}

TEST_CASE("Operations with keys take the card's time, and Pull ends them too") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  host.card()->SetOperationTime(absl::Hours(1));
  absl::StatusCode code = absl::StatusCode::kOk;
  std::thread waiting(
      [&] { code = host.card()->Transmit(Hex("0047009a 05 ac03800111")).status().code(); });
  REQUIRE(Eventually([&] { return host.card()->commands(kGenerateAsymmetric) == 1; }));
  // Others look at the card meanwhile.
  CHECK(host.card()->pin_tries() == 3);
  host.card()->Pull();
  waiting.join();
  CHECK(code == absl::StatusCode::kUnavailable);
}

TEST_CASE("Commands are counted, chained ones once and GET RESPONSE not at all") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  const uint64_t before = host.card()->commands();
  REQUIRE(host.Status(kPutData, 0x3F, 0xFF,
                      Hex("5c035fc102") + Tlv(0x53, std::string(1000, 'x'))) == kOk);
  REQUIRE(host.Status(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == kOk);
  CHECK(host.card()->commands() == before + 2);
  CHECK(host.card()->commands(kPutData) == 1);
  CHECK(host.card()->commands(kGetResponse) == 0);
}

TEST_CASE("What a card remembers outlasts it, and is the same card whatever the options say") {
  TempDir dir;
  const std::string file = dir.path() + "/card.json";
  std::string key, certificate;
  {
    CardHost host(CardOptions{.serial = 77, .version = {5, 7, 1}, .state_file = file});
    REQUIRE(host.Authenticate() == kOk);
    key = host.Generate(kAuthentication, Algorithm::kEd25519, Hex("aa0103ab0103"));
    REQUIRE(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 5302aabb")) == kOk);
    REQUIRE(host.Status(kChangeReference, 0, 0x80, Pad("123456") + Pad("654321")) == kOk);
    REQUIRE(host.Verify("000000") == 0x63C2);
    certificate = host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fff01"));
  }
  CardHost host(CardOptions{.serial = 78, .state_file = file});
  CHECK(host.card()->serial() == 77);
  CHECK(host.Data(kGetVersion, 0, 0) == Hex("050701"));
  CHECK(host.card()->pin_tries() == 2);
  CHECK(host.Verify("654321") == kOk);
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == Hex("5302aabb"));
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fff01")) == certificate);
  CHECK(host.Data(kGetMetadata, 0, kAuthentication) ==
        Hex("0101e0 02020303 030101") + Tlv(0x04, Unwrap(0x7F49, key)));
}

TEST_CASE("A state that does not parse is DataLoss") {
  TempDir dir;
  const std::string file = dir.path() + "/card.json";
  for (const char* text : {"", "{}", "[]", "{\"serial\":1,\"version\":[5,4]}"}) {
    REQUIRE_THAT(base::WriteFileAtomically(file, text), IsOk());
    CHECK_THAT(Card::Create({.state_file = file}), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST_CASE("A state that cannot be kept is a memory failure") {
  TempDir dir;
  const std::string folder = dir.path() + "/gone";
  REQUIRE_THAT(base::EnsureDirectory(folder), IsOk());
  CardHost host(CardOptions{.state_file = folder + "/card.json"});
  REQUIRE(::unlink((folder + "/card.json").c_str()) == 0);
  REQUIRE(::rmdir(folder.c_str()) == 0);
  CHECK(host.Verify("000000") == 0x6581);
}

}  // namespace
}  // namespace countersign::testing::piv
