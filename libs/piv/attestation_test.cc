#include "libs/piv/attestation.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/piv/test_attestation.h"
#include "libs/pki/certificate.h"
#include "libs/pki/pem.h"
#include "libs/pki/signature.h"
#include "libs/testing/matchers.h"

namespace countersign::piv {
namespace {

using absl::StatusCode;
using crypto::PrivateKey;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

std::string Published(const std::string& name) {
  return RequireOk(pki::DerFromDerOrPem(
      RequireOk(base::ReadFile(absl::StrCat("libs/piv/testdata/", name, ".pem"))), "CERTIFICATE"));
}

PrivateKey NewKey() { return RequireOk(PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256)); }

absl::StatusOr<Attestation> Verify(const std::string& attestation,
                                   const std::vector<std::string>& intermediates,
                                   const std::vector<std::string>& roots,
                                   absl::Time now = absl::Now()) {
  return VerifyAttestation(attestation, intermediates, roots, now);
}

TEST_CASE("Published attestations of real cards lead to Yubico's root") {
  const std::string root = Published("yubico_piv_root");
  const Attestation five =
      RequireOk(Verify(Published("yubikey_527_9c"), {Published("yubikey_527_f9")}, {root}));
  CHECK(five.slot == kSignature);
  CHECK(five.firmware.ToString() == "5.2.7");
  CHECK(five.serial == 15938765);
  CHECK(five.pin_policy == PinPolicy::kAlways);
  CHECK(five.touch_policy == TouchPolicy::kAlways);
  CHECK(five.form_factor == FormFactor::kUsbCKeychain);
  CHECK_FALSE(five.fips);
  CHECK(RequireOk(crypto::PublicKey::FromSpkiDer(five.spki_der)).type() ==
        crypto::KeyType::kEcP256);
  const Attestation four = RequireOk(
      Verify(Published("yubikey_445_fips_9c"), {Published("yubikey_445_fips_f9")}, {root}));
  CHECK(four.firmware.ToString() == "4.4.5");
  CHECK(four.serial == 10550341);
  CHECK(four.form_factor == FormFactor::kUnknown);
  CHECK(four.fips);
  // The card's word for it is in its own certificate.
  CHECK_FALSE(RequireOk(ParseAttestation(Published("yubikey_445_fips_9c"))).fips);
  // One card's certificate is not the other's.
  CHECK_THAT(Verify(Published("yubikey_527_9c"), {Published("yubikey_445_fips_f9")}, {root}),
             StatusIs(StatusCode::kFailedPrecondition, "not signed by the key of its issuer"));
}

TEST_CASE("Yubico's roots stand side by side") {
  const std::string old_root = Published("yubico_piv_root");
  const std::string new_root = Published("yubico_attestation_root_1");
  const auto parsed = RequireOk(pki::ParseCertificate(new_root));
  CHECK_THAT(parsed.CheckIssuedBy(parsed), IsOk());
  const std::string attestation = Published("yubikey_527_9c");
  const std::vector<std::string> card = {Published("yubikey_527_f9")};
  CHECK_THAT(Verify(attestation, card, {new_root, old_root}), IsOk());
  CHECK_THAT(Verify(attestation, card, {new_root}),
             StatusIs(StatusCode::kFailedPrecondition, "neither among"));
}

TEST_CASE("Every fact that an attestation states is read") {
  const PrivateKey key = NewKey();
  Attestation facts = TestFacts(key.public_key());
  facts.slot = kRetired20;
  facts.firmware = {5, 7, 1};
  facts.serial = 0xFEDCBA98;
  facts.pin_policy = PinPolicy::kNever;
  facts.touch_policy = TouchPolicy::kNever;
  facts.form_factor = FormFactor::kUsbCBio;
  facts.fips = true;
  facts.cspn = true;
  const TestChain chain = MakeTestChain(facts);
  const Attestation read = RequireOk(
      Verify(chain.attestation, {chain.card.certificate.der}, {chain.root.certificate.der}));
  CHECK(read.spki_der == key.public_key().spki_der());
  CHECK(read.slot == kRetired20);
  CHECK(read.firmware.ToString() == "5.7.1");
  CHECK(read.serial == 0xFEDCBA98);
  CHECK(read.pin_policy == PinPolicy::kNever);
  CHECK(read.touch_policy == TouchPolicy::kNever);
  CHECK(read.form_factor == FormFactor::kUsbCBio);
  CHECK(read.fips);
  CHECK(read.cspn);
  // A card that does not tell its serial number.
  facts.serial = 0;
  CHECK(RequireOk(ParseAttestation(MakeAttestation(chain.card, facts))).serial == 0);
}

TEST_CASE("A certificate that attests nothing is no attestation") {
  const pki::TestIdentity root = pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256);
  CHECK_THAT(ParseAttestation(root.certificate.der),
             StatusIs(StatusCode::kInvalidArgument, "firmware"));
  CHECK_THAT(ParseAttestation("no certificate"), StatusIs(StatusCode::kInvalidArgument));
  const TestChain chain = MakeTestChain(TestFacts(NewKey().public_key()));
  CHECK_THAT(Verify(chain.attestation, {"no certificate"}, {chain.root.certificate.der}),
             StatusIs(StatusCode::kInvalidArgument, "intermediate certificate 1"));
  CHECK_THAT(Verify(chain.attestation, {}, {"no certificate"}),
             StatusIs(StatusCode::kInvalidArgument, "root 1"));
  CHECK_THAT(Verify(chain.attestation, {chain.card.certificate.der}, {}),
             StatusIs(StatusCode::kInvalidArgument, "no root"));
}

