// PIN and PUK of a card.
#include "catch2/catch.hpp"
#include "libs/testing/piv/card_host.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // instructions and status words

int PinStatus(CardHost* host) { return host->Status(kVerify, 0, 0x80); }

TEST_CASE("VERIFY without data tells the tries, or that the PIN is verified, and uses none up") {
  CardHost host;
  for (int i = 0; i < 5; ++i) CHECK(PinStatus(&host) == 0x63C3);
  CHECK(host.Verify() == kOk);
  CHECK(PinStatus(&host) == kOk);
  CHECK(host.card()->pin_tries() == 3);
}

TEST_CASE("Wrong PINs count down to a block that the right one does not lift") {
  CardHost host;
  CHECK(host.Verify("000000") == 0x63C2);
  CHECK(host.Verify("000000") == 0x63C1);
  CHECK(host.Verify() == kOk);
  CHECK(host.card()->pin_tries() == 3);
  CHECK(host.Verify("000000") == 0x63C2);
  CHECK(PinStatus(&host) == 0x63C2);
  CHECK(host.Verify("000000") == 0x63C1);
  CHECK(host.Verify("000000") == 0x63C0);
  CHECK(host.Verify("000000") == kAuthenticationBlocked);
  CHECK(host.Verify() == kAuthenticationBlocked);
  CHECK(PinStatus(&host) == kAuthenticationBlocked);
  CHECK(host.card()->pin_tries() == 0);
}

TEST_CASE("P1 FF logs out; other parameters, references and lengths are refused without counting") {
  CardHost host;
  REQUIRE(host.Verify() == kOk);
  CHECK(host.Status(kVerify, 0xFF, 0x80) == kOk);
  CHECK(PinStatus(&host) == 0x63C3);
  CHECK(host.Status(kVerify, 0xFF, 0x80, Pad("123456")) == kWrongData);
  CHECK(host.Status(kVerify, 0x01, 0x80, Pad("123456")) == kWrongParameters);
  CHECK(host.Status(kVerify, 0, 0x00, Pad("123456")) == kReferenceNotFound);
  CHECK(host.Status(kVerify, 0, 0x80, "123456") == kWrongData);
  CHECK(host.Status(kVerify, 0, 0x80, "123456789") == kWrongData);
  CHECK(host.card()->pin_tries() == 3);
}

TEST_CASE("PIN and PUK are changed by whoever knows the old one, each with its own counter") {
  CardHost host;
  CHECK(host.Status(kChangeReference, 0, 0x80, Pad("000000") + Pad("654321")) == 0x63C2);
  CHECK(host.Status(kChangeReference, 0, 0x81, Pad("000000") + Pad("87654321")) == 0x63C2);
  CHECK(host.Status(kChangeReference, 0, 0x80, Pad("123456") + Pad("654321")) == kOk);
  CHECK(host.Status(kChangeReference, 0, 0x81, Pad("12345678") + Pad("87654321")) == kOk);
  CHECK(host.card()->pin_tries() == 3);
  CHECK(host.card()->puk_tries() == 3);
  CHECK(host.Verify() == 0x63C2);
  CHECK(host.Verify("654321") == kOk);
  CHECK(host.Status(kChangeReference, 0, 0x82, Pad("123456") + Pad("654321")) ==
        kReferenceNotFound);
}

TEST_CASE("A new PIN has six bytes at least, and its padding at its end") {
  CardHost host;
  for (const std::string& pin :
       {Pad("12345"), Pad(""), Pad("123456").substr(0, 7), Pad("123456") + "7",
        std::string("123\xFF"
                    "5678")}) {
    CHECK(host.Status(kChangeReference, 0, 0x80, Pad("123456") + pin) == kWrongData);
    CHECK(host.Status(kResetRetry, 0, 0x80, Pad("12345678") + pin) == kWrongData);
  }
  CHECK(host.card()->pin_tries() == 3);
  CHECK(host.card()->puk_tries() == 3);
  CHECK(host.Verify() == kOk);
}

