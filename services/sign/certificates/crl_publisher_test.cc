#include "services/sign/certificates/crl_publisher.h"

#include <set>
#include <thread>

#include "catch2/catch.hpp"
#include "libs/base/ticker.h"
#include "libs/pki/crl.h"
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

v1::GetCrlResponse Get(SignProcess& process, int shard = 0) {
  v1::GetCrlRequest request;
  request.set_name(kRoot);
  request.set_shard(shard);
  return RequireOk(process.crls.GetCrl(request));
}

int64_t Publish(SignProcess& process) {
  v1::PublishCrlsRequest request;
  request.set_name(kRoot);
  return RequireOk(process.crls.PublishCrls(request)).number();
}

void Revoke(SignProcess& process, const v1::Certificate& certificate,
            v1::RevocationReason reason = v1::REVOCATION_REASON_SUPERSEDED) {
  v1::RevokeCertificateRequest request;
  request.set_name(certificate.name());
  request.set_reason(reason);
  RequireOk(process.revocation.Revoke(request));
}

TEST_CASE("openssl reads the CRL, and turns away what is on it") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  const int shards = GENERATE(1, 4);
  TestAuthorities test(engine);
  v1::AuthoritySettings settings;
  settings.set_crl_shards(shards);
  settings.set_crl_url(shards == 1 ? "http://ca.example.com/crl"
                                   : "http://ca.example.com/{shard}.crl");
  const v1::Authority root = test.process.Create("root", "", settings);
  const v1::Certificate good = test.process.Issue(kRoot, "good.example.com");
  const v1::Certificate bad = test.process.Issue(kRoot, "bad.example.com");
  const v1::Certificate held = test.process.Issue(kRoot, "held.example.com");
  const v1::Certificate vague = test.process.Issue(kRoot, "vague.example.com");
  Revoke(test.process, bad, v1::REVOCATION_REASON_KEY_COMPROMISE);
  Revoke(test.process, held, v1::REVOCATION_REASON_CERTIFICATE_HOLD);
  Revoke(test.process, vague, v1::REVOCATION_REASON_UNSPECIFIED);
  Publish(test.process);

  OpenSsl openssl(&test.clock);
  const std::string ca = openssl.File("CERTIFICATE", {root.chain(0)});
  std::vector<std::string> crls;
  int64_t entries = 0;
  for (int shard = 0; shard < shards; ++shard) {
    const v1::GetCrlResponse crl = Get(test.process, shard);
    crls.push_back(crl.der());
    entries += crl.entries();
    const auto read = openssl.Run("crl -noout -text -CAfile " + ca + " -verify -in " +
                                  openssl.File("X509 CRL", {crl.der()}));
    INFO(read.output);
    CHECK(read.output.find("verify OK") != std::string::npos);
    CHECK((read.output.find("Issuing Distribution Point: critical") != std::string::npos) ==
          (shards > 1));
  }
  CHECK(entries == 3);
  const std::string all = openssl.File("X509 CRL", crls);
  const auto check = [&](const v1::Certificate& certificate) {
    return openssl.Verify(absl::StrCat("-crl_check -CAfile ", ca, " -CRLfile ", all, " ",
                                       openssl.File("CERTIFICATE", {certificate.der()})));
  };
  const auto accepted = check(good);
  INFO(accepted.output);
  CHECK(accepted.exit_code == 0);
  for (const v1::Certificate& certificate : {bad, held, vague}) {
    const auto refused = check(certificate);
    CHECK(refused.exit_code != 0);
    CHECK(refused.output.find("certificate revoked") != std::string::npos);
  }
}

