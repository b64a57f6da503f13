// The management key and the data objects of a card.
#include "catch2/catch.hpp"
#include "libs/piv/tlv.h"
#include "libs/testing/piv/card_host.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // instructions, status words and TLV

constexpr uint8_t kTripleDes = static_cast<uint8_t>(Algorithm::kTripleDes);

struct ManagementKey {
  Algorithm algorithm = Algorithm::kTripleDes;
  std::string key = FactoryKey();
};

int Set(CardHost* host, const ManagementKey& to, uint8_t p2 = 0xFF) {
  const char algorithm = static_cast<char>(to.algorithm);
  return host->Status(kSetManagementKey, 0xFF, p2,
                      std::string(1, algorithm) + Tlv(kCardManagement, to.key));
}

// The card's challenge, encrypted by the host.
int AuthenticateOneWay(CardHost* host, const ManagementKey& with) {
  const auto p1 = static_cast<uint8_t>(with.algorithm);
  const std::string challenge = Unwrap(
      0x81, Unwrap(0x7C, host->Data(kGeneralAuthenticate, p1, kCardManagement, Hex("7c028100"))));
  CHECK(challenge.size() == (with.algorithm == Algorithm::kTripleDes ? 8 : 16));
  return host->Status(kGeneralAuthenticate, p1, kCardManagement,
                      Tlv(0x7C, Tlv(0x82, EncryptBlock(with.algorithm, with.key, challenge))));
}

// The card's witness, decrypted by the host, and the host's challenge, encrypted by the card.
int AuthenticateMutually(CardHost* host, const ManagementKey& with) {
  const auto p1 = static_cast<uint8_t>(with.algorithm);
  const std::string witness = Unwrap(
      0x80, Unwrap(0x7C, host->Data(kGeneralAuthenticate, p1, kCardManagement, Hex("7c028000"))));
  CHECK(witness.size() == (with.algorithm == Algorithm::kTripleDes ? 8 : 16));
  const std::string challenge(witness.size(), '7');
  std::string request = Tlv(0x80, DecryptBlock(with.algorithm, with.key, witness));
  AppendTlv(0x81, challenge, &request);
  const Response response =
      host->Send(kGeneralAuthenticate, p1, kCardManagement, Tlv(0x7C, request));
  if (response.ok()) {
    CHECK(Unwrap(0x82, Unwrap(0x7C, response.data)) ==
          EncryptBlock(with.algorithm, with.key, challenge));
  }
  return response.sw;
}

bool MayWrite(CardHost* host) {
  return host->Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 5301aa")) == kOk;
}

TEST_CASE("The management key is proven either way, with 3DES and all sizes of AES") {
  const ManagementKey keys[] = {
      {Algorithm::kTripleDes, Hex("a1a2a3a4a5a6a7a8b1b2b3b4b5b6b7b8c1c2c3c4c5c6c7c8")},
      {Algorithm::kAes128, std::string(16, 'k')},
      {Algorithm::kAes192, std::string(24, 'k')},
      {Algorithm::kAes256, std::string(32, 'k')}};
  for (const ManagementKey& key : keys) {
    CardHost host;
    REQUIRE(AuthenticateMutually(&host, {}) == kOk);
    REQUIRE(Set(&host, key) == kOk);
    for (const auto authenticate : {AuthenticateOneWay, AuthenticateMutually}) {
      REQUIRE(host.Select() == kOk);
      CHECK_FALSE(MayWrite(&host));
      CHECK(authenticate(&host, key) == kOk);
      CHECK(MayWrite(&host));
      ManagementKey wrong = key;
      wrong.key[0] = static_cast<char>(wrong.key[0] ^ 0x10);
      CHECK(authenticate(&host, wrong) == kSecurityStatusNotSatisfied);
      CHECK_FALSE(MayWrite(&host));
    }
    CHECK(host.Data(kGetMetadata, 0, kCardManagement) ==
          Hex("0101") + static_cast<char>(key.algorithm) + Hex("02020001 050100"));
  }
}

TEST_CASE("A proof is good for one challenge, and one must have been asked for") {
  CardHost host;
  const std::string response = Hex("7c0a8208") + std::string(8, 'r');
  CHECK(host.Status(kGeneralAuthenticate, kTripleDes, kCardManagement, response) ==
        kSecurityStatusNotSatisfied);
  const std::string empty = EncryptBlock(Algorithm::kTripleDes, FactoryKey(), std::string(8, '\0'));
  CHECK(host.Status(kGeneralAuthenticate, kTripleDes, kCardManagement,
                    Tlv(0x7C, Tlv(0x82, empty))) == kSecurityStatusNotSatisfied);
  CHECK(host.Status(kGeneralAuthenticate, kTripleDes, kCardManagement,
                    Hex("7c148008") + std::string(8, '\0') + Hex("8108") + std::string(8, '\0')) ==
        kSecurityStatusNotSatisfied);
  const std::string challenge = Unwrap(
      0x81,
      Unwrap(0x7C, host.Data(kGeneralAuthenticate, kTripleDes, kCardManagement, Hex("7c028100"))));
  const std::string proof =
      Tlv(0x7C, Tlv(0x82, EncryptBlock(Algorithm::kTripleDes, FactoryKey(), challenge)));
  CHECK(host.Status(kGeneralAuthenticate, kTripleDes, kCardManagement, proof) == kOk);
  CHECK(host.Status(kGeneralAuthenticate, kTripleDes, kCardManagement, proof) ==
        kSecurityStatusNotSatisfied);
  CHECK_FALSE(MayWrite(&host));
}