TEST_CASE(
    "The PUK gives a blocked PIN a new value and its tries back, until it is blocked itself") {
  CardHost host;
  for (int i = 0; i < 3; ++i) host.Verify("000000");
  REQUIRE(host.Verify() == kAuthenticationBlocked);
  CHECK(host.Status(kResetRetry, 0, 0x80, Pad("00000000") + Pad("222222")) == 0x63C2);
  CHECK(host.Status(kResetRetry, 0, 0x80, Pad("12345678") + Pad("222222")) == kOk);
  CHECK(host.card()->puk_tries() == 3);
  CHECK(host.Verify("222222") == kOk);
  for (const int sw : {0x63C2, 0x63C1, 0x63C0, 0x6983}) {
    CHECK(host.Status(kResetRetry, 0, 0x80, Pad("00000000") + Pad("333333")) == sw);
  }
  CHECK(host.Status(kResetRetry, 0, 0x80, Pad("12345678") + Pad("333333")) ==
        kAuthenticationBlocked);
  CHECK(host.Status(kChangeReference, 0, 0x81, Pad("12345678") + Pad("87654321")) ==
        kAuthenticationBlocked);
}

TEST_CASE("SET RETRIES needs management key and PIN, and makes both codes the factory's again") {
  CardHost host;
  REQUIRE(host.Status(kChangeReference, 0, 0x80, Pad("123456") + Pad("654321")) == kOk);
  CHECK(host.Status(kSetPinRetries, 5, 8) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kSetPinRetries, 5, 8) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Verify("654321") == kOk);
  CHECK(host.Status(kSetPinRetries, 0, 8) == kWrongData);
  CHECK(host.Status(kSetPinRetries, 5, 8) == kOk);
  CHECK(PinStatus(&host) == 0x63C5);
  CHECK(host.card()->puk_tries() == 8);
  CHECK(host.Verify("654321") == 0x63C4);
  CHECK(host.Verify() == kOk);
  CHECK(host.card()->pin_tries() == 5);
  REQUIRE(host.Status(kSetPinRetries, 255, 255) == kOk);
  CHECK(PinStatus(&host) == 0x63CF);
}

TEST_CASE("RESET waits for both codes to be blocked, and empties the card but for f9") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  host.Generate(kAuthentication, Algorithm::kEccP256);
  REQUIRE(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc105 5301aa")) == kOk);
  const std::string attestation = host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fff01"));
  CHECK(host.Status(kReset, 0, 0) == kConditionsNotSatisfied);
  for (int i = 0; i < 3; ++i) host.Verify("000000");
  CHECK(host.Status(kReset, 0, 0) == kConditionsNotSatisfied);
  for (int i = 0; i < 3; ++i) {
    host.Status(kResetRetry, 0, 0x80, Pad("00000000") + Pad("333333"));
  }
  CHECK(host.Status(kReset, 0, 0) == kOk);
  CHECK(host.Verify() == kOk);
  CHECK(host.card()->puk_tries() == 3);
  CHECK(host.Status(kGetMetadata, 0, kAuthentication) == kReferenceNotFound);
  CHECK(host.Status(kGetData, 0x3F, 0xFF, Hex("5c035fc105")) == kObjectNotFound);
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fff01")) == attestation);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc105 5301aa")) == kSecurityStatusNotSatisfied);
}

TEST_CASE("Metadata tell whether a code is the factory's, and its tries") {
  CardHost host;
  CHECK(host.Data(kGetMetadata, 0, 0x80) == Hex("0101ff 050101 06020303"));
  CHECK(host.Data(kGetMetadata, 0, 0x81) == Hex("0101ff 050101 06020303"));
  REQUIRE(host.Status(kChangeReference, 0, 0x80, Pad("123456") + Pad("654321")) == kOk);
  host.Verify("000000");
  CHECK(host.Data(kGetMetadata, 0, 0x80) == Hex("0101ff 050100 06020302"));
  CHECK(host.Data(kGetMetadata, 0, 0x81) == Hex("0101ff 050101 06020303"));
}

}  // namespace
}  // namespace countersign::testing::piv
