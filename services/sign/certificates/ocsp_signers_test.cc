// The OCSP signers of authorities: what they sign, and how they follow one another.
#include <thread>

#include "catch2/catch.hpp"
#include "libs/crypto/random.h"
#include "libs/pki/ocsp_response.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/authorities_testing.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using storage::Engine;

constexpr char kRoot[] = "tenants/default/authorities/root";
constexpr absl::Duration kDay = absl::Hours(24);

pki::Certificate Signer(const v1::Authority& authority) {
  return RequireOk(pki::ParseCertificate(authority.ocsp_signer()));
}

v1::Authority Get(SignProcess& process, const std::string& name) {
  v1::GetAuthorityRequest request;
  request.set_name(name);
  return RequireOk(process.authorities.GetAuthority(request)).authority();
}

std::string Response(const LiveAuthority& live, const std::string& packed, pki::OcspHash hash) {
  const pki::OcspRecord record = RequireOk(pki::UnpackOcspRecord(packed));
  std::string response;
  live.ocsp_responder->AppendResponse(
      record.status, hash,
      hash == pki::OcspHash::kSha1 ? record.sha1_signature : record.sha256_signature, &response);
  return response;
}

TEST_CASE("A signer is certified for OCSP alone, directly by its authority") {
  TestAuthorities test(Engine::kSqlite);
  const v1::Authority root =
      test.process.Create("root", "", {}, v1::ALGORITHM_RSA_PKCS1_2048_SHA256);
  const pki::Certificate signer = Signer(root);
  CHECK(RequireOk(signer.Key()).type() == crypto::KeyType::kEcP256);
  CHECK(signer.extensions.ocsp_no_check);
  CHECK(signer.extensions.key_usage == pki::kDigitalSignature);
  CHECK(signer.extensions.extended_key_usage ==
        std::vector<std::string>{std::string(pki::kOidOcspSigning)});
  CHECK(signer.extensions.crl_urls.empty());
  CHECK(signer.extensions.ocsp_urls.empty());
  CHECK(signer.not_after == test.clock.Now() + 30 * kDay);
  CHECK(signer.not_before < test.clock.Now());
  CHECK(pki::FormatName(signer.subject) == "CN=root OCSP,O=Example,C=DE");

  // One whose authority ends sooner ends with it.
  auto request = SignProcess::Request("short");
  request.mutable_authority()->mutable_not_after()->set_seconds(
      absl::ToUnixSeconds(test.clock.Now() + kDay));
  const auto created = RequireOk(test.process.authorities.CreateAuthority(request));
  CHECK(Signer(created.authority()).not_after == test.clock.Now() + kDay);
}

TEST_CASE("openssl accepts the responses that records hold") {
  TestAuthorities test(Engine::kSqlite);
  const v1::Authority root = test.process.Create("root");
  const v1::Certificate leaf = test.process.Issue(kRoot, "www.example.com");
  const auto live = RequireOk(test.process.authorities.Load(kRoot));
  OpenSsl openssl(&test.clock);
  const std::string issuer = openssl.File("CERTIFICATE", {root.chain(0)});
  const std::string certificate = openssl.File("CERTIFICATE", {leaf.der()});
  const auto ask = [&](pki::OcspHash hash) {
    return openssl.Run(absl::StrCat(
        "ocsp -no_nonce -respin ", openssl.Write(Response(*live, test.process.Record(leaf), hash)),
        " -issuer ", issuer, hash == pki::OcspHash::kSha1 ? " -sha1" : " -sha256", " -cert ",
        certificate, " -CAfile ", issuer, " -attime ", absl::ToUnixSeconds(test.clock.Now()),
        " -validity_period ",
        // What is checked against the machine's own clock may be as old as it is.
        "2000000000"));
  };
  for (const pki::OcspHash hash : {pki::OcspHash::kSha1, pki::OcspHash::kSha256}) {
    const auto good = ask(hash);
    INFO(good.output);
    CHECK(good.output.find("Response verify OK") != std::string::npos);
    CHECK(good.output.find(": good") != std::string::npos);
  }
  v1::RevokeCertificateRequest revoke;
  revoke.set_name(leaf.name());
  revoke.set_reason(v1::REVOCATION_REASON_AA_COMPROMISE);
  RequireOk(test.process.revocation.Revoke(revoke));
  const auto revoked = ask(pki::OcspHash::kSha256);
  INFO(revoked.output);
  CHECK(revoked.output.find("Response verify OK") != std::string::npos);
  CHECK(revoked.output.find(": revoked") != std::string::npos);
}