TEST_CASE("CRLs are signed anew at half of their life, not before") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  v1::AuthoritySettings settings;
  settings.set_crl_shards(2);
  settings.set_crl_url("http://ca.example.com/{shard}.crl");
  test.process.Create("root", "", settings);
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  const v1::GetCrlResponse first = Get(test.process, 1);
  CHECK(first.number() == 1);
  CHECK(first.this_update().seconds() == 1700000000);
  CHECK(first.next_update().seconds() == 1700000000 + 7 * 86400);
  test.clock.Advance(kDay * 3);
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  CHECK(Get(test.process, 1).number() == 1);
  test.clock.Advance(kDay / 2);
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  CHECK(Get(test.process, 0).number() == 2);
  CHECK(Get(test.process, 1).number() == 2);
  CHECK(Publish(test.process) == 3);
  // It ends with its authority, and there are none after that.
  test.clock.Set(RequireOk(test.process.authorities.Load(kRoot))->certificate.not_after - kDay);
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  CHECK(absl::FromUnixSeconds(Get(test.process).next_update().seconds()) ==
        test.clock.Now() + kDay);
  test.clock.Advance(2 * kDay);
  CHECK_THAT(test.process.crls.PublishDue(), IsOk());
  v1::PublishCrlsRequest late;
  late.set_name(kRoot);
  CHECK_THAT(test.process.crls.PublishCrls(late), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_CASE("An entry stays until it was on a scheduled CRL after its certificate's end") {
  TestAuthorities test(Engine::kSqlite);
  test.process.Create("root");
  const v1::Certificate leaf =
      test.process.Issue(kRoot, "www.example.com", "web", absl::Hours(24 * 8));
  Revoke(test.process, leaf);
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  CHECK(Get(test.process).entries() == 1);
  int scheduled_after_end = 0;
  for (int day = 1; day < 40 && Get(test.process).entries() == 1; ++day) {
    test.clock.Advance(kDay);
    const int64_t before = Get(test.process).number();
    REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
    const v1::GetCrlResponse now = Get(test.process);
    const bool ended = test.clock.Now() > absl::FromUnixSeconds(leaf.not_after().seconds());
    if (now.number() != before && ended && now.entries() == 1) ++scheduled_after_end;
  }
  CHECK(Get(test.process).entries() == 0);
  CHECK(scheduled_after_end >= 1);
  CHECK(RequireOk(pki::ParseCrl(Get(test.process).der())).revoked.empty());
}

TEST_CASE("A shard has a CRL as soon as it is asked for; one that does not exist has none") {
  TestAuthorities test(Engine::kSqlite);
  test.process.Create("root");
  CHECK(Get(test.process).number() == 1);
  CHECK(Get(test.process).number() == 1);
  v1::GetCrlRequest request;
  request.set_name(kRoot);
  request.set_shard(1);
  CHECK_THAT(test.process.crls.GetCrl(request), StatusIs(absl::StatusCode::kNotFound));
  request.set_shard(-1);
  CHECK_THAT(test.process.crls.GetCrl(request), StatusIs(absl::StatusCode::kNotFound));
  request.set_name("tenants/default/authorities/none");
  CHECK_THAT(test.process.crls.GetCrl(request), StatusIs(absl::StatusCode::kNotFound));
}

TEST_CASE("Processes that sign at once give every CRL a number of its own, and the newest stays") {
  TestAuthorities test(Engine::kPostgres);
  test.process.Create("root");
  SignProcess second(test.database, &test.clock);
  SignProcess third(test.database, &test.clock);
  SignProcess* const processes[] = {&test.process, &second, &third};
  base::Mutex mutex;
  std::multiset<int64_t> numbers;
  std::vector<v1::Certificate> revoked;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        const v1::Certificate leaf =
            processes[t]->Issue(kRoot, absl::StrCat("w", t, "-", i, ".example.com"));
        // Signs a CRL too.
        Revoke(*processes[t], leaf, v1::REVOCATION_REASON_KEY_COMPROMISE);
        const int64_t number = Publish(*processes[t]);
        base::MutexLock lock(&mutex);
        numbers.insert(number);
        revoked.push_back(leaf);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::set<int64_t>(numbers.begin(), numbers.end()).size() == numbers.size());
  const v1::GetCrlResponse last = Get(test.process);
  CHECK(last.number() == 30);
  const pki::Crl crl = RequireOk(pki::ParseCrl(last.der()));
  CHECK(crl.number == 30);
  CHECK(crl.revoked.size() == revoked.size());
}

TEST_CASE("Of several processes one signs what is due") {
  TestAuthorities test(Engine::kPostgres);
  test.process.Create("root");
  SignProcess second(test.database, &test.clock);
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  REQUIRE_THAT(second.crls.PublishDue(), IsOk());
  CHECK(Get(second).number() == 1);
  test.clock.Advance(kDay * 4);
  REQUIRE_THAT(second.crls.PublishDue(), IsOk());
  REQUIRE_THAT(test.process.crls.PublishDue(), IsOk());
  CHECK(Get(test.process).number() == 2);
}

TEST_CASE("An imported authority's CRL numbers begin above those that it can have had") {
  TestAuthorities test(Engine::kSqlite, /*allow_key_export=*/true);
  test.process.Create("root");
  v1::ExportAuthorityRequest give;
  give.set_name(kRoot);
  give.set_include_key(true);
  TestAuthorities elsewhere(Engine::kSqlite);
  v1::ImportAuthorityRequest take;
  take.set_parent("tenants/default");
  take.set_authority_id("root");
  take.set_pem(RequireOk(test.process.authorities.ExportAuthority(give)).data());
  RequireOk(elsewhere.process.authorities.ImportAuthority(take));
  CHECK(Publish(elsewhere.process) == 1700000001);
}

TEST_CASE("A ticker works at once and again, and stops when it goes") {
  base::Mutex mutex;
  base::CondVar changed;
  int runs = 0;
  {
    base::Ticker ticker(absl::Milliseconds(1), [&] {
      base::MutexLock lock(&mutex);
      ++runs;
      changed.NotifyAll();
    });
    base::MutexLock lock(&mutex);
    changed.Wait(&mutex, [&] { return runs >= 3; });
  }
  const int after = runs;
  {
    base::Ticker patient(absl::Hours(1), [&] {
      base::MutexLock lock(&mutex);
      ++runs;
      changed.NotifyAll();
    });
    base::MutexLock lock(&mutex);
    changed.Wait(&mutex, [&] { return runs == after + 1; });
  }
  CHECK(runs == after + 1);
}

}  // namespace
}  // namespace countersign::sign
