#include "services/sign/certificates/renewals.h"

#include "catch2/catch.hpp"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/issuance_testing.h"

namespace countersign::sign {
namespace {

using absl::StatusCode;
using storage::Engine;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kRequestId[] = "8d7bb0a5-2a41-4f64-9a3f-6f7d0f6a1b2c";

v1::Renewal Get(TestQueue& test, const std::string& name) {
  v1::GetRenewalRequest request;
  request.set_name(name);
  return RequireOk(test.renewals->GetRenewal(request)).renewal();
}

TEST_CASE("A renewal asks once for each certificate, with what the certificate has") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.AddCertificates(0, 35);
  v1::StartRenewalRequest start = TestQueue::RenewTeam(4);
  start.mutable_lifetime()->set_seconds(86400);
  const v1::Renewal started = RequireOk(test.renewals->StartRenewal(start)).renewal();
  CHECK(started.total() == 35);
  CHECK(started.concurrency() == 4);
  CHECK_FALSE(started.done());
  test.upstream->Hold(true);
  const auto queue = test.Start();
  for (int i = 0; i < 35; ++i) {
    REQUIRE(Eventually([&] { return test.upstream->held() == std::min<size_t>(4, 35 - i); }));
    if (i == 0) {
      const v1::IssueCertificateRequest request = test.upstream->last_request();
      CHECK(request.parent().empty());
      CHECK(request.profile() == v1::CERTIFICATE_PROFILE_TLS_SERVER);
      CHECK(request.lifetime().seconds() == 86400);
      CHECK(request.owner_team() == "team");
      CHECK(request.environment() == "test");
      CHECK(request.labels().at("app") == "shop");
      REQUIRE(request.subject_alt_names_size() == 1);
      CHECK("CN=" + request.subject_alt_names(0).substr(4) == request.subject());
      CHECK(request.replaces().substr(0, 30) == "tenants/default/certificates/c");
      const auto csr = RequireOk(pki::ParseCsr(request.csr()));
      CHECK(pki::FormatName(csr.subject) == request.subject());
      CHECK(Get(test, started.name()).running() == 4);
    }
    test.upstream->Release();
  }
  REQUIRE(Eventually([&] { return Get(test, started.name()).done(); }));
  const v1::Renewal done = Get(test, started.name());
  CHECK(done.succeeded() == 35);
  CHECK(done.failed() == 0);
  CHECK(done.running() == 0);
  CHECK(done.has_end_time());
  CHECK(test.upstream->most_held() == 4);
  CHECK(test.upstream->tries().size() == 35);
  CHECK(test.Tracked().size() == 35);
}

TEST_CASE("Its requests do not count against the queue's capacity") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres), /*capacity=*/1);
  test.AddCertificates(0, 5);
  RequireOk(test.renewals->StartRenewal(TestQueue::RenewTeam(1)));
  CHECK_THAT(test.Enqueue({TestQueue::Request("one")}), IsOk());
  CHECK_THAT(test.Enqueue({TestQueue::Request("two")}), StatusIs(StatusCode::kResourceExhausted));
  const QueueStats stats = RequireOk(test.store->Stats(test.clock.Now()));
  CHECK(stats.waiting == 1);
  CHECK(stats.renewal_waiting == 5);
}

TEST_CASE(
    "A start that was cut short is completed by a repeat, and by the process that takes over") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.AddCertificates(0, 25);
  v1::StartRenewalRequest start = TestQueue::RenewTeam(50);
  const ResourceId name = {"default", kRequestId};
  // As far as a process came that died after its second page.
  const auto rows =
      RequireOk(test.renewal_store->Select("default", start.filter(), test.clock.Now(), nullptr));
  REQUIRE(rows.size() == 25);
  REQUIRE(RequireOk(test.renewal_store->Create({.name = name,
                                                .request = start,
                                                .idempotent = true,
                                                .page = absl::MakeSpan(rows).subspan(0, 3),
                                                .more = true},
                                               test.clock.Now())));
  RequireOk(test.renewal_store->AddPage(name, "there", absl::MakeSpan(rows).subspan(0, 10),
                                        test.clock.Now()));
  // What came after the start is none of its business: it may be what the renewal issued.
  test.clock.Advance(absl::Seconds(1));
  test.AddCertificates(25, 5);
  SECTION("repeated") {
    start.set_request_id(kRequestId);
    const v1::Renewal renewal = RequireOk(test.renewals->StartRenewal(start)).renewal();
    CHECK(renewal.name() == absl::StrCat("tenants/default/renewals/", kRequestId));
    CHECK(renewal.total() == 25);
    CHECK(RequireOk(test.renewals->StartRenewal(start)).renewal().total() == 25);
    start.set_concurrency(7);
    const auto reused = test.renewals->StartRenewal(start);
    CHECK_THAT(reused, StatusIs(StatusCode::kAlreadyExists));
    CHECK(runtime::ReasonOf(reused.status()) == "REQUEST_ID_REUSED");
  }
  SECTION("taken over") {
    const auto queue = test.Start();
    const std::string resource = absl::StrCat("tenants/default/renewals/", kRequestId);
    REQUIRE(Eventually([&] { return Get(test, resource).done(); }));
    CHECK(Get(test, resource).succeeded() == 25);
  }
  for (const auto& [request_id, times] : test.Tracked()) CHECK(times == 1);
}

