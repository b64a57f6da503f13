#include "services/sign/certificates/issuance_queue.h"

#include <future>
#include <thread>

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

// Later looks of the queue begin after this returns, and one of them has ended.
void AwaitLook(TestQueue& test, IssuanceQueue& queue, const std::string& marker) {
  RequireOk(queue.Enqueue({TestQueue::Request(marker)}));
  REQUIRE(Eventually([&] { return test.Get(marker).tries() > 0; }));
}

TEST_CASE("A queued request is issued and comes into the inventory") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const auto queue = test.Start();
  const auto queued = RequireOk(queue->Enqueue({TestQueue::Request("one")}));
  REQUIRE(queued.size() == 1);
  CHECK(queued[0].name() == "tenants/default/issuances/one");
  CHECK(queued[0].state() == v1::ISSUANCE_STATE_QUEUED);
  CHECK(queued[0].max_tries() == 3);
  REQUIRE(test.Becomes("one", v1::ISSUANCE_STATE_SUCCEEDED));
  const v1::Issuance done = test.Get("one");
  CHECK(done.tries() == 1);
  const std::string request_id = UuidOf("tenants/default/issuances/one");
  CHECK(done.certificate() == "tenants/default/certificates/of-" + request_id);
  CHECK(test.upstream->tries() == std::map<std::string, int>{{request_id, 1}});
  CHECK(test.upstream->last_request().csr() == "a certification request");
}

TEST_CASE("The queue holds so many and no more, a batch all or none") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres), /*capacity=*/3);
  RequireOk(test.Enqueue({TestQueue::Request("a"), TestQueue::Request("b")}));
  const auto refused = test.Enqueue({TestQueue::Request("c"), TestQueue::Request("d")});
  CHECK_THAT(refused, StatusIs(StatusCode::kResourceExhausted, "3 wait"));
  CHECK(runtime::ReasonOf(refused.status()) == "QUEUE_FULL");
  CHECK(runtime::RetryAfterOf(refused.status()) > absl::ZeroDuration());
  CHECK_THAT(test.store->Get({"default", "c"}), StatusIs(StatusCode::kNotFound));
  RequireOk(test.Enqueue({TestQueue::Request("c")}));
  CHECK_THAT(test.Enqueue({TestQueue::Request("d")}), StatusIs(StatusCode::kResourceExhausted));
  CHECK(RequireOk(test.store->Stats(test.clock.Now())).waiting == 3);
  // What runs does not wait.
  std::string last;
  RequireOk(test.store->Claim("me", 1, &last, test.clock.Now(), absl::InfiniteFuture()));
  CHECK_THAT(test.Enqueue({TestQueue::Request("d")}), IsOk());
}

TEST_CASE("Groups of one transaction are refused one by one") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres), /*capacity=*/2);
  EnqueueGroup large;
  for (const char* id : {"a", "b", "c"}) large.issuances.push_back(TestQueue::Request(id));
  EnqueueGroup small;
  small.issuances.push_back(TestQueue::Request("d"));
  EnqueueGroup unknown;
  unknown.issuances.push_back(TestQueue::Request("e"));
  unknown.issuances[0].upstream = "nowhere";
  EnqueueGroup* const groups[] = {&large, &unknown, &small};
  REQUIRE_THAT(test.store->Enqueue(groups, test.clock.Now()), IsOk());
  CHECK_THAT(large.result, StatusIs(StatusCode::kResourceExhausted));
  CHECK_THAT(unknown.result, StatusIs(StatusCode::kNotFound, "upstreams/nowhere"));
  CHECK_THAT(small.result, IsOk());
  CHECK_THAT(test.store->Get({"default", "a"}), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("A repeated request id answers what is queued, another request is refused") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres), /*capacity=*/1);
  NewIssuance request = TestQueue::Request("8d7bb0a5-2a41-4f64-9a3f-6f7d0f6a1b2c");
  request.idempotent = true;
  (*request.request.mutable_labels())["a"] = "1";
  (*request.request.mutable_labels())["b"] = "2";
  const auto first = RequireOk(test.Enqueue({request}));
  const auto again = RequireOk(test.Enqueue({request}));
  CHECK(again[0].SerializeAsString() == first[0].SerializeAsString());
  request.request.set_owner_team("another");
  const auto reused = test.Enqueue({request});
  CHECK_THAT(reused, StatusIs(StatusCode::kAlreadyExists));
  CHECK(runtime::ReasonOf(reused.status()) == "REQUEST_ID_REUSED");
}

