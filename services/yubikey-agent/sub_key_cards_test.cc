#include "services/yubikey-agent/sub_key_cards.h"

#include <future>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/crypto/digest.h"
#include "libs/piv/attestation.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/path.h"
#include "libs/pki/signature.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "services/yubikey-agent/pool_bench.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::Eventually;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

constexpr piv::KeySettings kP256 = {piv::Algorithm::kEccP256, piv::PinPolicy::kNever,
                                    piv::TouchPolicy::kNever};

// Makes the card's key in 9c an authority.
void MakeAuthority(Card* card, const crypto::PublicKey& key) {
  pki::CertificateTemplate what = pki::TestCaTemplate("CN=Release signing");
  what.issuer_der = what.subject_der;
  what.spki_der = key.spki_der();
  what.subject_key_id = pki::KeyIdentifier(what.spki_der);
  const std::string tbs = pki::BuildTbsCertificate(what);
  OnCard(card, [&](piv::Applet& applet) {
    const std::string signature =
        RequireOk(applet.Sign(piv::kSignature, piv::Algorithm::kEccP256,
                              crypto::Digest(crypto::DigestAlgorithm::kSha256, tbs)));
    RequireOk(applet.WriteCertificate(
        piv::kSignature, pki::AssembleSigned(tbs, what.signature_algorithm, signature)));
  });
}

absl::StatusOr<SubKeyCertificates> Issue(const SubKeyIssuer& issuer, const SubKeySpec& spec,
                                         const crypto::PrivateKey& key) {
  std::promise<absl::StatusOr<SubKeyCertificates>> result;
  issuer.Issue(spec, key, absl::InfiniteFuture(),
               [&](absl::StatusOr<SubKeyCertificates> issued) { result.set_value(issued); });
  return result.get_future().get();
}

TEST_CASE("a card certifies a sub-key, and attests the key that did") {
  const auto card = MakeCard(1234);
  const crypto::PublicKey key = GenerateOn(card.get(), piv::kSignature, kP256);
  MakeAuthority(card.get(), key);
  PoolBench bench;
  bench.Insert(card.get());
  const SubKeyIssuer issuer(IssuerOverPool(&bench.pool(), nullptr));
  SubKeySpec spec;
  spec.id = "ci";
  spec.card_key = SlotName(*card, "9c");
  spec.common_name = "ci";
  const auto sub_key = RequireOk(crypto::PrivateKey::Generate(spec.algorithm));
  const SubKeyCertificates issued = RequireOk(Issue(issuer, spec, sub_key));
  REQUIRE(issued.chain.size() == 2);
  const std::vector<pki::Certificate> path = {RequireOk(pki::ParseCertificate(issued.chain[0])),
                                              RequireOk(pki::ParseCertificate(issued.chain[1]))};
  CHECK_THAT(pki::CheckPath(path, absl::Now()), IsOk());
  CHECK(path[1].spki_der == key.spki_der());
  // Attestation, card and certificate are of one key.
  REQUIRE(issued.attestation.size() == 2);
  const auto facts = RequireOk(piv::VerifyAttestation(
      issued.attestation[0], {issued.attestation[1]}, {Card::AttestationRoot()}, absl::Now()));
  CHECK(facts.spki_der == path[1].spki_der);
  CHECK(facts.serial == 1234);

  bench.Remove(card.get());
  REQUIRE(Eventually([&] { return !bench.Has(1234); }));
  CHECK_THAT(Issue(issuer, spec, sub_key), StatusIs(absl::StatusCode::kNotFound));
}

TEST_CASE("a key that is on two cards certifies by either, and an imported one is not attested") {
  const auto a = MakeCard(1);
  const auto b = MakeCard(2);
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  ImportOn(a.get(), piv::kSignature, key, kP256);
  ImportOn(b.get(), piv::kSignature, key, kP256);
  MakeAuthority(a.get(), key.public_key());
  PoolBench bench;
  bench.Insert(a.get());
  bench.Insert(b.get());
  const SubKeyIssuer issuer(IssuerOverPool(&bench.pool(), nullptr));
  SubKeySpec spec;
  spec.id = "ci";
  spec.card_key = absl::StrCat("keys/", key.public_key().Fingerprint());
  spec.common_name = "ci";
  const auto sub_key = RequireOk(crypto::PrivateKey::Generate(spec.algorithm));
  CHECK(RequireOk(Issue(issuer, spec, sub_key)).attestation.empty());
  // By its slot on the other card, where there is no certificate.
  spec.card_key = SlotName(*b, "9c");
  CHECK(ReasonOf(Issue(issuer, spec, sub_key).status()) == "NOT_AN_AUTHORITY");
}

}  // namespace
}  // namespace countersign::yubikey