TEST_CASE("Those that failed are renewed once more, and no others") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.AddCertificates(0, 6);
  test.upstream->Hold(true);
  const auto queue = test.Start();
  const v1::Renewal started =
      RequireOk(test.renewals->StartRenewal(TestQueue::RenewTeam(6))).renewal();
  REQUIRE(Eventually([&] { return test.upstream->held() == 6; }));
  for (int i = 0; i < 6; ++i) {
    test.upstream->Release(i < 2 ? absl::InvalidArgumentError("no") : absl::OkStatus());
  }
  REQUIRE(Eventually([&] { return Get(test, started.name()).done(); }));
  CHECK(Get(test, started.name()).failed() == 2);
  CHECK(Get(test, started.name()).succeeded() == 4);
  v1::RetryRenewalRequest retry;
  retry.set_name(started.name());
  test.upstream->Hold(false);
  const v1::Renewal again = RequireOk(test.renewals->RetryRenewal(retry)).renewal();
  CHECK_FALSE(again.done());
  CHECK(again.failed() == 0);
  REQUIRE(Eventually([&] { return Get(test, started.name()).done(); }));
  CHECK(Get(test, started.name()).succeeded() == 6);
  CHECK(RequireOk(test.renewals->RetryRenewal(retry)).renewal().done());
  CHECK(test.Tracked().size() == 6);
}

TEST_CASE("Only certificates in use, with a request, and when asked only those that are due") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.AddCertificates(0, 10);
  RequireOk(test.database->Run("UPDATE certificates SET status = 2 WHERE certificate_id = 'c1'"));
  RequireOk(test.database->Run("UPDATE certificates SET csr = NULL WHERE certificate_id = 'c2'"));
  CHECK(RequireOk(test.renewals->StartRenewal(TestQueue::RenewTeam(1))).renewal().total() == 8);
  v1::StartRenewalRequest due = TestQueue::RenewTeam(1);
  due.set_only_due(true);
  test.clock.Advance(absl::Hours(4));
  CHECK(RequireOk(test.renewals->StartRenewal(due)).renewal().total() == 3);  // c0, c3, c4
  v1::StartRenewalRequest none = TestQueue::RenewTeam(1);
  none.mutable_filter()->set_environment("nowhere");
  const v1::Renewal nothing = RequireOk(test.renewals->StartRenewal(none)).renewal();
  CHECK(nothing.total() == 0);
  CHECK(nothing.done());
  none.mutable_filter()->Clear();
  CHECK_THAT(test.renewals->StartRenewal(none), StatusIs(StatusCode::kInvalidArgument, "filter"));
  due.set_upstream("tenants/default/upstreams/nowhere");
  CHECK_THAT(test.renewals->StartRenewal(due), StatusIs(StatusCode::kNotFound));
  due.clear_upstream();
  due.set_concurrency(1001);
  CHECK_THAT(test.renewals->StartRenewal(due),
             StatusIs(StatusCode::kInvalidArgument, "concurrency"));
}

TEST_CASE("A certificate that was revoked meanwhile is not renewed") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.AddCertificates(0, 2);
  const v1::Renewal started =
      RequireOk(test.renewals->StartRenewal(TestQueue::RenewTeam(1))).renewal();
  RequireOk(test.database->Run("UPDATE certificates SET status = 2 WHERE certificate_id = 'c1'"));
  const auto queue = test.Start();
  REQUIRE(Eventually([&] { return Get(test, started.name()).done(); }));
  CHECK(Get(test, started.name()).failed() == 1);
  CHECK(Get(test, started.name()).succeeded() == 1);
}

TEST_CASE("What is cancelled of a renewal is not waited for") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.AddCertificates(0, 2);
  const v1::Renewal started =
      RequireOk(test.renewals->StartRenewal(TestQueue::RenewTeam(1))).renewal();
  v1::ListIssuancesRequest list;
  list.set_parent("tenants/default");
  list.set_renewal(started.name());
  const auto page = RequireOk(test.store->List(list));
  for (const v1::Issuance& issuance : page.issuances()) {
    const auto name = RequireOk(ParseResourceName("name", issuance.name(), kIssuances));
    CHECK_THAT(test.store->Cancel(name, test.clock.Now()), IsOk());
  }
  CHECK(Get(test, started.name()).total() == 0);
  CHECK(Get(test, started.name()).done());
}

TEST_CASE("A renewal belongs to one process until its lease is over") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.AddCertificates(0, 2);
  RequireOk(test.renewals->StartRenewal(TestQueue::RenewTeam(1)));
  const absl::Time now = test.clock.Now();
  const absl::Time end = now + absl::Seconds(30);
  CHECK(RequireOk(test.renewal_store->Acquire("one", now, end)).size() == 1);
  CHECK(RequireOk(test.renewal_store->Acquire("two", now, end)).empty());
  CHECK(RequireOk(test.renewal_store->Acquire("one", now, end)).size() == 1);
  const absl::Time later = end + absl::Seconds(1);
  CHECK(RequireOk(test.renewal_store->Acquire("two", later, later + absl::Seconds(30))).size() ==
        1);
  CHECK(RequireOk(test.renewal_store->Acquire("one", later, later)).empty());
}

}  // namespace
}  // namespace countersign::sign
