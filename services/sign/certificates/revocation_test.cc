#include "services/sign/certificates/revocation.h"

#include <thread>

#include "catch2/catch.hpp"
#include "libs/crypto/random.h"
#include "libs/pki/crl.h"
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

v1::RevokeCertificateRequest Request(const v1::Certificate& certificate,
                                     v1::RevocationReason reason) {
  v1::RevokeCertificateRequest request;
  request.set_name(certificate.name());
  request.set_reason(reason);
  return request;
}

v1::BatchRevokeCertificatesRequest Batch(v1::RevocationReason reason) {
  v1::BatchRevokeCertificatesRequest request;
  request.set_parent("tenants/default");
  request.set_reason(reason);
  return request;
}

v1::ReleaseCertificateRequest ReleaseRequest(const v1::Certificate& certificate) {
  v1::ReleaseCertificateRequest request;
  request.set_name(certificate.name());
  return request;
}

std::string ReasonOf(const absl::Status& status) {
  CHECK(absl::IsFailedPrecondition(status));
  return runtime::ReasonOf(status).value_or("");
}

// What OCSP says of it; the views of an OcspRecord do not live that long.
struct Said {
  bool revoked;
  int64_t time;
  int reason;
};
Said Says(SignProcess& process, const v1::Certificate& certificate) {
  const std::string packed = process.Record(certificate);
  const pki::OcspRecord record = RequireOk(pki::UnpackOcspRecord(packed));
  return {record.status.revoked, record.status.revocation_time, record.status.reason};
}

// A certificate of another authority, tracked here.
v1::Certificate Track(SignProcess& process, const v1::Certificate& certificate,
                      const std::string& owner) {
  NewCertificate tracked;
  tracked.tenant = "default";
  tracked.certificate = RequireOk(pki::ParseCertificate(certificate.der()));
  tracked.owner_team = owner;
  return RequireOk(process.certificates.Import(absl::MakeConstSpan(&tracked, 1))).front();
}

TEST_CASE("A revocation is in the inventory and in the OCSP record when it is answered") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  SignProcess& process = test.process;
  process.Create("root");
  const v1::Certificate leaf = process.Issue(kRoot, "www.example.com");
  CHECK_FALSE(Says(process, leaf).revoked);
  const int64_t head = process.Head();
  test.clock.Advance(absl::Hours(1) + absl::Milliseconds(10));
  const auto revoked =
      RequireOk(process.revocation.Revoke(Request(leaf, v1::REVOCATION_REASON_SUPERSEDED)))
          .certificate();
  CHECK(revoked.status() == v1::CERTIFICATE_STATUS_REVOKED);
  CHECK(revoked.revocation_reason() == v1::REVOCATION_REASON_SUPERSEDED);
  CHECK(revoked.revocation_time().seconds() == 1700003600);
  CHECK(process.Head() > head);
  CHECK(process.notifier.last() == process.Head());
  CHECK(process.notifier.waits() == 1);
  const Said said = Says(process, leaf);
  CHECK(said.revoked);
  CHECK(said.time == 1700003600);
  CHECK(said.reason == 4);

  // Again: nothing changes. For another reason: only keyCompromise may follow.
  test.clock.Advance(absl::Hours(1));
  const auto again =
      RequireOk(process.revocation.Revoke(Request(leaf, v1::REVOCATION_REASON_SUPERSEDED)));
  CHECK(again.certificate().SerializeAsString() == revoked.SerializeAsString());
  CHECK(ReasonOf(
            process.revocation.Revoke(Request(leaf, v1::REVOCATION_REASON_CESSATION_OF_OPERATION))
                .status()) == kAlreadyRevoked);
  CHECK(ReasonOf(process.revocation.Revoke(Request(leaf, v1::REVOCATION_REASON_CERTIFICATE_HOLD))
                     .status()) == kAlreadyRevoked);
  CHECK(ReasonOf(process.revocation.Release(ReleaseRequest(leaf)).status()) == kAlreadyRevoked);
  const auto compromised =
      RequireOk(process.revocation.Revoke(Request(leaf, v1::REVOCATION_REASON_KEY_COMPROMISE)))
          .certificate();
  CHECK(compromised.revocation_reason() == v1::REVOCATION_REASON_KEY_COMPROMISE);
  CHECK(compromised.revocation_time().seconds() == 1700003600);
  CHECK(Says(process, leaf).reason == 1);
}