TEST_CASE("No byte of an attestation can change unnoticed") {
  const TestChain chain = MakeTestChain(TestFacts(NewKey().public_key()));
  const std::vector<std::string> intermediates = {chain.card.certificate.der};
  const std::vector<std::string> roots = {chain.root.certificate.der};
  REQUIRE_THAT(Verify(chain.attestation, intermediates, roots), IsOk());
  for (size_t i = 0; i < chain.attestation.size(); ++i) {
    std::string altered = chain.attestation;
    altered[i] ^= 0x01;
    INFO(i);
    CHECK_FALSE(Verify(altered, intermediates, roots).ok());
  }
}

TEST_CASE("Intermediates come in any order, with others among them") {
  const PrivateKey key = NewKey();
  const pki::TestIdentity root =
      pki::MakeTestRoot(crypto::Algorithm::kEcdsaP384Sha384, "CN=Test Attestation Root");
  const pki::TestIdentity maker =
      pki::IssueTest(root, pki::TestCaTemplate("CN=Test PIV Attestation A 1"));
  const pki::TestIdentity card = pki::IssueTest(maker, TestCardTemplate());
  const pki::TestIdentity other_card = pki::IssueTest(maker, TestCardTemplate());
  const std::string attestation = MakeAttestation(card, TestFacts(key.public_key()));
  const std::string& m = maker.certificate.der;
  const std::string& c = card.certificate.der;
  const std::string& o = other_card.certificate.der;
  CHECK_THAT(Verify(attestation, {c, m}, {root.certificate.der}), IsOk());
  CHECK_THAT(Verify(attestation, {m, o, c, o}, {root.certificate.der}), IsOk());
  // What is trusted need not be self-signed.
  CHECK_THAT(Verify(attestation, {c}, {m}), IsOk());
  CHECK_THAT(Verify(attestation, {}, {c}), IsOk());
  CHECK_THAT(Verify(attestation, {c}, {root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "neither among"));
  CHECK_THAT(Verify(attestation, {m, o}, {root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "not signed"));
}

TEST_CASE("Another root of the same name is another root") {
  const TestChain chain = MakeTestChain(TestFacts(NewKey().public_key()));
  const TestChain other = MakeTestChain(TestFacts(NewKey().public_key()));
  CHECK_THAT(Verify(chain.attestation, {chain.card.certificate.der}, {other.root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "not signed by the key of its issuer"));
  // A root that the sender brought along is none.
  CHECK_FALSE(Verify(chain.attestation, {chain.card.certificate.der, chain.root.certificate.der},
                     {other.root.certificate.der})
                  .ok());
}

TEST_CASE("Issuers are judged by the time given, and the attestation is not") {
  const TestChain chain = MakeTestChain(TestFacts(NewKey().public_key()));
  const auto at = [&](absl::Time time) {
    return Verify(chain.attestation, {chain.card.certificate.der}, {chain.root.certificate.der},
                  time);
  };
  // The card's certificate begins last and ends first.
  CHECK_THAT(at(chain.card.certificate.not_after), IsOk());
  CHECK_THAT(at(chain.card.certificate.not_after + absl::Seconds(1)),
             StatusIs(StatusCode::kFailedPrecondition, "expired"));
  CHECK_THAT(at(chain.card.certificate.not_before - absl::Seconds(1)),
             StatusIs(StatusCode::kFailedPrecondition, "not valid before"));
  // The root ends before the card's certificate here.
  pki::TestIdentity root = pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256, "CN=Short Root");
  pki::CertificateTemplate lasting = TestCardTemplate();
  lasting.not_after = root.certificate.not_after + absl::Hours(1000);
  const pki::TestIdentity card = pki::IssueTest(root, lasting);
  const std::string attestation = MakeAttestation(card, TestFacts(NewKey().public_key()));
  CHECK_THAT(Verify(attestation, {card.certificate.der}, {root.certificate.der},
                    root.certificate.not_after + absl::Hours(1)),
             StatusIs(StatusCode::kFailedPrecondition, "Short Root"));
  // The attestation itself ends with neither.
  CHECK_THAT(
      Verify(attestation, {}, {card.certificate.der}, root.certificate.not_after + absl::Hours(1)),
      IsOk());
}

TEST_CASE("A card's certificate may lack basic constraints, and no other may") {
  const pki::TestIdentity root = pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256);
  pki::CertificateTemplate plain = TestCardTemplate();
  plain.basic_constraints.reset();
  const pki::TestIdentity card = pki::IssueTest(root, plain);
  const std::string attestation = MakeAttestation(card, TestFacts(NewKey().public_key()));
  CHECK_THAT(Verify(attestation, {card.certificate.der}, {root.certificate.der}), IsOk());

  const pki::TestIdentity maker = pki::IssueTest(root, plain);
  const pki::TestIdentity below = pki::IssueTest(maker, TestCardTemplate());
  CHECK_THAT(Verify(MakeAttestation(below, TestFacts(NewKey().public_key())),
                    {below.certificate.der, maker.certificate.der}, {root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "no CA"));

  plain.basic_constraints = pki::BasicConstraints{.ca = false};
  const pki::TestIdentity no_ca = pki::IssueTest(root, plain);
  CHECK_THAT(Verify(MakeAttestation(no_ca, TestFacts(NewKey().public_key())),
                    {no_ca.certificate.der}, {root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "no CA"));

  pki::CertificateTemplate useless = TestCardTemplate();
  useless.key_usage = pki::kDigitalSignature;
  const pki::TestIdentity signer = pki::IssueTest(root, useless);
  CHECK_THAT(Verify(MakeAttestation(signer, TestFacts(NewKey().public_key())),
                    {signer.certificate.der}, {root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "keyCertSign"));
}

// The forgery that the card itself would help with: its owner has a key attested, and signs by it a
// certificate that attests a key in software.
TEST_CASE("An attested key attests nothing") {
  const pki::TestIdentity root = pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256);
  pki::CertificateTemplate plain = TestCardTemplate();
  plain.basic_constraints.reset();
  const pki::TestIdentity card = pki::IssueTest(root, plain);
  PrivateKey attested = NewKey();
  const std::string honest = MakeAttestation(card, TestFacts(attested.public_key()));
  const pki::TestIdentity forger{std::move(attested), RequireOk(pki::ParseCertificate(honest))};
  const std::string forged = MakeAttestation(forger, TestFacts(NewKey().public_key()));
  REQUIRE_THAT(Verify(honest, {card.certificate.der}, {root.certificate.der}), IsOk());
  CHECK_THAT(Verify(forged, {honest, card.certificate.der}, {root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "is an attestation itself"));
  CHECK_THAT(Verify(forged, {card.certificate.der}, {honest}),
             StatusIs(StatusCode::kFailedPrecondition, "is an attestation itself"));
}

TEST_CASE("A card's path length bounds what is below it") {
  const pki::TestIdentity root = pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256);
  const pki::TestIdentity card = pki::IssueTest(root, TestCardTemplate());
  const pki::TestIdentity below = pki::IssueTest(card, pki::TestCaTemplate("CN=Below"));
  CHECK_THAT(Verify(MakeAttestation(below, TestFacts(NewKey().public_key())),
                    {below.certificate.der, card.certificate.der}, {root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "there are 1"));
}

TEST_CASE("Certificates that issue one another lead nowhere, and soon") {
  const pki::TestIdentity loop = pki::MakeTestRoot(crypto::Algorithm::kEcdsaP256Sha256, "CN=Loop");
  const TestChain chain = MakeTestChain(TestFacts(NewKey().public_key()));
  CHECK_THAT(Verify(MakeAttestation(loop, TestFacts(NewKey().public_key())), {loop.certificate.der},
                    {chain.root.certificate.der}),
             StatusIs(StatusCode::kFailedPrecondition, "to no root"));
  const std::vector<std::string> many(65, loop.certificate.der);
  CHECK_THAT(Verify(chain.attestation, many, {chain.root.certificate.der}),
             StatusIs(StatusCode::kInvalidArgument, "more than 64"));
}

}  // namespace
}  // namespace countersign::piv
