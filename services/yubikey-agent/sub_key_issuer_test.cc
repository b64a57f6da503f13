#include "services/yubikey-agent/sub_key_issuer.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/pki/certificate.h"
#include "libs/pki/oid.h"
#include "libs/pki/path.h"
#include "libs/pki/pem.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/yubikey-agent/sub_keys_testing.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::RunCommand;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;

crypto::PrivateKey NewKey(crypto::Algorithm algorithm) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm));
}

absl::StatusOr<SubKeyCertificates> Issue(const SubKeyIssuer& issuer, const SubKeySpec& spec,
                                         const crypto::PrivateKey& key) {
  std::optional<absl::StatusOr<SubKeyCertificates>> result;
  issuer.Issue(spec, key, absl::InfiniteFuture(),
               [&](absl::StatusOr<SubKeyCertificates> issued) { result = std::move(issued); });
  REQUIRE(result.has_value());
  return *std::move(result);
}

std::vector<pki::Certificate> Parse(const std::vector<std::string>& chain) {
  std::vector<pki::Certificate> parsed;
  for (const std::string& der : chain) parsed.push_back(RequireOk(pki::ParseCertificate(der)));
  return parsed;
}

// What `openssl verify` says of a certificate under its issuer.
std::string OpensslVerify(const std::vector<std::string>& chain, const std::string& purpose) {
  TempDir dir;
  const std::string leaf = dir.path() + "/leaf.pem";
  const std::string root = dir.path() + "/root.pem";
  RequireOk(base::WriteFileAtomically(leaf, pki::FormatPem("CERTIFICATE", chain.at(0))));
  RequireOk(base::WriteFileAtomically(root, pki::FormatPem("CERTIFICATE", chain.at(1))));
  return RunCommand(
             absl::StrCat("openssl verify -x509_strict ", purpose, " -CAfile ", root, " ", leaf))
      .output;
}

TEST_CASE("a card's key certifies keys of each kind, and openssl agrees") {
  for (const crypto::Algorithm card :
       {crypto::Algorithm::kEcdsaP256Sha256, crypto::Algorithm::kEcdsaP384Sha384,
        crypto::Algorithm::kRsaPkcs1_2048Sha256, crypto::Algorithm::kEd25519}) {
    SubKeyWorld world(card);
    for (const crypto::Algorithm algorithm :
         {crypto::Algorithm::kEcdsaP256Sha256, crypto::Algorithm::kEd25519,
          crypto::Algorithm::kHpkeX25519}) {
      INFO(crypto::AlgorithmName(card) << " certifies " << crypto::AlgorithmName(algorithm));
      SubKeySpec spec = SubKeyWorld::Spec("ci");
      spec.algorithm = algorithm;
      const crypto::PrivateKey key = NewKey(algorithm);
      const SubKeyCertificates issued = RequireOk(Issue(world.issuer, spec, key));
      REQUIRE(issued.chain.size() == 2);
      const std::vector<pki::Certificate> path = Parse(issued.chain);
      CHECK_THAT(pki::CheckPath(path, world.clock.Now()), IsOk());
      CHECK(path[0].spki_der == key.public_key().spki_der());
      CHECK(path[0].subject.CommonName() == "Release signing");
      CHECK(path[0].not_after == world.clock.Now() + absl::Hours(1));
      CHECK(issued.not_after == path[0].not_after);
      CHECK_FALSE(path[0].extensions.basic_constraints.has_value());
      const bool signs = algorithm != crypto::Algorithm::kHpkeX25519;
      CHECK(path[0].extensions.key_usage == (signs ? pki::kDigitalSignature : pki::kKeyAgreement));
      CHECK(path[0].extensions.HasExtendedKeyUsage(pki::kOidCodeSigning) == signs);
      CHECK(issued.attestation == std::vector<std::string>{"attestation of 7", "f9"});
      CHECK_THAT(OpensslVerify(issued.chain, signs ? "-purpose any" : ""), Catch::Contains(": OK"));
    }
  }
}

TEST_CASE(
    "a key may be named by its alias, and one that the card does not attest has no attestation") {
  SubKeyWorld world;
  world.card.SetAttests(false);
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.card_key = "keys/release";
  const auto issued = RequireOk(Issue(world.issuer, spec, NewKey(spec.algorithm)));
  CHECK(issued.chain.size() == 2);
  CHECK(issued.attestation.empty());
  spec.card_key = "keys/nobodys";
  CHECK_THAT(Issue(world.issuer, spec, NewKey(spec.algorithm)),
             StatusIs(absl::StatusCode::kNotFound, "keys/nobodys"));
}