TEST_CASE("A hold can be released, or become a revocation of the same date") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  SignProcess& process = test.process;
  process.Create("root");
  const v1::Certificate leaf = process.Issue(kRoot, "www.example.com");
  CHECK(RequireOk(process.revocation.Release(ReleaseRequest(leaf))).certificate().status() ==
        v1::CERTIFICATE_STATUS_ACTIVE);
  const auto hold = Request(leaf, v1::REVOCATION_REASON_CERTIFICATE_HOLD);
  const auto held = RequireOk(process.revocation.Revoke(hold)).certificate();
  CHECK(held.status() == v1::CERTIFICATE_STATUS_ON_HOLD);
  CHECK(Says(process, leaf).revoked);
  CHECK(Says(process, leaf).reason == 6);
  CHECK(RequireOk(process.revocation.Revoke(hold)).certificate().SerializeAsString() ==
        held.SerializeAsString());

  const auto released = RequireOk(process.revocation.Release(ReleaseRequest(leaf))).certificate();
  CHECK(released.status() == v1::CERTIFICATE_STATUS_ACTIVE);
  CHECK_FALSE(released.has_revocation_time());
  CHECK(released.revocation_reason() == v1::REVOCATION_REASON_UNSPECIFIED);
  CHECK_FALSE(Says(process, leaf).revoked);

  RequireOk(process.revocation.Revoke(hold));
  test.clock.Advance(absl::Hours(5));
  const auto revoked =
      RequireOk(process.revocation.Revoke(Request(leaf, v1::REVOCATION_REASON_UNSPECIFIED)))
          .certificate();
  CHECK(revoked.status() == v1::CERTIFICATE_STATUS_REVOKED);
  CHECK(revoked.revocation_reason() == v1::REVOCATION_REASON_UNSPECIFIED_REASON);
  CHECK(revoked.revocation_time().seconds() == 1700000000);
  CHECK(Says(process, leaf).reason == 0);
}

TEST_CASE("What cannot be revoked") {
  TestAuthorities test(Engine::kSqlite);
  SignProcess& process = test.process;
  process.Create("root");
  const v1::Certificate leaf = process.Issue(kRoot, "www.example.com");
  v1::Certificate missing = leaf;
  missing.set_name("tenants/default/certificates/1234");
  CHECK_THAT(process.revocation.Revoke(Request(missing, v1::REVOCATION_REASON_SUPERSEDED)),
             StatusIs(absl::StatusCode::kNotFound));
  for (const int reason : {8, 9, 12, -1}) {
    CHECK_THAT(process.revocation.Revoke(Request(leaf, static_cast<v1::RevocationReason>(reason))),
               StatusIs(absl::StatusCode::kInvalidArgument, "reason"));
  }
  missing.set_name("certificates/1234");
  CHECK_THAT(process.revocation.Revoke(Request(missing, v1::REVOCATION_REASON_SUPERSEDED)),
             StatusIs(absl::StatusCode::kInvalidArgument, "name"));

  TestAuthorities elsewhere(Engine::kSqlite);
  elsewhere.process.Create("root");
  const v1::Certificate foreign =
      Track(process, elsewhere.process.Issue(kRoot, "foreign.example.com"), "web");
  CHECK(ReasonOf(process.revocation.Revoke(Request(foreign, v1::REVOCATION_REASON_SUPERSEDED))
                     .status()) == kNotOurs);
}

