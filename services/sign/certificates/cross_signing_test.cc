// Cross-certificates, as openssl builds chains through them.
#include "catch2/catch.hpp"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/authorities_testing.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using storage::Engine;

constexpr char kOld[] = "tenants/default/authorities/old";
constexpr char kNew[] = "tenants/default/authorities/new";

v1::CrossSignAuthorityRequest Request(const std::string& name, const std::string& authority) {
  v1::CrossSignAuthorityRequest request;
  request.set_name(name);
  request.set_authority(authority);
  return request;
}

TEST_CASE("What a new root issues is accepted by who trusts the old one only") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  const v1::Authority old_root = test.process.Create("old");
  const v1::Authority new_root = test.process.Create("new", "", {}, v1::ALGORITHM_ED25519);
  auto request = Request(kOld, kNew);
  request.set_request_id(crypto::RandomUuid());
  const v1::Certificate cross =
      RequireOk(test.process.authorities.CrossSignAuthority(request)).certificate();
  CHECK(cross.authority() == kOld);
  CHECK(cross.profile() == v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA);
  CHECK(cross.subject() == new_root.subject());
  CHECK(cross.not_after().seconds() ==
        std::min(old_root.not_after().seconds(), new_root.not_after().seconds()));
  CHECK(RequireOk(test.process.authorities.CrossSignAuthority(request)).certificate().name() ==
        cross.name());
  // The old root's responders answer for it.
  CHECK_FALSE(RequireOk(pki::UnpackOcspRecord(test.process.Record(cross))).status.revoked);

  v1::GetAuthorityRequest get;
  get.set_name(kNew);
  const auto got = RequireOk(test.process.authorities.GetAuthority(get)).authority();
  REQUIRE(got.cross_certificates_size() == 1);
  CHECK(got.cross_certificates(0) == cross.der());
  CHECK(got.chain(0) == new_root.chain(0));

  const v1::Certificate leaf = test.process.Issue(kNew, "www.example.com");
  OpenSsl openssl(&test.clock);
  const std::string file = openssl.File("CERTIFICATE", {leaf.der()});
  const auto trusting = [&](const v1::Authority& root, const std::string& untrusted) {
    return openssl
        .Verify(absl::StrCat(
            "-CAfile ", openssl.File("CERTIFICATE", {root.chain(0)}),
            untrusted.empty() ? "" : " -untrusted " + openssl.File("CERTIFICATE", {untrusted}), " ",
            file))
        .exit_code;
  };
  CHECK(trusting(new_root, "") == 0);
  CHECK(trusting(old_root, cross.der()) == 0);
  CHECK(trusting(old_root, "") != 0);
}

TEST_CASE("An authority elsewhere is certified by its certificate, with its own identifiers") {
  TestAuthorities test(Engine::kSqlite);
  // The other's validity begins today, by the machine's clock.
  test.clock.Set(absl::Now() + absl::Minutes(10));
  const v1::Authority old_root = test.process.Create("old");
  OpenSsl openssl(&test.clock);
  const std::string key = openssl.NewPath();
  const std::string certificate = openssl.NewPath();
  REQUIRE(openssl
              .Run(absl::StrCat("req -x509 -newkey rsa:2048 -nodes -keyout ", key, " -out ",
                                certificate,
                                " -days 9000 -subj /CN=Elsewhere -addext "
                                "keyUsage=critical,keyCertSign,cRLSign -addext "
                                "nameConstraints=critical,permitted\\;DNS:example.org"))
              .exit_code == 0);
  v1::CrossSignAuthorityRequest request;
  request.set_name(kOld);
  request.set_certificate(RequireOk(base::ReadFile(certificate)));
  const pki::Certificate cross = RequireOk(pki::ParseCertificate(
      RequireOk(test.process.authorities.CrossSignAuthority(request)).certificate().der()));
  const pki::Certificate foreign = RequireOk(pki::ParseCertificateDerOrPem(request.certificate()));
  CHECK(cross.subject_der == foreign.subject_der);
  CHECK(cross.spki_der == foreign.spki_der);
  CHECK(cross.extensions.subject_key_id == foreign.extensions.subject_key_id);
  CHECK(cross.extensions.name_constraints->permitted ==
        foreign.extensions.name_constraints->permitted);
  const auto verified =
      openssl.Verify(absl::StrCat("-CAfile ", openssl.File("CERTIFICATE", {old_root.chain(0)}), " ",
                                  openssl.File("CERTIFICATE", {cross.der})));
  INFO(verified.output);
  CHECK(verified.exit_code == 0);

  // One that somebody else's key has signed for it proves nothing.
  std::string forged = foreign.der;
  forged.back() = static_cast<char>(forged.back() ^ 1);
  request.set_certificate(forged);
  CHECK_THAT(test.process.authorities.CrossSignAuthority(request),
             StatusIs(absl::StatusCode::kInvalidArgument, "certificate"));
  request.set_certificate("nonsense");
  CHECK_THAT(test.process.authorities.CrossSignAuthority(request),
             StatusIs(absl::StatusCode::kInvalidArgument, "certificate"));
}

TEST_CASE("Whom an authority does not certify") {
  TestAuthorities test(Engine::kSqlite);
  auto limited = SignProcess::Request("old");
  limited.mutable_authority()->set_path_length(0);
  RequireOk(test.process.authorities.CreateAuthority(limited));
  test.process.Create("new");
  const auto reason = [&](const v1::CrossSignAuthorityRequest& request) {
    const auto status = test.process.authorities.CrossSignAuthority(request).status();
    CHECK(absl::IsFailedPrecondition(status));
    return runtime::ReasonOf(status).value_or("");
  };
  CHECK(reason(Request(kOld, kNew)) == kIssuerCannot);
  auto longer = Request(kNew, kOld);
  longer.mutable_not_after()->set_seconds(1700000000 + 30LL * 365 * 86400);
  CHECK(reason(longer) == kIssuerCannot);

  CHECK_THAT(test.process.authorities.CrossSignAuthority(Request(kNew, kNew)),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(
      test.process.authorities.CrossSignAuthority(Request(kNew, "tenants/other/authorities/new")),
      StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(test.process.authorities.CrossSignAuthority(Request(kNew, kNew + std::string("er"))),
             StatusIs(absl::StatusCode::kNotFound));
  v1::CrossSignAuthorityRequest leaf;
  leaf.set_name(kNew);
  leaf.set_certificate(test.process.Issue(kNew, "www.example.com").der());
  CHECK_THAT(test.process.authorities.CrossSignAuthority(leaf),
             StatusIs(absl::StatusCode::kInvalidArgument, "authority"));
  v1::CrossSignAuthorityRequest none;
  none.set_name(kNew);
  CHECK_THAT(test.process.authorities.CrossSignAuthority(none),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::sign
