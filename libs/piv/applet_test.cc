#include "libs/piv/applet.h"

#include <string>
#include <tuple>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/block_cipher.h"
#include "libs/crypto/private_key.h"
#include "libs/piv/script_transport.h"
#include "libs/piv/tlv.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"

namespace countersign::piv {
namespace {

using absl::StatusCode;
using crypto::BlockCipher;
using crypto::SecretBytes;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

std::string Unhex(const std::string& hex) { return RequireOk(base::HexDecode(hex)); }
std::string Hex(absl::string_view bytes) { return base::HexEncode(bytes); }

std::string Reason(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

TEST_CASE("The applet is selected, and tells its version") {
  CHECK_THAT(Once("00a4040005a000000308", "61114f06000010000100790705a0000003089000",
                  [](Applet* applet) { return applet->Select(); }),
             IsOk());
  CHECK_THAT(Once("00a4040005a000000308", "6a82", [](Applet* applet) { return applet->Select(); }),
             StatusIs(StatusCode::kNotFound));
  const auto get = [](Applet* applet) { return applet->GetVersion(); };
  CHECK(RequireOk(Once("00fd000000", "0504039000", get)).ToString() == "5.4.3");
  CHECK_THAT(Once("00fd000000", "05049000", get), StatusIs(StatusCode::kInternal, "2 bytes"));
}

TEST_CASE("The serial number comes from the applet, and before firmware 5 from the OTP one") {
  {
    ScriptTransport script({{"00fd000000", "0507019000"}, {"00f8000000", "00bc614e9000"}});
    CHECK(RequireOk(Applet(&script).GetSerial()) == 12345678);
  }
  {
    ScriptTransport script({{"00fd000000", "0403059000"},
                            {"00a4040008a000000527200101", "9000"},
                            {"0001100000", "00a0fc459000"},
                            {"00a4040005a000000308", "9000"}});
    CHECK(RequireOk(Applet(&script).GetSerial()) == 10550341);
  }
  // PIV is selected again when the other applet is not there, too.
  ScriptTransport script({{"00fd000000", "0403059000"},
                          {"00a4040008a000000527200101", "6a82"},
                          {"00a4040005a000000308", "9000"}});
  CHECK_THAT(Applet(&script).GetSerial(), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("Asking for the PIN's tries uses none up") {
  const auto ask = [](Applet* applet) { return applet->PinTries(); };
  CHECK(RequireOk(Once("0020008000", "63c2", ask)) == 2);
  CHECK(RequireOk(Once("0020008000", "6983", ask)) == 0);
  CHECK(RequireOk(Once("0020008000", "9000", ask)) == std::nullopt);
  CHECK_THAT(Once("0020008000", "6d00", ask), StatusIs(StatusCode::kUnimplemented));
}

TEST_CASE("A PIN is padded, and its failures are told apart") {
  const std::string apdu = "0020008008313233343536ffff";
  const auto verify = [](Applet* applet) { return applet->VerifyPin(SecretBytes("123456")); };
  CHECK_THAT(Once(apdu, "9000", verify), IsOk());
  const absl::Status wrong = Once(apdu, "63c1", verify);
  CHECK_THAT(wrong, StatusIs(StatusCode::kPermissionDenied, "tries left: 1"));
  CHECK(Reason(wrong) == kWrongPin);
  CHECK(TriesLeftOf(wrong) == 1);
  CHECK(wrong.ToString().find("123456") == std::string::npos);
  const absl::Status blocked = Once(apdu, "6983", verify);
  CHECK_THAT(blocked, StatusIs(StatusCode::kFailedPrecondition, "6983"));
  CHECK(Reason(blocked) == kPinBlocked);
  CHECK(TriesLeftOf(blocked) == std::nullopt);
  // Nothing is sent.
  ScriptTransport script({});
  for (const char* pin : {"", "12345", "123456789"}) {
    const absl::Status status = Applet(&script).VerifyPin(SecretBytes(pin));
    CHECK_THAT(status, StatusIs(StatusCode::kInvalidArgument, "6 to 8"));
  }
}

TEST_CASE("PIN and PUK are changed by old and new") {
  const SecretBytes old_pin("123456");
  const SecretBytes new_pin("87654321");
  const std::string both = "10313233343536ffff3837363534333231";
  CHECK_THAT(Once("00240080" + both, "9000",
                  [&](Applet* applet) { return applet->ChangePin(old_pin, new_pin); }),
             IsOk());
  const absl::Status puk = Once("00240081" + both, "6983", [&](Applet* applet) {
    return applet->ChangePuk(old_pin, new_pin);
  });
  CHECK(Reason(puk) == kPukBlocked);
  const absl::Status unblock = Once("002c0080" + both, "63c0", [&](Applet* applet) {
    return applet->UnblockPin(old_pin, new_pin);
  });
  CHECK_THAT(unblock, StatusIs(StatusCode::kPermissionDenied, "the PUK is wrong"));
  CHECK(TriesLeftOf(unblock) == 0);
  CHECK_THAT(Once("00fa050800", "6982", [](Applet* applet) { return applet->SetPinRetries(5, 8); }),
             StatusIs(StatusCode::kUnauthenticated));
  ScriptTransport none({});
  CHECK_THAT(Applet(&none).SetPinRetries(0, 3), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(Applet(&none).SetPinRetries(3, 256), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(Applet(&none).ChangePin(old_pin, SecretBytes("1")),
             StatusIs(StatusCode::kInvalidArgument, "new PIN"));
}

TEST_CASE("Logging out falls back on selecting where the card does not forget") {
  {
    ScriptTransport script({{"0020ff8000", "9000"}, {"0020008000", "63c3"}});
    CHECK_THAT(Applet(&script).Logout(), IsOk());
  }
  {
    ScriptTransport script(
        {{"0020ff8000", "9000"}, {"0020008000", "9000"}, {"00a4040005a000000308", "9000"}});
    CHECK_THAT(Applet(&script).Logout(), IsOk());
  }
  ScriptTransport script({{"0020ff8000", "6a86"}, {"00a4040005a000000308", "9000"}});
  CHECK_THAT(Applet(&script).Logout(), IsOk());
}

// Plays the card's part of the mutual authentication.
class AuthenticatingCard final : public Transport {
 public:
  AuthenticatingCard(Algorithm algorithm, BlockCipher cipher, absl::string_view key, bool metadata)
      : algorithm_(algorithm), cipher_(cipher), key_(key), metadata_(metadata) {}

  absl::StatusOr<Response> Transmit(const Command& command) override {
    if (command.ins == kGetMetadata) {
      if (!metadata_) return Response{"", kInstructionNotSupported};
      return Response{absl::StrCat(Tlv(1, std::string(1, static_cast<char>(algorithm_))),
                                   Tlv(2, absl::string_view("\0\1", 2)), Tlv(5, "\1")),
                      kOk};
    }
    CHECK(command.ins == kGeneralAuthenticate);
    CHECK(command.p1 == static_cast<uint8_t>(algorithm_));
    CHECK(command.p2 == 0x9B);
    const size_t block = crypto::BlockBytes(cipher_);
    if (command.data == Unhex("7c028000")) {
      witness_ = std::string(block, 'w');
      return Response{
          Tlv(0x7C, Tlv(0x80, RequireOk(crypto::EncryptBlock(cipher_, key_, witness_)))), kOk};
    }
    CHECK(Hex(command.data.substr(0, 2)) == (block == 8 ? "7c14" : "7c24"));
    TlvReader outer(command.data);
    absl::string_view inside;
    REQUIRE(outer.Read(0x7C, &inside));
    TlvReader inner(inside);
    absl::string_view witness;
    absl::string_view challenge;
    REQUIRE(inner.Read(0x80, &witness));
    REQUIRE(inner.Read(0x81, &challenge));
    CHECK(challenges_ != challenge);
    challenges_ = std::string(challenge);
    if (witness != witness_) return Response{"", kSecurityStatusNotSatisfied};
    std::string response = RequireOk(crypto::EncryptBlock(cipher_, key_, challenge));
    if (impostor) response[0] ^= 1;
    return Response{Tlv(0x7C, Tlv(0x82, response)), kOk};
  }
  absl::Status BeginTransaction() override { return absl::OkStatus(); }
  void EndTransaction() override {}

  bool impostor = false;

 private:
  const Algorithm algorithm_;
  const BlockCipher cipher_;
  const SecretBytes key_;
  const bool metadata_;
  std::string witness_;
  std::string challenges_;
};

TEST_CASE("Card and host prove to each other that they know the management key") {
  const auto [algorithm, cipher] =
      GENERATE(std::tuple(Algorithm::kTripleDes, BlockCipher::kTripleDes),
               std::tuple(Algorithm::kAes128, BlockCipher::kAes128),
               std::tuple(Algorithm::kAes192, BlockCipher::kAes192),
               std::tuple(Algorithm::kAes256, BlockCipher::kAes256));
  const std::string key = Unhex("010203040506070801020304050607080102030405060708a1a2a3a4a5a6a7a8")
                              .substr(0, crypto::KeyBytes(cipher));
  const bool metadata = algorithm != Algorithm::kTripleDes || GENERATE(true, false);
  AuthenticatingCard card(algorithm, cipher, key, metadata);
  Applet applet(&card);
  CHECK_THAT(applet.AuthenticateManagement(SecretBytes(key)), IsOk());
  CHECK_THAT(applet.AuthenticateManagement(SecretBytes(key)), IsOk());
  std::string other = key;
  other[0] ^= 4;
  const absl::Status wrong = applet.AuthenticateManagement(SecretBytes(other));
  CHECK_THAT(wrong, StatusIs(StatusCode::kPermissionDenied));
  CHECK(Reason(wrong) == kWrongManagementKey);
  CHECK(TriesLeftOf(wrong) == std::nullopt);
  CHECK_THAT(applet.AuthenticateManagement(SecretBytes("short")),
             StatusIs(StatusCode::kInvalidArgument, "5 bytes"));
  card.impostor = true;
  CHECK_THAT(applet.AuthenticateManagement(SecretBytes(key)),
             StatusIs(StatusCode::kUnauthenticated, "does not know"));
}

TEST_CASE("A management key is set with its algorithm, and its touch") {
  const std::string hex = "010203040506070801020304050607080102030405060708";
  const SecretBytes key(Unhex(hex));
  CHECK_THAT(Once("00ffffff1b039b18" + hex, "9000",
                  [&](Applet* applet) {
                    return applet->SetManagementKey(Algorithm::kTripleDes, key, false);
                  }),
             IsOk());
  const absl::Status status = Once("00fffffe1b0a9b18" + hex, "6982", [&](Applet* applet) {
    return applet->SetManagementKey(Algorithm::kAes192, key, true);
  });
  CHECK(Reason(status) == kManagementKeyRequired);
  ScriptTransport none({});
  CHECK_THAT(Applet(&none).SetManagementKey(Algorithm::kAes256, key, false),
             StatusIs(StatusCode::kInvalidArgument, "32"));
  CHECK_THAT(Applet(&none).SetManagementKey(Algorithm::kEccP256, key, false),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("Keys are generated with their policies, and come back as SPKI") {
  const auto p256 = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const std::string spki = p256.public_key().spki_der();
  const std::string point = spki.substr(spki.size() - 65);
  const auto generated = [&](const std::string& request, const std::string& answer,
                             const KeySettings& settings) {
    return Once("0047009a" + request, answer + "9000",
                [&](Applet* applet) { return applet->GenerateKey(kAuthentication, settings); });
  };
  CHECK(RequireOk(generated("05ac03800111", "7f49438641" + Hex(point), {})) == p256.public_key());
  CHECK(RequireOk(generated("0bac09800111aa0103ab0102", "7f49438641" + Hex(point),
                            {.pin_policy = PinPolicy::kAlways,
                             .touch_policy = TouchPolicy::kAlways})) == p256.public_key());
  const auto rsa = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kRsaPkcs1_2048Sha256));
  const std::string rsa_spki = rsa.public_key().spki_der();
  // SEQUENCE { INTEGER 257 bytes, INTEGER 65537 } is the end of it.
  const std::string modulus = rsa_spki.substr(rsa_spki.size() - 5 - 256, 256);
  CHECK(RequireOk(generated("05ac03800107",
                            "7f49820109"
                            "81820100" +
                                Hex(modulus) + "8203010001",
                            {.algorithm = Algorithm::kRsa2048})) == rsa.public_key());
  const auto ed = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519));
  CHECK(RequireOk(generated("05ac038001e0", "7f49228620" + Hex(ed.public_key().raw()),
                            {.algorithm = Algorithm::kEd25519})) == ed.public_key());

  CHECK_THAT(generated("05ac03800111", "7f49438641" + Hex(std::string(65, '\4')), {}),
             StatusIs(StatusCode::kInternal));
  CHECK_THAT(generated("05ac03800111", "7f49228620" + Hex(std::string(32, '\4')), {}),
             StatusIs(StatusCode::kInternal));
  CHECK_THAT(generated("05ac03800111", "", {}), StatusIs(StatusCode::kInternal));
  ScriptTransport none({});
  CHECK_THAT(Applet(&none).GenerateKey(kSignature, {.algorithm = Algorithm::kRsa1024}),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("Status words of a use of a key become what the caller can act upon") {
  const std::string digest(32, 'd');
  const std::string apdu =
      "0087119c26"
      "7c24"
      "8200"
      "8120" +
      Hex(digest);
  const auto sign = [&](Applet* applet) {
    return applet->Sign(kSignature, Algorithm::kEccP256, digest);
  };
  CHECK(Hex(RequireOk(Once(apdu, "7c0a820830060201010201029000", sign))) == "3006020101020102");
  const auto fails = [&](const std::string& sw) { return Once(apdu, sw, sign).status(); };
  CHECK_THAT(fails("6982"), StatusIs(StatusCode::kUnauthenticated, "9c"));
  CHECK(Reason(fails("6982")) == kPinRequired);
  CHECK_THAT(fails("6983"), StatusIs(StatusCode::kFailedPrecondition));
  CHECK(Reason(fails("6983")) == kPinBlocked);
  CHECK_THAT(fails("6985"), StatusIs(StatusCode::kFailedPrecondition));
  CHECK(Reason(fails("6985")) == kTouchRequired);
  CHECK_THAT(fails("6a80"), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(fails("6a88"), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(fails("6a84"), StatusIs(StatusCode::kResourceExhausted));
  CHECK_THAT(fails("6b00"), StatusIs(StatusCode::kInvalidArgument, "slot"));
  CHECK_THAT(fails("6a86"), StatusIs(StatusCode::kInvalidArgument, "slot"));
  CHECK_THAT(fails("6d00"), StatusIs(StatusCode::kUnimplemented));
  CHECK_THAT(fails("6f00"), StatusIs(StatusCode::kInternal, "6f00"));
  CHECK_THAT(fails("6581"), StatusIs(StatusCode::kInternal, "6581"));
  for (const char* bad : {"9000", "7c009000", "7c0282009000",
                          "7c03810100"
                          "9000",
                          "7c0682043006020100"
                          "9000"}) {
    INFO(bad);
    CHECK_THAT(Once(apdu, bad, sign), StatusIs(StatusCode::kInternal));
  }
}

TEST_CASE("What a key does not take is refused before it is sent") {
  ScriptTransport none({});
  Applet applet(&none);
  CHECK_THAT(applet.Sign(kSignature, Algorithm::kEccP256, std::string(33, 'd')),
             StatusIs(StatusCode::kInvalidArgument, "33"));
  CHECK_THAT(applet.Sign(kSignature, Algorithm::kEccP256, ""),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(applet.Sign(kSignature, Algorithm::kRsa2048, std::string(255, 'd')),
             StatusIs(StatusCode::kInvalidArgument, "256"));
  CHECK_THAT(applet.Sign(kSignature, Algorithm::kAes128, std::string(16, 'd')),
             StatusIs(StatusCode::kInvalidArgument, "do not sign"));
  CHECK_THAT(applet.Agree(kKeyManagement, Algorithm::kRsa2048, std::string(65, '\4')),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(applet.Agree(kKeyManagement, Algorithm::kEccP256, std::string(64, '\4')),
             StatusIs(StatusCode::kInvalidArgument, "65 bytes"));
  CHECK_THAT(applet.Agree(kKeyManagement, Algorithm::kEccP256, std::string(65, '\3')),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(applet.Decipher(kKeyManagement, Algorithm::kEccP384, std::string(96, 'c')),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(applet.Decipher(kKeyManagement, Algorithm::kRsa2048, std::string(128, 'c')),
             StatusIs(StatusCode::kInvalidArgument, "128"));
  CHECK_THAT(applet.WriteObject(kObjectChuid, std::string(kMaxObjectBytes + 1, 'x')),
             StatusIs(StatusCode::kInvalidArgument, "3064"));
  CHECK_THAT(applet.ReadCertificate(kCardManagement), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(applet.WriteCertificate(kSignature, "no DER"), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("Agreement and decryption send points and blocks, long ones in a chain") {
  const std::string point = "\4" + std::string(64, 'p');
  const auto secret = Once(
      "0087119d47"
      "7c45"
      "8200"
      "8541" +
          Hex(point),
      "7c228220" + Hex(std::string(32, 's')) + "9000",
      [&](Applet* applet) { return applet->Agree(kKeyManagement, Algorithm::kEccP256, point); });
  REQUIRE_THAT(secret, IsOk());
  CHECK(secret->Expose(crypto::SecretAccess::Grant()) == std::string(32, 's'));
  const std::string block(256, 'c');
  const std::string data = Hex(Unhex("7c820106"
                                     "8200"
                                     "81820100") +
                               block);
  const auto plain = Once(
      "1087079dff" + data.substr(0, 510) + " 0087079d0b" + data.substr(510),
      "7c82010482820100" + Hex(std::string(256, 'm')) + "9000",
      [&](Applet* applet) { return applet->Decipher(kKeyManagement, Algorithm::kRsa2048, block); });
  REQUIRE_THAT(plain, IsOk());
  CHECK(plain->Expose(crypto::SecretAccess::Grant()) == std::string(256, 'm'));
}

TEST_CASE("Imported keys are sent by their numbers") {
  const auto ed = RequireOk(crypto::PrivateKey::FromEd25519Seed(SecretBytes(std::string(32, 'k'))));
  const SecretBytes pkcs8 = RequireOk(ed.ToPkcs8());
  CHECK_THAT(Once("00fee09a25"
                  "0720" +
                      Hex(std::string(32, 'k')) + "aa0101",
                  "9000",
                  [&](Applet* applet) {
                    return applet->ImportKey(
                        kAuthentication, pkcs8,
                        {.algorithm = Algorithm::kEd25519, .pin_policy = PinPolicy::kNever});
                  }),
             IsOk());
  ScriptTransport none({});
  CHECK_THAT(Applet(&none).ImportKey(kSignature, pkcs8, {.algorithm = Algorithm::kEccP256}),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(Applet(&none).ImportKey(kSignature, SecretBytes("no key"), {}),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("Metadata say of what kind a key is") {
  const auto p256 = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const std::string spki = p256.public_key().spki_der();
  const std::string point = spki.substr(spki.size() - 65);
  const auto get = [](Applet* applet) { return applet->GetMetadata(kSignature); };
  const SlotMetadata metadata = RequireOk(Once("00f7009c00",
                                               "01011102020302030101"
                                               "04438641" +
                                                   Hex(point) + "9000",
                                               get));
  CHECK(metadata.algorithm == Algorithm::kEccP256);
  CHECK(metadata.pin_policy == PinPolicy::kAlways);
  CHECK(metadata.touch_policy == TouchPolicy::kAlways);
  CHECK(metadata.origin == Origin::kGenerated);
  CHECK(metadata.spki_der == spki);
  // RSA-1024 and RSA-3072 on the card are known by their algorithm alone.
  const SlotMetadata small = RequireOk(Once("00f7009c00",
                                            "010106"
                                            "02020101"
                                            "030102"
                                            "048188"
                                            "818180" +
                                                std::string(256, 'c') +
                                                "8203010001"
                                                "9000",
                                            get));
  CHECK(small.algorithm == Algorithm::kRsa1024);
  CHECK(small.origin == Origin::kImported);
  CHECK(small.spki_der.empty());
  CHECK_THAT(Once("00f7009c00", "6a88", get), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(Once("00f7009c00", "6d00", get), StatusIs(StatusCode::kUnimplemented));
  CHECK_THAT(Once("00f7009c00", "9000", get), StatusIs(StatusCode::kInternal));
  CHECK_THAT(Once("00f7009c00", "01011102029000", get), StatusIs(StatusCode::kInternal));
  CHECK_THAT(Once("00f7009c00",
                  "01011104028600"
                  "9000",
                  get),
             StatusIs(StatusCode::kInternal));
}

TEST_CASE("Keys are deleted and attested by their slots") {
  CHECK_THAT(
      Once("00f6ff9500", "9000", [](Applet* applet) { return applet->DeleteKey(kRetired20); }),
      IsOk());
  const auto attest = [](Applet* applet) { return applet->Attest(kSignature); };
  CHECK(Hex(RequireOk(Once("00f99c0000", "300201009000", attest))) == "30020100");
  CHECK_THAT(Once("00f99c0000", "310201009000", attest), StatusIs(StatusCode::kInternal));
  CHECK_THAT(Once("00f99c0000", "6a80", attest),
             StatusIs(StatusCode::kInvalidArgument, "generated on the card"));
}

TEST_CASE("Resetting is refused while there is something left to try") {
  const auto reset = [](Applet* applet) { return applet->Reset(); };
  CHECK_THAT(Once("00fb000000", "9000", reset), IsOk());
  const absl::Status refused = Once("00fb000000", "6985", reset);
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(Reason(refused) == kConditions);
}

}  // namespace
}  // namespace countersign::piv