TEST_CASE("A failure is tried again after 1 s and 2 s, up to a quarter more, and then given up") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.upstream->FailWith(absl::UnavailableError("not now"));
  const auto queue = test.Start();
  RequireOk(queue->Enqueue({TestQueue::Request("one")}));
  for (int tries = 1; tries <= 2; ++tries) {
    REQUIRE(test.Becomes("one", v1::ISSUANCE_STATE_WAITING));
    const v1::Issuance waiting = test.Get("one");
    CHECK(waiting.tries() == tries);
    CHECK(waiting.error().code() == static_cast<int>(StatusCode::kUnavailable));
    CHECK(waiting.error().message() == "not now");
    const absl::Time next = absl::FromUnixSeconds(waiting.next_try_time().seconds()) +
                            absl::Nanoseconds(waiting.next_try_time().nanos());
    CHECK(next >= test.clock.Now() + absl::Seconds(tries));
    CHECK(next <= test.clock.Now() + absl::Seconds(tries) * 1.25);
    test.clock.Set(next - absl::Milliseconds(1));
    AwaitLook(test, *queue, absl::StrCat("marker-", tries));
    CHECK(test.Get("one").tries() == tries);
    test.clock.Set(next);
    REQUIRE(Eventually([&] { return test.Get("one").tries() == tries + 1; }));
  }
  REQUIRE(test.Becomes("one", v1::ISSUANCE_STATE_FAILED));
  CHECK(test.Get("one").tries() == 3);
  test.upstream->FailWith(absl::OkStatus());
  CHECK_THAT(test.store->Retry({"default", "one"}, test.clock.Now()), IsOk());
  queue->Wake();
  REQUIRE(test.Becomes("one", v1::ISSUANCE_STATE_SUCCEEDED));
  CHECK_FALSE(test.Get("one").has_error());
  CHECK_THAT(test.store->Retry({"default", "one"}, test.clock.Now()),
             StatusIs(StatusCode::kFailedPrecondition, "has not failed"));
}

TEST_CASE("A failure that another try cannot help is final, and a wait asked for is kept") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const auto queue = test.Start();
  test.upstream->FailWith(
      runtime::AttachReason(absl::InvalidArgumentError("bad name"), "BAD_NAME"));
  RequireOk(queue->Enqueue({TestQueue::Request("bad")}));
  REQUIRE(test.Becomes("bad", v1::ISSUANCE_STATE_FAILED));
  CHECK(test.Get("bad").tries() == 1);
  CHECK(test.Get("bad").error().reason() == "BAD_NAME");
  test.upstream->FailWith(
      runtime::AttachRetryAfter(absl::ResourceExhaustedError("slowly"), absl::Minutes(10)));
  RequireOk(queue->Enqueue({TestQueue::Request("limited")}));
  REQUIRE(test.Becomes("limited", v1::ISSUANCE_STATE_WAITING));
  CHECK(test.Get("limited").next_try_time().seconds() ==
        absl::ToUnixSeconds(test.clock.Now() + absl::Minutes(10)));
}

TEST_CASE("What a dead process ran is run once its lease is over, and no try is counted for it") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  RequireOk(test.Enqueue({TestQueue::Request("one")}));
  std::string last;
  const absl::Time lease_end = test.clock.Now() + absl::Seconds(30);
  REQUIRE(RequireOk(test.store->Claim("dead", 10, &last, test.clock.Now(), lease_end)).size() == 1);
  REQUIRE_THAT(test.store->SaveProgress({"default", "one"}, "dead", "half"), IsOk());
  const auto queue = test.Start();
  test.clock.Set(lease_end);
  AwaitLook(test, *queue, "marker");
  CHECK(test.Get("one").state() == v1::ISSUANCE_STATE_RUNNING);
  test.clock.Advance(absl::Milliseconds(1));
  REQUIRE(test.Becomes("one", v1::ISSUANCE_STATE_SUCCEEDED));
  CHECK(test.Get("one").tries() == 1);
  CHECK(test.upstream->last_progress() == "half");
  // The dead one was only slow: what it says now changes nothing.
  Completion late;
  late.name = {"default", "one"};
  late.state = v1::ISSUANCE_STATE_FAILED;
  CHECK_THAT(test.store->Complete("dead", {late}, test.clock.Now()), IsOk());
  CHECK(test.Get("one").state() == v1::ISSUANCE_STATE_SUCCEEDED);
  CHECK_THAT(test.store->SaveProgress({"default", "one"}, "dead", "more"),
             StatusIs(StatusCode::kAborted));
}