TEST_CASE("Authentication with another algorithm, or a request of another form, is wrong data") {
  CardHost host;
  CHECK(host.Status(kGeneralAuthenticate, 0x08, kCardManagement, Hex("7c028000")) == kWrongData);
  // SP 800-78-4 has two numbers for 3DES.
  CHECK(host.Status(kGeneralAuthenticate, 0x00, kCardManagement, Hex("7c028000")) == kOk);
  for (const char* request : {"", "7c00", "7c038000", "7d028000", "7c028500", "7c0a8008"}) {
    CHECK(host.Status(kGeneralAuthenticate, kTripleDes, kCardManagement, Hex(request)) ==
          kWrongData);
  }
}

TEST_CASE("From firmware 5.7 the factory's key is for AES-192") {
  CardHost host(Version{5, 7, 1});
  CHECK(host.Status(kGeneralAuthenticate, kTripleDes, kCardManagement, Hex("7c028000")) ==
        kWrongData);
  CHECK(host.Data(kGetMetadata, 0, kCardManagement) == Hex("01010a 02020001 050101"));
  CHECK(AuthenticateMutually(&host, {Algorithm::kAes192, FactoryKey()}) == kOk);
}

TEST_CASE("SET MANAGEMENT KEY needs the old one, a fitting length, and firmware 5.4 for AES") {
  CardHost host;
  CHECK(Set(&host, {}) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Authenticate() == kOk);
  CHECK(Set(&host, {Algorithm::kAes128, std::string(24, 'k')}) == kWrongData);
  CHECK(Set(&host, {Algorithm::kTripleDes, std::string(16, 'k')}) == kWrongData);
  CHECK(Set(&host, {Algorithm::kEccP256, std::string(24, 'k')}) == kWrongData);
  CHECK(Set(&host, {}, /*p2=*/0x00) == kWrongParameters);
  CardHost old_card(Version{5, 2, 4});
  REQUIRE(old_card.Authenticate() == kOk);
  CHECK(Set(&old_card, {Algorithm::kAes128, std::string(16, 'k')}) == kWrongData);
  CHECK(Set(&old_card, {Algorithm::kTripleDes, std::string(24, 'k')}) == kOk);
}

TEST_CASE("A management key that wants a touch does not work without one") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  REQUIRE(Set(&host, {}, /*p2=*/0xFE) == kOk);
  CHECK(host.Data(kGetMetadata, 0, kCardManagement) == Hex("010103 02020002 050101"));
  host.card()->AddFault({.kind = Fault::Kind::kTouchTimeout});
  CHECK(host.Authenticate() == kConditionsNotSatisfied);
  CHECK_FALSE(MayWrite(&host));
  CHECK(host.Authenticate() == kOk);
}

TEST_CASE("Objects are written with the management key, read by all, and deleted by nothing") {
  CardHost host;
  CHECK(host.Status(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == kObjectNotFound);
  CHECK_FALSE(MayWrite(&host));
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 5303aabbcc")) == kOk);
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == Hex("5303aabbcc"));
  REQUIRE(host.Select() == kOk);
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == Hex("5303aabbcc"));
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 5300")) == kOk);
  CHECK(host.Status(kGetData, 0x3F, 0xFF, Hex("5c035fc102")) == kObjectNotFound);
}

TEST_CASE("Lengths of objects are written in their shortest form") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  for (const size_t size : {127, 128, 255, 256, 3063}) {
    const std::string object = Tlv(0x53, std::string(size, 'x'));
    REQUIRE(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fff10") + object) == kOk);
    CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fff10")) == object);
  }
}

TEST_CASE("A card has no room for an object that is too long, nor for too many") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102") + Tlv(0x53, std::string(3064, 'x'))) ==
        kNoSpace);
  int written = 0;
  int sw = kOk;
  for (char tag = 0x01; tag < 0x21 && sw == kOk; ++tag) {
    sw = host.Status(kPutData, 0x3F, 0xFF,
                     Hex("5c035fc1") + tag + Tlv(0x53, std::string(3000, 'x')));
    written += sw == kOk ? 1 : 0;
  }
  CHECK(sw == kNoSpace);
  CHECK(written == 16);
}

TEST_CASE("GET DATA and PUT DATA refuse other parameters, tags and templates") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kGetData, 0x3F, 0x00, Hex("5c035fc102")) == kWrongParameters);
  CHECK(host.Status(kPutData, 0x00, 0xFF, Hex("5c035fc102 5300")) == kWrongParameters);
  CHECK(host.Status(kGetData, 0x3F, 0xFF, "") == kWrongData);
  CHECK(host.Status(kGetData, 0x3F, 0xFF, Hex("5c045fc10200")) == kWrongData);
  CHECK(host.Status(kGetData, 0x3F, 0xFF, Hex("5c027f61")) == kObjectNotFound);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c017e 5301aa")) == kWrongData);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 5302aa")) == kWrongData);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 7002aabb")) == kWrongData);
  CHECK(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fc102 5301aa00")) == kWrongData);
}

TEST_CASE("The discovery object is that of a card with an application PIN alone") {
  CardHost host;
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c017e")) ==
        Hex("7e12 4f0ba000000308000010000100 5f2f024000"));
}

TEST_CASE("Printed information and biometrics are read with the PIN alone") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  for (const char* tag : {"5c035fc109", "5c035fc103", "5c035fc108", "5c035fc121"}) {
    REQUIRE(host.Status(kPutData, 0x3F, 0xFF, Hex(tag) + Hex("5301aa")) == kOk);
    CHECK(host.Status(kGetData, 0x3F, 0xFF, Hex(tag)) == kSecurityStatusNotSatisfied);
  }
  REQUIRE(host.Verify() == kOk);
  CHECK(host.Data(kGetData, 0x3F, 0xFF, Hex("5c035fc109")) == Hex("5301aa"));
}

}  // namespace
}  // namespace countersign::testing::piv
