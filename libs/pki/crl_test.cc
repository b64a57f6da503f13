#include "libs/pki/crl.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/pki/oid.h"
#include "libs/pki/pem.h"
#include "libs/pki/signature.h"
#include "libs/pki/test_authority.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::pki {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::RunCommand;
using ::countersign::testing::StatusIs;
using ::countersign::testing::TempDir;

constexpr crypto::Algorithm kP256 = crypto::Algorithm::kEcdsaP256Sha256;
constexpr absl::StatusCode kInvalid = absl::StatusCode::kInvalidArgument;

class Fixture {
 public:
  explicit Fixture(crypto::Algorithm algorithm = kP256)
      : root_(MakeTestRoot(algorithm)),
        now_(absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()))) {}

  CrlTemplate Template(absl::Span<const RevokedEntry> revoked = {}) const {
    return {.signature_algorithm = root_.key.algorithm(),
            .issuer_der = root_.certificate.subject_der,
            .authority_key_id = root_.certificate.extensions.subject_key_id,
            .number = 1000,
            .this_update = now_,
            .next_update = now_ + absl::Hours(24),
            .revoked = revoked};
  }
  std::string Sign(const CrlTemplate& what) const {
    return RequireOk(SignAndAssemble(BuildTbsCertList(what), root_.key));
  }
  // `openssl crl` on the CRL, with the CA to verify it by.
  std::string Openssl(absl::string_view der, absl::string_view options) const {
    RequireOk(base::WriteFileAtomically(dir_.path() + "/crl", der));
    RequireOk(base::WriteFileAtomically(dir_.path() + "/ca",
                                        FormatPem("CERTIFICATE", root_.certificate.der)));
    return RunCommand(absl::StrCat("cd ", dir_.path(),
                                   " && openssl crl -inform DER -in crl -CAfile ca ", options))
        .output;
  }

  const TestIdentity root_;
  const absl::Time now_;
  const TempDir dir_;
};

std::vector<RevokedEntry> SomeEntries(absl::Time now) {
  return {{.serial = "\x01", .revocation_time = now - absl::Hours(1)},
          {.serial = std::string(20, '\x7F'), .revocation_time = now, .reason = 1},
          {.serial = "\xFF\x01",
           .revocation_time =
               absl::FromCivil(absl::CivilSecond(2051, 2, 3, 4, 5, 6), absl::UTCTimeZone()),
           .reason = 10}};
}

TEST_CASE_METHOD(Fixture, "A CRL is read back as it was built") {
  const std::vector<RevokedEntry> revoked = SomeEntries(now_);
  CrlTemplate what = Template(revoked);
  what.distribution_point = "http://crl.example/shard/7.crl";
  const std::string der = Sign(what);
  const Crl crl = RequireOk(ParseCrl(der));
  CHECK(crl.der == der);
  CHECK(crl.issuer_der == what.issuer_der);
  CHECK(crl.authority_key_id == what.authority_key_id);
  CHECK(crl.number == 1000);
  CHECK(crl.this_update == what.this_update);
  CHECK(crl.next_update == what.next_update);
  CHECK(crl.distribution_point == what.distribution_point);
  CHECK_FALSE(crl.only_user_certificates);
  REQUIRE(crl.revoked.size() == revoked.size());
  for (size_t i = 0; i < revoked.size(); ++i) {
    CHECK(crl.revoked[i].serial == revoked[i].serial);
    CHECK(crl.revoked[i].revocation_time == revoked[i].revocation_time);
    CHECK(crl.revoked[i].reason == revoked[i].reason);
  }
  CHECK(RequireOk(
      CheckSignature(root_.key.public_key(), crl.signature_algorithm, crl.tbs, crl.signature)));
}