TEST_CASE("A process that has the database to itself takes over at its start") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  RequireOk(test.Enqueue({TestQueue::Request("one")}));
  std::string last;
  RequireOk(
      test.store->Claim("dead", 10, &last, test.clock.Now(), test.clock.Now() + absl::Hours(1)));
  IssuanceQueue::Options options = test.QueueOptions();
  options.alone = true;
  IssuanceQueue queue(std::move(options));
  CHECK(test.Becomes("one", v1::ISSUANCE_STATE_SUCCEEDED));
}

TEST_CASE("A long issuance keeps its claim") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  IssuanceQueue::Options options = test.QueueOptions();
  options.lease = absl::Milliseconds(30);
  test.upstream->Hold(true);
  IssuanceQueue queue(std::move(options));
  RequireOk(queue.Enqueue({TestQueue::Request("one")}));
  REQUIRE(Eventually([&] { return test.upstream->held() == 1; }));
  const auto due = [&] {
    return RequireOk(test.database->Query("SELECT due_time FROM issuances"))[0].Int(0);
  };
  const int64_t first = due();
  test.clock.Advance(absl::Milliseconds(20));
  CHECK(Eventually([&] { return due() == first + 20000; }));
  test.upstream->Release();
  CHECK(test.Becomes("one", v1::ISSUANCE_STATE_SUCCEEDED));
}

TEST_CASE("Progress that a try saved is there for the next") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.upstream->Hold(true);
  const auto queue = test.Start();
  RequireOk(queue->Enqueue({TestQueue::Request("one")}));
  REQUIRE(Eventually([&] { return test.upstream->held() == 1; }));
  REQUIRE_THAT(test.upstream->SaveProgress("order 7"), IsOk());
  test.upstream->Release(absl::UnavailableError("gone"));
  REQUIRE(test.Becomes("one", v1::ISSUANCE_STATE_WAITING));
  test.clock.Advance(absl::Seconds(2));
  REQUIRE(Eventually([&] { return test.upstream->held() == 1; }));
  CHECK(test.upstream->last_progress() == "order 7");
  test.upstream->Release(absl::FailedPreconditionError("invalid"));
  REQUIRE(test.Becomes("one", v1::ISSUANCE_STATE_FAILED));
  // Queued again, it begins anew.
  RequireOk(test.store->Retry({"default", "one"}, test.clock.Now()));
  queue->Wake();
  REQUIRE(Eventually([&] { return test.upstream->held() == 1; }));
  CHECK(test.upstream->last_progress().empty());
  test.upstream->Release();
}

TEST_CASE("What waits can be cancelled, what runs or is done cannot") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  RequireOk(test.Enqueue({TestQueue::Request("one"), TestQueue::Request("two")}));
  const ResourceId one = {"default", "one"};
  CHECK(RequireOk(test.store->Cancel(one, test.clock.Now())).state() ==
        v1::ISSUANCE_STATE_CANCELLED);
  CHECK_THAT(test.store->Cancel(one, test.clock.Now()), IsOk());
  CHECK_THAT(test.store->Cancel({"default", "none"}, test.clock.Now()),
             StatusIs(StatusCode::kNotFound));
  test.upstream->Hold(true);
  const auto queue = test.Start();
  REQUIRE(Eventually([&] { return test.upstream->held() == 1; }));
  CHECK_THAT(test.store->Cancel({"default", "two"}, test.clock.Now()),
             StatusIs(StatusCode::kFailedPrecondition, "is running"));
  test.upstream->Release();
  REQUIRE(test.Becomes("two", v1::ISSUANCE_STATE_SUCCEEDED));
  CHECK_THAT(test.store->Cancel({"default", "two"}, test.clock.Now()),
             StatusIs(StatusCode::kFailedPrecondition, "is done"));
  CHECK(test.Get("one").tries() == 0);
}