TEST_CASE("a certificate never outlives its issuer") {
  SubKeyWorld world;
  world.card.SetCertificate(world.card.Certificate([&](pki::CertificateTemplate* what) {
    what->not_after = world.clock.Now() + absl::Minutes(10);
  }));
  const SubKeySpec spec = SubKeyWorld::Spec("ci");
  const auto issued = RequireOk(Issue(world.issuer, spec, NewKey(spec.algorithm)));
  CHECK(issued.not_after == world.clock.Now() + absl::Minutes(10));
  world.clock.Advance(absl::Minutes(10) + absl::Seconds(1));
  const auto expired = Issue(world.issuer, spec, NewKey(spec.algorithm)).status();
  CHECK_THAT(expired, StatusIs(absl::StatusCode::kFailedPrecondition, "expired"));
  CHECK(runtime::ReasonOf(expired) == "NOT_AN_AUTHORITY");
}

TEST_CASE("a slot without an authority's certificate certifies nothing") {
  SubKeyWorld world;
  const SubKeySpec spec = SubKeyWorld::Spec("ci");
  const auto check = [&](std::string certificate, const std::string& why) {
    INFO(why);
    world.card.SetCertificate(std::move(certificate));
    const auto status = Issue(world.issuer, spec, NewKey(spec.algorithm)).status();
    CHECK_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition, why));
    CHECK(runtime::ReasonOf(status) == "NOT_AN_AUTHORITY");
  };
  check("", "no certificate");
  check("rubbish", "");
  check(world.card.Certificate([](auto* what) { what->basic_constraints.reset(); }),
        "no authority's");
  check(world.card.Certificate([](auto* what) { what->basic_constraints->ca = false; }),
        "no authority's");
  check(world.card.Certificate([](auto* what) { what->key_usage = pki::kDigitalSignature; }),
        "keyCertSign");
  check(world.card.Certificate([](auto* what) { what->key_usage = 0; }), "keyCertSign");
  SubKeyWorld other;
  check(other.card.certificate(), "another key");
  CHECK(world.card.signatures() == 0);
}

TEST_CASE("what a card fails with is passed on, and a wrong signature is found") {
  SubKeyWorld world;
  const SubKeySpec spec = SubKeyWorld::Spec("ci");
  world.card.Fail(runtime::AttachReason(absl::FailedPreconditionError("no PIN"), kPinNeeded));
  const auto status = Issue(world.issuer, spec, NewKey(spec.algorithm)).status();
  CHECK(runtime::ReasonOf(status) == kPinNeeded);

  // A card whose key is not the certificate's after all.
  SubKeyWorld other;
  class Liar final : public CardKeys {
   public:
    Liar(FakeCardKeys* found, FakeCardKeys* signs) : found_(found), signs_(signs) {}
    absl::StatusOr<CardKey> Find(const std::string& name) override { return found_->Find(name); }
    void Sign(const std::string&, crypto::Algorithm algorithm, std::string digest,
              absl::Time deadline, SignDone done) override {
      signs_->Sign(kTestCardKey, algorithm, std::move(digest), deadline, std::move(done));
    }
    void Agree(const std::string&, std::string, absl::Time, DecryptDone) override {}
    void Decrypt(const std::string&, crypto::RsaEncryption, std::string, absl::Time,
                 DecryptDone) override {}

   private:
    FakeCardKeys* const found_;
    FakeCardKeys* const signs_;
  } liar(&world.card, &other.card);
  const SubKeyIssuer issuer(
      {.card_keys = &liar,
       .certificate = [&](const KeyPlace& place) { return world.card.CertificateIn(place); },
       .attest = [](const KeyPlace&, absl::Time,
                    const SubKeyIssuer::AttestDone& done) { done(std::vector<std::string>()); },
       .clock = &world.clock});
  CHECK_THAT(Issue(issuer, spec, NewKey(spec.algorithm)),
             StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_CASE("an authority of the sign service certifies, and its chain is verified") {
  SubKeyWorld world;
  SubKeySpec spec = SubKeyWorld::Spec("ci");
  spec.card_key.clear();
  spec.authority = kTestAuthority;
  spec.log_certificates = true;
  const crypto::PrivateKey key = NewKey(spec.algorithm);
  const auto issued = RequireOk(Issue(world.issuer, spec, key));
  CHECK(issued.inventory_name == world.authority.names().at(0));
  CHECK(world.authority.logged());
  CHECK(issued.not_after == world.clock.Now() + absl::Hours(1));
  CHECK_THAT(pki::CheckPath(Parse(issued.chain), world.clock.Now()), IsOk());
  CHECK(issued.attestation.empty());
  world.authority.Fail(absl::UnavailableError("down"));
  CHECK_THAT(Issue(world.issuer, spec, key), StatusIs(absl::StatusCode::kUnavailable, "down"));

  const SubKeyIssuer alone({.card_keys = &world.card, .clock = &world.clock});
  const auto status = Issue(alone, spec, key).status();
  CHECK_THAT(status, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(status) == "NO_SIGN_SERVICE");
}

}  // namespace
}  // namespace countersign::yubikey