TEST_CASE("openssl verifies full and sharded CRLs, for each kind of key") {
  for (const crypto::Algorithm algorithm :
       {kP256, crypto::Algorithm::kEcdsaP384Sha384, crypto::Algorithm::kEd25519,
        crypto::Algorithm::kRsaPkcs1_2048Sha256}) {
    INFO(crypto::AlgorithmName(algorithm));
    const Fixture fixture(algorithm);
    const std::vector<RevokedEntry> revoked = SomeEntries(fixture.now_);
    CrlTemplate what = fixture.Template(revoked);
    CHECK(absl::StrContains(fixture.Openssl(fixture.Sign(what), "-noout -verify"), "verify OK"));
    what.distribution_point = "http://crl.example/shard/7.crl";
    const std::string output = fixture.Openssl(fixture.Sign(what), "-noout -verify -text");
    INFO(output);
    CHECK(absl::StrContains(output, "verify OK"));
    CHECK(absl::StrContains(output, "X509v3 Issuing Distribution Point: critical"));
    CHECK(absl::StrContains(output, "URI:http://crl.example/shard/7.crl"));
    CHECK(absl::StrContains(output, "X509v3 CRL Number: \n                1000"));
    CHECK(absl::StrContains(output, "Key Compromise"));
    CHECK(absl::StrContains(output, "Feb  3 04:05:06 2051 GMT"));
    CHECK_FALSE(absl::StrContains(output, "Unspecified"));
  }
}

TEST_CASE_METHOD(Fixture, "An empty list is absent") {
  const std::string der = Sign(Template());
  CHECK(RequireOk(ParseCrl(der)).revoked.empty());
  const std::string output = Openssl(der, "-noout -verify -text");
  CHECK(absl::StrContains(output, "verify OK"));
  CHECK(absl::StrContains(output, "No Revoked Certificates"));
}

TEST_CASE_METHOD(Fixture, "openssl verify sees a certificate as revoked by the CRL") {
  const TestIdentity leaf = IssueTest(root_, TestLeafTemplate("a.example"));
  const std::vector<RevokedEntry> revoked = {
      {.serial = leaf.certificate.serial, .revocation_time = now_ - absl::Hours(1), .reason = 4}};
  RequireOk(base::WriteFileAtomically(dir_.path() + "/leaf",
                                      FormatPem("CERTIFICATE", leaf.certificate.der)));
  const auto verify = [&](const CrlTemplate& what) {
    Openssl(Sign(what), "-out crl.pem");
    return RunCommand(
               absl::StrCat("cd ", dir_.path(),
                            " && openssl verify -crl_check -CAfile ca -CRLfile crl.pem leaf"))
        .output;
  };
  CHECK(absl::StrContains(verify(Template()), "leaf: OK"));
  CHECK(absl::StrContains(verify(Template(revoked)), "certificate revoked"));
}

