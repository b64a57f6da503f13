#include "services/verify/attestations.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/crypto/private_key.h"
#include "libs/piv/test_attestation.h"
#include "libs/pki/pem.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"

namespace countersign::verify {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

struct Fixture {
  std::string spki = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256))
                         .public_key()
                         .spki_der();
  piv::TestChain chain =
      piv::MakeTestChain(piv::TestFacts(RequireOk(crypto::PublicKey::FromSpkiDer(spki))));
  base::ManualClock clock{absl::Now()};

  Attestations Own() {
    return RequireOk(Attestations::Create({chain.root.certificate.der}, &clock));
  }
  AttestationCheck Check() const {
    AttestationCheck check;
    check.certificate = chain.attestation;
    check.intermediates = {chain.card.certificate.der};
    return check;
  }
};

std::string Reason(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

TEST_CASE("The service's own roots judge what brings none") {
  Fixture fixture;
  const Attestations own = fixture.Own();
  AttestationCheck check = fixture.Check();
  const AttestationVerdict verdict = RequireOk(own.Verify(check));
  CHECK(verdict.verified());
  CHECK(verdict.detail.empty());
  REQUIRE(verdict.facts.has_value());
  CHECK(verdict.facts->spki_der == fixture.spki);
  // Those that are brought stand in their place.
  const Fixture other;
  check.roots = {other.chain.root.certificate.der};
  const AttestationVerdict refused = RequireOk(own.Verify(check));
  CHECK(refused.reason == AttestationReason::kNotTrusted);
  CHECK(refused.facts.has_value());
  CHECK_FALSE(refused.detail.empty());
}

TEST_CASE("A verdict names the first check that failed") {
  Fixture fixture;
  const Attestations own = fixture.Own();
  AttestationCheck check = fixture.Check();
  const auto reason = [&] { return RequireOk(own.Verify(check)).reason; };
  check.expected_spki = fixture.spki;
  check.expected_serial = 12345678;
  CHECK(reason() == AttestationReason::kVerified);
  check.expected_serial = 12345679;
  CHECK(reason() == AttestationReason::kSerialMismatch);
  check.expected_spki = "another";
  CHECK(reason() == AttestationReason::kKeyMismatch);
  // An hour after the card's certificate ended.
  fixture.clock.Advance(absl::Hours(24));
  CHECK(reason() == AttestationReason::kNotTrusted);
  check.intermediates = {"no certificate"};
  CHECK(reason() == AttestationReason::kMalformed);
  check.certificate = fixture.chain.root.certificate.der;
  CHECK(reason() == AttestationReason::kMalformed);
}

TEST_CASE("A card without a serial number is no card that is expected") {
  Fixture fixture;
  piv::Attestation facts = piv::TestFacts(RequireOk(crypto::PublicKey::FromSpkiDer(fixture.spki)));
  facts.serial = 0;
  const std::string silent = piv::MakeAttestation(fixture.chain.card, facts);
  AttestationCheck check = fixture.Check();
  check.certificate = silent;
  CHECK(RequireOk(fixture.Own().Verify(check)).verified());
  for (const uint32_t serial : {0u, 12345678u}) {
    check.expected_serial = serial;
    CHECK(RequireOk(fixture.Own().Verify(check)).reason == AttestationReason::kSerialMismatch);
  }
}

TEST_CASE("Questions that cannot be decided are errors") {
  Fixture fixture;
  const Attestations own = fixture.Own();
  AttestationCheck check = fixture.Check();
  check.roots = {"no certificate"};
  CHECK(Reason(own.Verify(check).status()) == "ROOTS_MALFORMED");
  check.roots.assign(33, fixture.chain.root.certificate.der);
  CHECK(Reason(own.Verify(check).status()) == "TOO_MANY_CERTIFICATES");
  check.roots.clear();
  check.intermediates.assign(9, fixture.chain.card.certificate.der);
  CHECK(Reason(own.Verify(check).status()) == "TOO_MANY_CERTIFICATES");
  CHECK(Reason(own.Verify({}).status()) == "FIELD_MISSING");
  const Attestations none = RequireOk(Attestations::Create({}, &fixture.clock));
  const absl::Status missing = none.Verify(fixture.Check()).status();
  CHECK_THAT(missing, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(Reason(missing) == "ROOTS_MISSING");
}

TEST_CASE("Roots are certificates in PEM, at least one") {
  Fixture fixture;
  const std::string& der = fixture.chain.root.certificate.der;
  const std::string pem = pki::FormatPem("CERTIFICATE", der);
  CHECK(RequireOk(piv::ParseAttestationRoots(absl::StrCat(pem, "between\n", pem))) ==
        std::vector<std::string>{der, der});
  CHECK_THAT(piv::ParseAttestationRoots(""),
             StatusIs(StatusCode::kInvalidArgument, "no certificate"));
  CHECK_THAT(piv::ParseAttestationRoots(pki::FormatPem("PRIVATE KEY", "key")),
             StatusIs(StatusCode::kInvalidArgument, "PRIVATE KEY"));
  CHECK_THAT(Attestations::Create({"no certificate"}, &fixture.clock),
             StatusIs(StatusCode::kInvalidArgument, "root 1"));
}

}  // namespace
}  // namespace countersign::verify