TEST_CASE("A request id is answered as the first time, whatever has happened since") {
  TestAuthorities test(Engine::kSqlite);
  SignProcess& process = test.process;
  process.Create("root");
  const v1::Certificate leaf = process.Issue(kRoot, "www.example.com");
  auto hold = Request(leaf, v1::REVOCATION_REASON_CERTIFICATE_HOLD);
  hold.set_request_id(crypto::RandomUuid());
  const auto held = RequireOk(process.revocation.Revoke(hold));
  RequireOk(process.revocation.Release(ReleaseRequest(leaf)));
  CHECK(RequireOk(process.revocation.Revoke(hold)).SerializeAsString() == held.SerializeAsString());
  CHECK_FALSE(Says(process, leaf).revoked);
  hold.set_reason(v1::REVOCATION_REASON_SUPERSEDED);
  CHECK_THAT(process.revocation.Revoke(hold), StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_CASE("Many are revoked by owner, key or fingerprint, all of them that live") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  SignProcess& process = test.process;
  process.Create("root");
  process.Create("issuing", kRoot);
  TestAuthorities elsewhere(Engine::kSqlite);
  elsewhere.process.Create("root");
  const v1::Certificate expired = process.Issue(kRoot, "old.example.com", "web", absl::Hours(1));
  test.clock.Advance(absl::Hours(2));
  std::vector<v1::Certificate> web;
  for (int i = 0; i < 150; ++i) {
    web.push_back(process.Issue(i % 2 == 0 ? kRoot : "tenants/default/authorities/issuing",
                                absl::StrCat("www-", i, ".example.com")));
  }
  const v1::Certificate mail = process.Issue(kRoot, "mail.example.com", "mail");
  const v1::Certificate foreign =
      Track(process, elsewhere.process.Issue(kRoot, "foreign.example.com"), "web");
  RequireOk(process.revocation.Revoke(Request(web[0], v1::REVOCATION_REASON_SUPERSEDED)));
  RequireOk(process.revocation.Revoke(Request(web[1], v1::REVOCATION_REASON_CERTIFICATE_HOLD)));

  auto owner = Batch(v1::REVOCATION_REASON_AFFILIATION_CHANGED);
  owner.set_owner_team("web");
  owner.set_request_id(crypto::RandomUuid());
  const auto revoked = RequireOk(process.revocation.BatchRevoke(owner));
  CHECK(revoked.names_size() == 149);
  CHECK(process.notifier.waits() == 3);
  for (size_t i = 1; i < web.size(); ++i) {
    const Said said = Says(process, web[i]);
    REQUIRE(said.revoked);
    REQUIRE(said.reason == 3);
  }
  CHECK(Says(process, web[0]).reason == 4);
  CHECK_FALSE(Says(process, mail).revoked);
  CHECK_FALSE(Says(process, expired).revoked);
  CHECK(RequireOk(process.revocation.BatchRevoke(owner)).names_size() == 149);
  owner.clear_request_id();
  CHECK(RequireOk(process.revocation.BatchRevoke(owner)).names_size() == 0);

  auto key = Batch(v1::REVOCATION_REASON_KEY_COMPROMISE);
  key.set_key_fingerprint(mail.key_fingerprint());
  const auto by_key = RequireOk(process.revocation.BatchRevoke(key));
  REQUIRE(by_key.names_size() == 1);
  CHECK(by_key.names(0) == mail.name());

  auto fingerprint = Batch(v1::REVOCATION_REASON_SUPERSEDED);
  fingerprint.set_fingerprint_sha256(foreign.fingerprint_sha256());
  CHECK(ReasonOf(process.revocation.BatchRevoke(fingerprint).status()) == kNotOurs);
  fingerprint.set_fingerprint_sha256(std::string(64, '0'));
  CHECK_THAT(process.revocation.BatchRevoke(fingerprint), StatusIs(absl::StatusCode::kNotFound));
  CHECK_THAT(process.revocation.BatchRevoke(Batch(v1::REVOCATION_REASON_SUPERSEDED)),
             StatusIs(absl::StatusCode::kInvalidArgument));
  owner.set_owner_team("");
  CHECK_THAT(process.revocation.BatchRevoke(owner), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("Those who revoke and hold the same certificate at once all get a true answer") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  test.process.Create("root");
  SignProcess other(test.database, &test.clock);
  const v1::Certificate leaf = test.process.Issue(kRoot, "www.example.com");
  std::vector<std::thread> threads;
  std::vector<absl::Status> results(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      SignProcess& process = i % 2 == 0 ? test.process : other;
      results[i] = process.revocation
                       .Revoke(Request(leaf, i < 4 ? v1::REVOCATION_REASON_KEY_COMPROMISE
                                                   : v1::REVOCATION_REASON_CERTIFICATE_HOLD))
                       .status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) {
    INFO(i << " " << results[i]);
    CHECK((results[i].ok() || (i >= 4 && ReasonOf(results[i]) == kAlreadyRevoked)));
  }
  CHECK(Says(test.process, leaf).reason == 1);
}

TEST_CASE("A responder that cannot be reached does not keep a revocation from being done") {
  TestAuthorities test(Engine::kSqlite);
  test.process.Create("root");
  const v1::Certificate leaf = test.process.Issue(kRoot, "www.example.com");
  test.process.notifier.SetReachable(false);
  CHECK_THAT(test.process.revocation.Revoke(Request(leaf, v1::REVOCATION_REASON_SUPERSEDED)),
             IsOk());
  CHECK(Says(test.process, leaf).revoked);
}

TEST_CASE("A key compromise is on the CRL when it is answered; another reason waits for the next") {
  TestAuthorities test(Engine::kSqlite);
  v1::AuthoritySettings settings;
  settings.set_crl_shards(4);
  settings.set_crl_url("http://ca.example.com/{shard}.crl");
  test.process.Create("root", "", settings);
  const v1::Certificate lost = test.process.Issue(kRoot, "lost.example.com");
  const v1::Certificate old = test.process.Issue(kRoot, "old.example.com");
  const auto entries = [&] {
    int64_t sum = 0;
    for (int shard = 0; shard < 4; ++shard) {
      v1::GetCrlRequest get;
      get.set_name(kRoot);
      get.set_shard(shard);
      sum += RequireOk(test.process.crls.GetCrl(get)).entries();
    }
    return sum;
  };
  CHECK(entries() == 0);
  RequireOk(test.process.revocation.Revoke(Request(old, v1::REVOCATION_REASON_SUPERSEDED)));
  CHECK(entries() == 0);
  RequireOk(test.process.revocation.Revoke(Request(lost, v1::REVOCATION_REASON_KEY_COMPROMISE)));
  CHECK(entries() >= 1);

  // While the authority's key cannot sign, the revocation is done, and the CRL owed.
  const v1::Certificate third = test.process.Issue(kRoot, "third.example.com");
  RequireOk(test.process.crls.PublishCrls([] {
    v1::PublishCrlsRequest request;
    request.set_name(kRoot);
    return request;
  }()));
  const int64_t before = entries();
  const auto live = RequireOk(test.process.authorities.Load(kRoot));
  v1::DisableKeyVersionRequest disable;
  disable.set_name(live->key_version);
  RequireOk(test.process.store->DisableKeyVersion(disable));
  test.clock.Advance(absl::Seconds(6));
  RequireOk(test.process.revocation.Revoke(Request(third, v1::REVOCATION_REASON_KEY_COMPROMISE)));
  CHECK(Says(test.process, third).revoked);
  CHECK(entries() == before);
  v1::EnableKeyVersionRequest enable;
  enable.set_name(live->key_version);
  RequireOk(test.process.store->EnableKeyVersion(enable));
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  CHECK(entries() == before + 1);
}

}  // namespace
}  // namespace countersign::sign