TEST_CASE_METHOD(Fixture, "A million entries keep their lengths") {
  std::vector<RevokedEntry> revoked(1'000'000);
  for (size_t i = 0; i < revoked.size(); ++i) {
    revoked[i] = {.serial = absl::StrCat("s", i),
                  .revocation_time = now_ - absl::Seconds(static_cast<int64_t>(i)),
                  .reason = static_cast<int>(i % 7)};
  }
  const Crl crl = RequireOk(ParseCrl(Sign(Template(revoked))));
  REQUIRE(crl.revoked.size() == revoked.size());
  CHECK(crl.revoked.back().serial == "s999999");
  CHECK(crl.revoked.back().reason == 999'999 % 7);
}

std::string Element(uint8_t tag, absl::string_view contents) {
  DerWriter out;
  out.Add(tag, contents);
  return out.Take();
}

// A CRL in parts that can be spoilt; what ParseCrl says of it. Its signature is not looked at.
struct Shape {
  std::string version = Element(kInteger, "\x01");
  std::string algorithm = std::string(SignatureAlgorithmDer(kP256));
  std::string next_update = Element(kUtcTime, "300101000000Z");
  std::string list;
  std::string extensions = Element(
      kSequence, absl::StrCat(Element(kOid, kOidCrlNumber), Element(kOctetString, "\x02\x01\x05")));
};
absl::Status Parse(const Shape& shape) {
  const std::string outer_algorithm(SignatureAlgorithmDer(kP256));
  const std::string tbs =
      Element(kSequence,
              absl::StrCat(shape.version, shape.algorithm, Element(kSequence, ""),
                           Element(kUtcTime, "260101000000Z"), shape.next_update, shape.list,
                           Element(ContextConstructed(0), Element(kSequence, shape.extensions))));
  return ParseCrl(Element(kSequence, absl::StrCat(tbs, outer_algorithm,
                                                  Element(kBitString, std::string(1, '\0')))))
      .status();
}
std::string Idp(absl::string_view fields) {
  return Element(kSequence, absl::StrCat(Element(kOid, kOidIssuingDistributionPoint),
                                         Element(kBoolean, "\xFF"),
                                         Element(kOctetString, Element(kSequence, fields))));
}

TEST_CASE("What is no CRL of version 2, or not understood, is refused") {
  CHECK_THAT(Parse({}), IsOk());
  CHECK_THAT(Parse({.version = ""}), StatusIs(kInvalid, "version"));
  CHECK_THAT(Parse({.algorithm = std::string(SignatureAlgorithmDer(crypto::Algorithm::kEd25519))}),
             StatusIs(kInvalid, "algorithms differ"));
  CHECK_THAT(Parse({.next_update = ""}), StatusIs(kInvalid, "nextUpdate"));
  CHECK_THAT(Parse({.next_update = Element(kUtcTime, "3001010000Z")}), StatusIs(kInvalid));
  CHECK_THAT(Parse({.list = Element(kSequence, "")}), StatusIs(kInvalid, "list is empty"));
  CHECK_THAT(Parse({.list = Element(kSequence, Element(kSequence, "\x02\x01\x05"))}),
             StatusIs(kInvalid, "an entry"));
  const auto with_reason = [](absl::string_view reason, bool critical = false,
                              absl::string_view oid = kOidCrlReason) {
    const std::string extension = Element(
        kSequence, absl::StrCat(Element(kOid, oid), critical ? Element(kBoolean, "\xFF") : "",
                                Element(kOctetString, Element(kEnumerated, reason))));
    return Parse({.list = Element(
                      kSequence, Element(kSequence, absl::StrCat("\x02\x01\x05",
                                                                 Element(kUtcTime, "250101000000Z"),
                                                                 Element(kSequence, extension))))});
  };
  CHECK_THAT(with_reason("\x01"), IsOk());
  CHECK_THAT(with_reason("\x07"), StatusIs(kInvalid, "reason"));
  CHECK_THAT(with_reason("\x0B"), StatusIs(kInvalid, "reason"));
  CHECK_THAT(with_reason("\x01", true, kOidCertificateIssuer), StatusIs(kInvalid, "critical"));
  CHECK_THAT(with_reason("\x01", false, kOidInvalidityDate), IsOk());
  const auto with_extension = [](absl::string_view oid) {
    return Parse({.extensions =
                      Element(kSequence, absl::StrCat(Element(kOid, oid), Element(kBoolean, "\xFF"),
                                                      Element(kOctetString, "\x02\x01\x01")))});
  };
  CHECK_THAT(with_extension(kOidDeltaCrlIndicator), StatusIs(kInvalid, "2.5.29.27"));
  CHECK_THAT(with_extension("\x2A\x03"), StatusIs(kInvalid, "not understood"));
  CHECK_THAT(Parse({.extensions = Idp(Element(ContextTag(1), "\xFF"))}), IsOk());
  for (const int part : {3, 4, 5}) {  // some reasons, indirect, attribute certificates
    CHECK_THAT(Parse({.extensions = Idp(Element(ContextTag(part), "\xFF"))}),
               StatusIs(kInvalid, "only"));
  }
}

TEST_CASE_METHOD(Fixture, "A CRL that is cut short or has bytes behind it is refused") {
  const std::vector<RevokedEntry> revoked = SomeEntries(now_);
  const std::string der = Sign(Template(revoked));
  for (size_t size = 0; size < der.size(); ++size) {
    CHECK_THAT(ParseCrl(absl::string_view(der).substr(0, size)), StatusIs(kInvalid));
  }
  CHECK_THAT(ParseCrl(der + "x"), StatusIs(kInvalid));
}

}  // namespace
}  // namespace countersign::pki