TEST_CASE("Tenants are served in turn, however much one of them has queued") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  std::vector<NewIssuance> many;
  for (int i = 0; i < 200; ++i) many.push_back(TestQueue::Request(absl::StrCat("a", i), "a"));
  RequireOk(test.Enqueue(many));
  test.clock.Advance(absl::Seconds(1));
  RequireOk(test.Enqueue({TestQueue::Request("b1", "b"), TestQueue::Request("b2", "b"),
                          TestQueue::Request("c1", "c")}));
  std::string last;
  const auto claim = [&](int64_t count) {
    std::map<std::string, int> tenants;
    for (const ClaimedIssuance& claimed : RequireOk(test.store->Claim(
             "me", count, &last, test.clock.Now(), test.clock.Now() + absl::Hours(1)))) {
      ++tenants[claimed.name.tenant];
    }
    return tenants;
  };
  CHECK(claim(2) == std::map<std::string, int>{{"a", 1}, {"b", 1}});
  CHECK(claim(1) == std::map<std::string, int>{{"c", 1}});
  CHECK(claim(1) == std::map<std::string, int>{{"a", 1}});
  // What others do not need goes to who has more.
  CHECK(claim(100) == std::map<std::string, int>{{"a", 99}, {"b", 1}});
}

TEST_CASE("No more run at the same time than there are workers") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  IssuanceQueue::Options options = test.QueueOptions();
  options.workers = 3;
  test.upstream->Hold(true);
  IssuanceQueue queue(std::move(options));
  std::vector<NewIssuance> many;
  for (int i = 0; i < 250; ++i) many.push_back(TestQueue::Request(absl::StrCat("i", i)));
  RequireOk(queue.Enqueue(many));
  for (int i = 0; i < 250; ++i) {
    REQUIRE(Eventually([&] { return test.upstream->held() == std::min<size_t>(3, 250 - i); }));
    test.upstream->Release();
  }
  CHECK(test.upstream->most_held() == 3);
  CHECK(Eventually([&] { return RequireOk(test.store->Stats(test.clock.Now())).running == 0; }));
  CHECK(test.Tracked().size() == 250);
}

TEST_CASE("A queue that stops gives back what it has not done") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  test.upstream->Hold(true);
  auto queue = test.Start();
  std::vector<NewIssuance> many;
  for (int i = 0; i < 120; ++i) many.push_back(TestQueue::Request(absl::StrCat("i", i)));
  RequireOk(queue->Enqueue(many));
  REQUIRE(Eventually([&] { return test.upstream->held() == 50; }));
  queue.reset();
  const QueueStats stats = RequireOk(test.store->Stats(test.clock.Now()));
  CHECK(stats.waiting == 120);
  CHECK(stats.running == 0);
  CHECK(test.Get("i0").tries() == 0);
}

TEST_CASE("Two processes share a queue and do nothing twice") {
  TestQueue test(Engine::kPostgres);
  const auto one = test.Start();
  const auto two = test.Start();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        IssuanceQueue& queue = i % 2 == 0 ? *one : *two;
        if (!queue.Enqueue({TestQueue::Request(absl::StrCat("i-", t, "-", i))}).ok()) return;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(Eventually([&] {
    return RequireOk(test.database->Query("SELECT COUNT(*) FROM issuances WHERE state = 4"))[0].Int(
               0) == 400;
  }));
  for (const auto& [request_id, times] : test.upstream->tries()) CHECK(times == 1);
  CHECK(test.upstream->tries().size() == 400);
}

TEST_CASE("The list goes through all, the oldest first, page by page, and takes filters") {
  TestQueue test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  for (int i = 0; i < 7; ++i) {
    RequireOk(test.Enqueue({TestQueue::Request(absl::StrCat("i", i))}));
    if (i % 2 == 0) test.clock.Advance(absl::Seconds(1));
  }
  RequireOk(test.Enqueue({TestQueue::Request("other", "b")}));
  RequireOk(test.store->Cancel({"default", "i3"}, test.clock.Now()));
  v1::ListIssuancesRequest request;
  request.set_parent("tenants/default");
  request.set_page_size(2);
  std::vector<std::string> names;
  do {
    const auto page = RequireOk(test.store->List(request));
    CHECK(page.issuances_size() <= 2);
    for (const v1::Issuance& issuance : page.issuances()) names.push_back(issuance.name());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  REQUIRE(names.size() == 7);
  for (int i = 0; i < 7; ++i) CHECK(names[i] == absl::StrCat("tenants/default/issuances/i", i));
  request.set_page_size(0);
  request.set_state(v1::ISSUANCE_STATE_CANCELLED);
  CHECK(RequireOk(test.store->List(request)).issuances_size() == 1);
  request.set_page_token("00");
  CHECK_THAT(test.store->List(request), StatusIs(StatusCode::kInvalidArgument, "page_token"));
}

}  // namespace
}  // namespace countersign::sign
