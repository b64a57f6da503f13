// The applet's client against a simulated card.
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/rsa_padding.h"
#include "libs/piv/applet.h"
#include "libs/piv/attestation.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/card.h"
#include "libs/testing/piv/card_transport.h"

namespace countersign::piv {
namespace {

using absl::StatusCode;
using crypto::DigestAlgorithm;
using crypto::PrivateKey;
using crypto::PublicKey;
using crypto::SecretBytes;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using testing::piv::Card;
using testing::piv::CardTransport;
using testing::piv::Fault;

std::string Reason(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }
absl::string_view View(const SecretBytes& secret) {
  return secret.Expose(crypto::SecretAccess::Grant());
}

SecretBytes FactoryKey() {
  return SecretBytes(
      RequireOk(base::HexDecode("010203040506070801020304050607080102030405060708")));
}
SecretBytes Pin() { return SecretBytes("123456"); }
SecretBytes Puk() { return SecretBytes("12345678"); }

struct Inserted {
  explicit Inserted(Version version = {5, 4, 3})
      : card(RequireOk(Card::Create({.serial = 10550341, .version = version}))),
        transport(card.get()),
        applet(&transport) {
    RequireOk(applet.Select());
  }
  // Also when what was done last has forgotten the PIN.
  void Authenticate() {
    RequireOk(applet.AuthenticateManagement(FactoryKey()));
    RequireOk(applet.VerifyPin(Pin()));
  }
  // A fresh PIN goes into each use of a key in 9c.
  absl::StatusOr<std::string> Sign(Slot slot, Algorithm algorithm, absl::string_view input) {
    RequireOk(applet.VerifyPin(Pin()));
    return applet.Sign(slot, algorithm, input);
  }