TEST_CASE(
    "A record's times are whole minutes within the signer's life, and not before a revocation") {
  TestAuthorities test(Engine::kSqlite);
  test.clock.Set(absl::FromUnixSeconds(1700000030));  // 22:13:50
  test.process.Create("root");
  const auto live = RequireOk(test.process.authorities.Load(kRoot));
  const auto sign = [&](pki::OcspStatus status, absl::Time now) {
    status.serial = "\x01";
    const std::string packed =
        RequireOk(live->SignOcspRecord(status, absl::FromUnixSeconds(1800000000), now));
    const pki::OcspRecord record = RequireOk(pki::UnpackOcspRecord(packed));
    CHECK(record.signer_id == live->ocsp_signer_id);
    return std::make_pair(record.status.this_update, record.status.next_update);
  };
  const absl::Time now = test.clock.Now();
  CHECK(sign({}, now) == std::make_pair(int64_t{1699999980}, int64_t{1699999980 + 4 * 86400}));
  pki::OcspStatus revoked;
  revoked.revoked = true;
  revoked.revocation_time = 1700000025;
  CHECK(sign(revoked, now).first == 1700000025);
  CHECK(sign({}, live->ocsp_not_before + absl::Seconds(1)).first ==
        absl::ToUnixSeconds(live->ocsp_not_before));
  CHECK(sign({}, live->ocsp_not_after - kDay).second == absl::ToUnixSeconds(live->ocsp_not_after));
  CHECK_THAT(live->SignOcspRecord({.serial = "\x01"}, now, live->ocsp_not_after),
             StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_CASE("A signer is followed by another when a third of its life is left, and on request") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  const v1::Authority root = test.process.Create("root");
  const std::string first = root.ocsp_signer();
  test.clock.Advance(19 * kDay);
  REQUIRE_THAT(test.process.authorities.RotateExpiringOcspSigners(), IsOk());
  CHECK(Get(test.process, kRoot).ocsp_signer() == first);
  test.clock.Advance(1 * kDay + absl::Hours(1));
  const int64_t head = test.process.Head();
  REQUIRE_THAT(test.process.authorities.RotateExpiringOcspSigners(), IsOk());
  const v1::Authority rotated = Get(test.process, kRoot);
  CHECK(rotated.ocsp_signer() != first);
  CHECK(Signer(rotated).not_after == test.clock.Now() + 30 * kDay);
  CHECK(test.process.Head() > head);
  CHECK(test.process.notifier.last() == test.process.Head());
  const auto live = RequireOk(test.process.authorities.Load(kRoot));
  CHECK(live->ocsp_signer_id == 2);
  // The old one is kept for who still has its responses, until its certificate has ended.
  const auto count = [&] {
    return RequireOk(test.process.store->database()->Query("SELECT signer_id FROM ocsp_signers"))
        .size();
  };
  CHECK(count() == 2);

  v1::RotateOcspSignerRequest request;
  request.set_name(kRoot);
  request.set_request_id(crypto::RandomUuid());
  const auto asked = RequireOk(test.process.authorities.RotateOcspSigner(request));
  CHECK(asked.authority().ocsp_signer() != rotated.ocsp_signer());
  CHECK(RequireOk(test.process.authorities.RotateOcspSigner(request)).SerializeAsString() ==
        asked.SerializeAsString());
  CHECK(count() == 3);
  test.clock.Advance(11 * kDay);
  request.set_request_id(crypto::RandomUuid());
  RequireOk(test.process.authorities.RotateOcspSigner(request));
  CHECK(count() == 3);
  CHECK(RequireOk(test.process.authorities.Load(kRoot))->ocsp_signer_id == 4);
}

TEST_CASE("A signer that ends with its authority is not followed by another") {
  TestAuthorities test(Engine::kSqlite);
  auto request = SignProcess::Request("root");
  request.mutable_authority()->mutable_not_after()->set_seconds(
      absl::ToUnixSeconds(test.clock.Now() + kDay));
  const auto created = RequireOk(test.process.authorities.CreateAuthority(request));
  test.clock.Advance(absl::Hours(23));
  CHECK_THAT(test.process.authorities.RotateExpiringOcspSigners(), IsOk());
  CHECK(Get(test.process, kRoot).ocsp_signer() == created.authority().ocsp_signer());
  test.clock.Advance(kDay);
  CHECK_THAT(test.process.authorities.RotateExpiringOcspSigners(), IsOk());
}

TEST_CASE("Of several processes one rotates a signer") {
  TestAuthorities test(Engine::kPostgres);
  test.process.Create("root");
  test.process.Create("issuing", kRoot);
  SignProcess second(test.database, &test.clock);
  SignProcess third(test.database, &test.clock);
  for (int round = 1; round <= 3; ++round) {
    test.clock.Advance(21 * kDay);
    std::vector<std::thread> threads;
    std::vector<absl::Status> results(3);
    SignProcess* processes[] = {&test.process, &second, &third};
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back(
          [&, i] { results[i] = processes[i]->authorities.RotateExpiringOcspSigners(); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const absl::Status& result : results) CHECK_THAT(result, IsOk());
    const auto last =
        RequireOk(test.process.store->database()->Query("SELECT MAX(signer_id) FROM ocsp_signers"));
    CHECK(last[0].Int(0) == 2 + 2 * round);
  }
}

TEST_CASE("A process with another KEK than the signers' is told so at its start") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  REQUIRE_THAT(test.process.authorities.CheckOcspKek(), IsOk());
  test.process.Create("root");
  SignProcess same(test.database, &test.clock);
  CHECK_THAT(same.authorities.CheckOcspKek(), IsOk());
  SignProcess other(test.database, &test.clock, false, 'x');
  CHECK_THAT(other.authorities.CheckOcspKek(),
             StatusIs(absl::StatusCode::kFailedPrecondition, "OCSP key-encryption key"));
  CHECK_THAT(other.authorities.Load(kRoot), StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace countersign::sign