  std::unique_ptr<Card> card;
  CardTransport transport;
  Applet applet;
};

const Version kFirmwares[] = {{4, 3, 5}, {5, 4, 3}, {5, 7, 1}};

TEST_CASE("Each firmware tells its version and serial number") {
  const Version version = GENERATE(from_range(std::begin(kFirmwares), std::end(kFirmwares)));
  Inserted in(version);
  CHECK(RequireOk(in.applet.GetVersion()).ToString() == version.ToString());
  CHECK(RequireOk(in.applet.GetSerial()) == 10550341);
  // The PIV applet is the one that is selected afterwards.
  CHECK_THAT(in.applet.VerifyPin(Pin()), IsOk());
}

TEST_CASE("Each firmware generates, signs by, certifies and attests its kinds of keys") {
  const Version version = GENERATE(from_range(std::begin(kFirmwares), std::end(kFirmwares)));
  INFO(version.ToString());
  Inserted in(version);
  in.Authenticate();
  const std::string digest = crypto::Digest(DigestAlgorithm::kSha256, "message");
  const std::string long_digest = crypto::Digest(DigestAlgorithm::kSha384, "message");
  const std::vector<std::string> roots = {Card::AttestationRoot()};
  const std::vector<std::string> intermediates = {
      RequireOk(in.applet.ReadCertificate(kAttestation))};
  const auto attested = [&](Slot slot, const PublicKey& key) {
    const Attestation attestation = RequireOk(
        VerifyAttestation(RequireOk(in.applet.Attest(slot)), intermediates, roots, absl::Now()));
    CHECK(attestation.spki_der == key.spki_der());
    CHECK(attestation.slot == slot);
    CHECK(attestation.serial == 10550341);
    CHECK(attestation.firmware.ToString() == version.ToString());
    CHECK(attestation.pin_policy == DefaultPinPolicy(slot));
    CHECK(attestation.touch_policy == TouchPolicy::kNever);
  };

  const PublicKey p256 = RequireOk(in.applet.GenerateKey(kSignature, {}));
  CHECK(RequireOk(p256.VerifyDigest(crypto::Algorithm::kEcdsaP256Sha256, digest,
                                    RequireOk(in.Sign(kSignature, Algorithm::kEccP256, digest)))));
  attested(kSignature, p256);

  const PublicKey p384 =
      RequireOk(in.applet.GenerateKey(kAuthentication, {.algorithm = Algorithm::kEccP384}));
  CHECK(RequireOk(
      p384.VerifyDigest(crypto::Algorithm::kEcdsaP384Sha384, long_digest,
                        RequireOk(in.Sign(kAuthentication, Algorithm::kEccP384, long_digest)))));
  attested(kAuthentication, p384);

  const PublicKey rsa =
      RequireOk(in.applet.GenerateKey(kRetired20, {.algorithm = Algorithm::kRsa2048}));
  for (const crypto::Algorithm algorithm :
       {crypto::Algorithm::kRsaPkcs1_2048Sha256, crypto::Algorithm::kRsaPss2048Sha256}) {
    const std::string block = RequireOk(crypto::EncodeForSigning(algorithm, digest));
    CHECK(RequireOk(rsa.VerifyDigest(algorithm, digest,
                                     RequireOk(in.Sign(kRetired20, Algorithm::kRsa2048, block)))));
  }
  attested(kRetired20, rsa);

  const auto ed25519 =
      in.applet.GenerateKey(kCardAuthentication, {.algorithm = Algorithm::kEd25519});
  if (version.AtLeast(5, 7)) {
    REQUIRE_THAT(ed25519, IsOk());
    CHECK(RequireOk(ed25519->VerifyMessage(
        crypto::Algorithm::kEd25519, "message",
        RequireOk(in.Sign(kCardAuthentication, Algorithm::kEd25519, "message")))));
    attested(kCardAuthentication, *ed25519);
    CHECK_THAT(in.applet.DeleteKey(kCardAuthentication), IsOk());
    CHECK_THAT(in.applet.GetMetadata(kCardAuthentication), StatusIs(StatusCode::kNotFound));
  } else {
    CHECK_THAT(ed25519, StatusIs(StatusCode::kInvalidArgument));
    CHECK_THAT(in.applet.DeleteKey(kSignature), StatusIs(StatusCode::kUnimplemented));
  }

  const absl::StatusOr<SlotMetadata> metadata = in.applet.GetMetadata(kSignature);
  if (version.AtLeast(5, 3)) {
    REQUIRE_THAT(metadata, IsOk());
    CHECK(metadata->algorithm == Algorithm::kEccP256);
    CHECK(metadata->origin == Origin::kGenerated);
    CHECK(metadata->pin_policy == PinPolicy::kAlways);
    CHECK(metadata->spki_der == p256.spki_der());
    CHECK(RequireOk(in.applet.GetMetadata(kRetired20)).spki_der == rsa.spki_der());
    CHECK_THAT(in.applet.GetMetadata(kKeyManagement), StatusIs(StatusCode::kNotFound));
  } else {
    CHECK_THAT(metadata, StatusIs(StatusCode::kUnimplemented));
  }
}

TEST_CASE("A wrong PIN counts down to a block, which the PUK lifts") {
  Inserted in;
  CHECK(RequireOk(in.applet.PinTries()) == 3);
  for (const int left : {2, 1, 0}) {
    const absl::Status wrong = in.applet.VerifyPin(SecretBytes("000000"));
    CHECK_THAT(wrong, StatusIs(StatusCode::kPermissionDenied));
    CHECK(TriesLeftOf(wrong) == left);
    CHECK(RequireOk(in.applet.PinTries()) == left);
  }
  const absl::Status blocked = in.applet.VerifyPin(Pin());
  CHECK_THAT(blocked, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(Reason(blocked) == kPinBlocked);
  const absl::Status puk = in.applet.UnblockPin(SecretBytes("00000000"), Pin());
  CHECK(TriesLeftOf(puk) == 2);
  CHECK_THAT(in.applet.UnblockPin(Puk(), SecretBytes("654321")), IsOk());
  CHECK_THAT(in.applet.VerifyPin(SecretBytes("654321")), IsOk());
  CHECK(RequireOk(in.applet.PinTries()) == std::nullopt);
  CHECK_THAT(in.applet.Logout(), IsOk());
  CHECK(RequireOk(in.applet.PinTries()) == 3);
  CHECK_THAT(in.applet.ChangePin(SecretBytes("654321"), Pin()), IsOk());
  CHECK_THAT(in.applet.ChangePuk(Puk(), SecretBytes("87654321")), IsOk());
  in.Authenticate();
  CHECK_THAT(in.applet.SetPinRetries(7, 4), IsOk());
  CHECK(RequireOk(in.applet.PinTries()) == 7);
}

TEST_CASE("Only a card with nothing left to try is reset") {
  Inserted in;
  in.Authenticate();
  RequireOk(in.applet.GenerateKey(kSignature, {}));
  const absl::Status refused = in.applet.Reset();
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(Reason(refused) == kConditions);
  for (int i = 0; i < 3; ++i) {
    CHECK_FALSE(in.applet.VerifyPin(SecretBytes("000000")).ok());
    CHECK_FALSE(in.applet.UnblockPin(SecretBytes("00000000"), Pin()).ok());
  }
  const absl::Status no_puk = in.applet.UnblockPin(Puk(), Pin());
  CHECK(Reason(no_puk) == kPukBlocked);
  CHECK_THAT(in.applet.Reset(), IsOk());
  CHECK_THAT(in.applet.VerifyPin(Pin()), IsOk());
  CHECK_THAT(in.applet.GetMetadata(kSignature), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("The management key opens what changes the card, and no wrong one does") {
  const Version version = GENERATE(from_range(std::begin(kFirmwares), std::end(kFirmwares)));
  Inserted in(version);
  const absl::Status shut = in.applet.GenerateKey(kSignature, {}).status();
  CHECK_THAT(shut, StatusIs(StatusCode::kUnauthenticated));
  CHECK(Reason(shut) == kManagementKeyRequired);
  const absl::Status wrong = in.applet.AuthenticateManagement(SecretBytes(std::string(24, 'k')));
  CHECK_THAT(wrong, StatusIs(StatusCode::kPermissionDenied));
  CHECK(Reason(wrong) == kWrongManagementKey);
  CHECK_FALSE(in.applet.GenerateKey(kSignature, {}).ok());
  RequireOk(in.applet.AuthenticateManagement(FactoryKey()));
  CHECK_THAT(in.applet.GenerateKey(kSignature, {}), IsOk());

  const SecretBytes aes(std::string(32, 'k'));
  if (version.AtLeast(5, 4)) {
    CHECK_THAT(in.applet.SetManagementKey(Algorithm::kAes256, aes, false), IsOk());
    RequireOk(in.applet.Select());
    CHECK_THAT(in.applet.AuthenticateManagement(FactoryKey()),
               StatusIs(StatusCode::kInvalidArgument, "24 bytes"));
    CHECK_THAT(in.applet.AuthenticateManagement(aes), IsOk());
  } else {
    CHECK_THAT(in.applet.SetManagementKey(Algorithm::kAes256, aes, false),
               StatusIs(StatusCode::kInvalidArgument));
  }
  const SecretBytes des(std::string(16, 'k') + "12345678");
  CHECK_THAT(in.applet.SetManagementKey(Algorithm::kTripleDes, des, false), IsOk());
  RequireOk(in.applet.Select());
  CHECK_THAT(in.applet.AuthenticateManagement(des), IsOk());
}

TEST_CASE("A key in 9c wants the PIN before each use") {
  Inserted in;
  in.Authenticate();
  RequireOk(in.applet.GenerateKey(kSignature, {}));
  const std::string digest(32, 'd');
  const absl::Status without = in.applet.Sign(kSignature, Algorithm::kEccP256, digest).status();
  CHECK_THAT(without, StatusIs(StatusCode::kUnauthenticated));
  CHECK(Reason(without) == kPinRequired);
  CHECK_THAT(in.Sign(kSignature, Algorithm::kEccP256, digest), IsOk());
  CHECK_THAT(in.applet.Sign(kSignature, Algorithm::kEccP256, digest),
             StatusIs(StatusCode::kUnauthenticated));
}

TEST_CASE("A slot without a key, or with one of another kind, is told in words") {
  Inserted in;
  in.Authenticate();
  CHECK_THAT(in.Sign(kAuthentication, Algorithm::kEccP256, std::string(32, 'd')),
             StatusIs(StatusCode::kInvalidArgument, "no key of this algorithm"));
  RequireOk(in.applet.GenerateKey(kAuthentication, {.algorithm = Algorithm::kEccP384}));
  CHECK_THAT(in.Sign(kAuthentication, Algorithm::kEccP256, std::string(32, 'd')),
             StatusIs(StatusCode::kInvalidArgument, "no key of this algorithm"));
}

TEST_CASE("Imported keys are used as they are, and are not attested") {
  const auto [algorithm, known] =
      GENERATE(std::pair(Algorithm::kRsa2048, crypto::Algorithm::kRsaPkcs1_2048Sha256),
               std::pair(Algorithm::kEccP256, crypto::Algorithm::kEcdsaP256Sha256),
               std::pair(Algorithm::kEccP384, crypto::Algorithm::kEcdsaP384Sha384),
               std::pair(Algorithm::kEd25519, crypto::Algorithm::kEd25519));
  Inserted in({5, 7, 1});
  in.Authenticate();
  const PrivateKey key = RequireOk(PrivateKey::Generate(known));
  REQUIRE_THAT(in.applet.ImportKey(kAuthentication, RequireOk(key.ToPkcs8()),
                                   {.algorithm = algorithm,
                                    .pin_policy = PinPolicy::kNever,
                                    .touch_policy = TouchPolicy::kNever}),
               IsOk());
  const std::string message = "message";
  std::string input = message;
  if (known != crypto::Algorithm::kEd25519) {
    input = crypto::Digest(crypto::DigestFor(known), message);
  }
  if (algorithm == Algorithm::kRsa2048) input = RequireOk(crypto::EncodeForSigning(known, input));
  const std::string signature = RequireOk(in.applet.Sign(kAuthentication, algorithm, input));
  CHECK(RequireOk(key.public_key().VerifyMessage(known, message, signature)));
  const SlotMetadata metadata = RequireOk(in.applet.GetMetadata(kAuthentication));
  CHECK(metadata.origin == Origin::kImported);
  CHECK(metadata.pin_policy == PinPolicy::kNever);
  CHECK(metadata.spki_der == key.public_key().spki_der());
  CHECK_THAT(in.applet.Attest(kAuthentication), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("Two cards agree on a secret") {
  const auto [algorithm, size] =
      GENERATE(std::pair(Algorithm::kEccP256, 32), std::pair(Algorithm::kEccP384, 48));
  Inserted one;
  Inserted two;
  const auto point = [&, algorithm = algorithm, size = size](Inserted& in) {
    in.Authenticate();
    const std::string spki =
        RequireOk(in.applet.GenerateKey(kKeyManagement, {.algorithm = algorithm})).spki_der();
    return spki.substr(spki.size() - 1 - 2 * size);
  };
  const std::string first = point(one);
  const std::string second = point(two);
  const SecretBytes a = RequireOk(one.applet.Agree(kKeyManagement, algorithm, second));
  const SecretBytes b = RequireOk(two.applet.Agree(kKeyManagement, algorithm, first));
  CHECK(a.size() == static_cast<size_t>(size));
  CHECK(View(a) == View(b));
  std::string off_curve = second;
  off_curve.back() ^= 1;
  CHECK_THAT(one.applet.Agree(kKeyManagement, algorithm, off_curve),
             StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("A deciphered block is what was exponentiated") {
  Inserted in;
  in.Authenticate();
  RequireOk(in.applet.GenerateKey(kKeyManagement, {.algorithm = Algorithm::kRsa2048}));
  const std::string block = RequireOk(
      crypto::EncodeForSigning(crypto::Algorithm::kRsaPkcs1_2048Sha256, std::string(32, 'd')));
  // Signing and deciphering are the same operation to a card.
  const std::string signature = RequireOk(in.Sign(kKeyManagement, Algorithm::kRsa2048, block));
  CHECK(View(RequireOk(in.applet.Decipher(kKeyManagement, Algorithm::kRsa2048, block))) ==
        signature);
}

TEST_CASE("Certificates and objects go in and out, long ones in chains") {
  const Version version = GENERATE(from_range(std::begin(kFirmwares), std::end(kFirmwares)));
  Inserted in(version);
  CHECK_THAT(in.applet.ReadCertificate(kSignature), StatusIs(StatusCode::kNotFound));
  const std::string f9 = RequireOk(in.applet.ReadCertificate(kAttestation));
  CHECK_THAT(in.applet.WriteCertificate(kSignature, f9), StatusIs(StatusCode::kUnauthenticated));
  in.Authenticate();
  for (const Slot slot : UserSlots()) {
    INFO(SlotName(slot));
    CHECK_THAT(in.applet.WriteCertificate(slot, f9), IsOk());
    CHECK(RequireOk(in.applet.ReadCertificate(slot)) == f9);
    CHECK_THAT(in.applet.DeleteCertificate(slot), IsOk());
    CHECK_THAT(in.applet.ReadCertificate(slot), StatusIs(StatusCode::kNotFound));
  }
  for (const size_t size : {1, 127, 128, 247, 248, 255, 256, 3000, 3063}) {
    INFO(size);
    std::string contents(size, 'x');
    contents.back() = 'y';
    CHECK_THAT(in.applet.WriteObject(kObjectPrinted, contents), IsOk());
    CHECK(RequireOk(in.applet.ReadObject(kObjectPrinted)) == contents);
  }
  RequireOk(in.applet.Select());
  const absl::Status needs_pin = in.applet.ReadObject(kObjectPrinted).status();
  CHECK(Reason(needs_pin) == kPinRequired);
  CHECK_THAT(in.applet.ReadObject(kObjectDiscovery), IsOk());
}

TEST_CASE("Faults of the card are told apart") {
  Inserted in;
  in.Authenticate();
  RequireOk(in.applet.GenerateKey(
      kAuthentication, {.pin_policy = PinPolicy::kNever, .touch_policy = TouchPolicy::kAlways}));
  const auto sign = [&] {
    return in.applet.Sign(kAuthentication, Algorithm::kEccP256, std::string(32, 'd')).status();
  };
  CHECK_THAT(sign(), IsOk());
  in.card->AddFault({.kind = Fault::Kind::kTouchTimeout});
  const absl::Status untouched = sign();
  CHECK_THAT(untouched, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(Reason(untouched) == kTouchRequired);
  in.card->AddFault({.kind = Fault::Kind::kStatusWord,
                     .instruction = kGeneralAuthenticate,
                     .status_word = 0x6581});
  CHECK_THAT(sign(), StatusIs(StatusCode::kInternal, "6581"));
  CHECK_THAT(sign(), IsOk());
  in.card->AddFault({.kind = Fault::Kind::kRemoveBefore, .instruction = kGeneralAuthenticate});
  CHECK_THAT(sign(), StatusIs(StatusCode::kUnavailable));
}

}  // namespace
}  // namespace countersign::piv
