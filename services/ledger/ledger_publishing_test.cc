// How a ledger has its trees cosigned and published, alone and beside others.
#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/merkle/proof.h"
#include "libs/runtime/error_details.h"
#include "services/ledger/ledger_testing.h"

namespace countersign::ledger {
namespace {

using absl::StatusCode;
using merkle::Entries;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

using Level = Ledger::Level;

TEST_CASE("An append in the middle of a round is cosigned by a round of its own") {
  Fixture log;
  log.Start();
  REQUIRE(log.PublishedSize(0));
  log.cosigner->Block();
  const Call first(log.ledger.get(), {"a"}, Level::kCosigned);
  REQUIRE(Eventually([&] { return log.cosigner->held() == std::vector<uint64_t>{1}; }));
  const Call second(log.ledger.get(), {"b"}, Level::kCosigned);
  REQUIRE(Eventually([&] { return log.cosigner->held() == std::vector<uint64_t>{1, 2}; }));
  const int published = log.store->publish_calls();
  SECTION("and the rounds may end in any order: the larger tree serves both") {
    log.cosigner->Answer(1);
    CheckTree(*RequireOk(second.Answer()).tree, {"a", "b"});
    CheckTree(*RequireOk(first.Answer()).tree, {"a", "b"});
    log.cosigner->Answer(0);
    RequireOk(log.Append({"c"}));
    log.cosigner->Unblock();
    REQUIRE(log.PublishedSize(3));
    CHECK(log.store->publish_calls() == published + 2);  // of 2 and 3, never of 1
  }
  SECTION("and the first is not kept waiting for it") {
    log.cosigner->Answer(0);
    CheckTree(*RequireOk(first.Answer()).tree, {"a"});
    CHECK(second.answers() == 0);
    log.cosigner->Answer(0);
    CheckTree(*RequireOk(second.Answer()).tree, {"a", "b"});
  }
  SECTION("and what fails in the first is no matter when the second succeeds") {
    log.cosigner->Answer(1);
    log.cosigner->Answer(0, absl::UnavailableError("away"));
    CHECK_THAT(first.Answer(), IsOk());
    log.cosigner->Unblock();
    CHECK_THAT(log.Append({"c"}, Level::kCosigned), IsOk());
  }
  SECTION("and a round that the second has overtaken is not tried again") {
    log.cosigner->Answer(0, absl::AbortedError("overtaken"));
    log.cosigner->Answer(0);
    CheckTree(*RequireOk(first.Answer()).tree, {"a", "b"});
    CHECK(log.cosigner->calls() == 3);
  }
}

TEST_CASE("Only so many rounds are under way, and the next takes all who gathered") {
  Fixture log;
  log.Start();
  REQUIRE(log.PublishedSize(0));
  log.cosigner->Block();
  std::vector<Call> calls;
  for (size_t i = 1; i <= 20; ++i) {
    calls.emplace_back(log.ledger.get(), Entries{absl::StrCat(i)}, Level::kCosigned);
    REQUIRE(Eventually([&] {
      return log.ledger->signed_head().head.size == i &&
             log.cosigner->held().size() == std::min<size_t>(i, 16);
    }));
  }
  CHECK(log.cosigner->held().back() == 16);
  log.cosigner->Answer(0);
  REQUIRE(Eventually([&] { return log.cosigner->held().back() == 20; }));
  log.cosigner->Answer(15);
  for (const Call& call : calls) CHECK_THAT(call.Answer(), IsOk());
}

TEST_CASE("Rounds that nobody waits for come one at a time") {
  Fixture log;
  log.Start();
  REQUIRE(log.PublishedSize(0));
  log.cosigner->Block();
  for (uint64_t size = 1; size <= 5; ++size) RequireOk(log.Append({absl::StrCat(size)}));
  REQUIRE(Eventually([&] { return log.cosigner->held().size() == 1; }));
  const int calls = log.cosigner->calls();
  log.cosigner->Answer(0);
  REQUIRE(Eventually([&] { return log.cosigner->calls() == calls + 1; }));
  CHECK(log.cosigner->held() == std::vector<uint64_t>{5});
}

TEST_CASE("A checkpoint that has grown old is cosigned and published again") {
  base::ManualClock clock(absl::FromUnixSeconds(1'700'000'000));
  Ledger::Options options;
  options.clock = &clock;
  options.republish_interval = absl::Hours(1);
  Fixture log(options);
  log.Start();
  const std::string first = *RequireOk(log.Append({"a"}, Level::kCosigned)).tree->checkpoint;
  const int published = log.store->publish_calls();
  clock.Advance(absl::Minutes(59));
  RequireOk(log.Append({"a"}, Level::kCosigned));
  clock.Advance(absl::Minutes(1));
  REQUIRE(Eventually([&] { return *log.ledger->published_head().checkpoint != first; }));
  CHECK(log.store->publish_calls() == published + 1);
  CHECK(log.store->PublishTime() == clock.Now());
  CheckTree(log.ledger->published_head(), {"a"});
  CHECK(RequireOk(note::ParseNote(*log.store->PublishedCheckpoint())).text ==
        RequireOk(note::ParseNote(first)).text);
}

TEST_CASE("With the clock behind the last checkpoint nothing is signed until it is right") {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  base::ManualClock clock(now);
  Ledger::Options options;
  options.clock = &clock;
  Fixture log(options);
  log.Start();
  RequireOk(log.Append({"a"}, Level::kCosigned));
  clock.Set(now - absl::Hours(1));
  SECTION("while it runs") {}
  SECTION("at a start") { log.Start(); }
  CheckTree(log.ledger->signed_head(), {"a"});
  CheckTree(log.ledger->published_head(), {"a"});
  const int calls = log.cosigner->calls();
  const int published = log.store->publish_calls();
  CHECK_THAT(log.Append({"b"}, Level::kSequenced), IsOk());
  CHECK_THAT(log.Append({"c"}), StatusIs(StatusCode::kDeadlineExceeded, "the clock is 1h behind"));
  CHECK_THAT(log.Append({"d"}, Level::kCosigned),
             StatusIs(StatusCode::kDeadlineExceeded, "set it"));
  const absl::Time deadline = clock.Now() + absl::Seconds(10);
  const Call integrated(log.ledger.get(), {"e"}, Level::kIntegrated, deadline);
  const Call cosigned(log.ledger.get(), {"f"}, Level::kCosigned, deadline);
  const Call patient(log.ledger.get(), {"g"}, Level::kCosigned, now + absl::Hours(1));
  CHECK(integrated.answers() + cosigned.answers() == 0);
  clock.Advance(absl::Seconds(11));
  CHECK_THAT(integrated.Answer(), StatusIs(StatusCode::kDeadlineExceeded, "the clock is"));
  CHECK_THAT(cosigned.Answer(), StatusIs(StatusCode::kDeadlineExceeded, "the clock is"));
  CHECK(log.ledger->signed_head().head.size == 1);
  CHECK(log.cosigner->calls() == calls);
  CHECK(log.store->publish_calls() == published);
  clock.Set(now);
  CheckTree(*RequireOk(patient.Answer()).tree, {"a", "b", "c", "d", "e", "f", "g"});
}

TEST_CASE("A tree signed before the clock went back is not published until it is right") {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  base::ManualClock clock(now);
  Ledger::Options options;
  options.clock = &clock;
  Fixture log(options);
  log.Start();
  REQUIRE(log.PublishedSize(0));
  log.cosigner->Block();
  const Call call(log.ledger.get(), {"a"}, Level::kCosigned, now + absl::Hours(1));
  REQUIRE(Eventually([&] { return log.cosigner->held().size() == 1; }));
  clock.Set(now - absl::Hours(1));
  const int published = log.store->publish_calls();
  log.cosigner->Unblock();
  const Call other(log.ledger.get(), {"a"}, Level::kCosigned, clock.Now() + absl::Seconds(1));
  clock.Advance(absl::Seconds(2));
  CHECK_THAT(other.Answer(), StatusIs(StatusCode::kDeadlineExceeded));
  CHECK(log.store->publish_calls() == published);
  clock.Set(now);
  CHECK_THAT(call.Answer(), IsOk());
}

// Ledgers on one log that they share.
struct SharedFixture {
  struct Replica {
    std::unique_ptr<Ledger> ledger;
    FakeCosigner* cosigner = nullptr;

    absl::StatusOr<Ledger::Appended> Append(Entries entries, Level level) {
      return Call(ledger.get(), std::move(entries), level).Answer();
    }
  };

  absl::StatusOr<Replica> TryStart(absl::Duration follow_interval = absl::Milliseconds(5)) {
    Ledger::Options options;
    options.origin = kOrigin;
    options.publish_interval = absl::Milliseconds(1);
    options.cosign_retry = absl::Milliseconds(1);
    options.follow_interval = follow_interval;
    auto cosigner = std::make_unique<FakeCosigner>();
    Replica replica;
    replica.cosigner = cosigner.get();
    auto started = Ledger::Start(options, std::make_unique<SharedFakeStore>(log),
                                 note::TestLogSigner(kOrigin), std::move(cosigner));
    if (!started.ok()) return started.status();
    replica.ledger = *std::move(started);
    return replica;
  }
  Replica Start(absl::Duration follow_interval = absl::Milliseconds(5)) {
    return RequireOk(TryStart(follow_interval));
  }
  // That what was published never shrank and that no size had two trees.
  void CheckPublished() const {
    note::Checkpoint last{kOrigin, 0, merkle::EmptyRoot()};
    for (const std::string& published : log->published()) {
      const note::Checkpoint checkpoint = RequireOk(note::ParseSignedCheckpoint(published));
      CHECK(checkpoint.size >= last.size);
      if (checkpoint.size == last.size) CHECK(checkpoint.root == last.root);
      last = checkpoint;
    }
  }
  // The cosignature lines that were published over trees of this size.
  size_t PublishedOfSize(uint64_t size) const {
    size_t count = 0;
    for (const std::string& published : log->published()) {
      if (RequireOk(note::ParseSignedCheckpoint(published)).size == size) ++count;
    }
    return count;
  }

  std::shared_ptr<SharedFakeLog> log = std::make_shared<SharedFakeLog>();
};

bool Shows(const Ledger& ledger, uint64_t size) {
  return Eventually([&] {
    const SignedTreeHead head = ledger.published_head();
    return head.checkpoint != nullptr && head.head.size == size;
  });
}

TEST_CASE("Ledgers on one store follow what the others sequence and publish") {
  SharedFixture shared;
  auto a = shared.Start();
  auto b = shared.Start();
  RequireOk(a.Append({"x"}, Level::kCosigned));
  REQUIRE(Shows(*b.ledger, 1));
  CheckTree(b.ledger->published_head(), {"x"});
  CHECK(b.ledger->signed_head().head.size == 1);
  const auto appended = RequireOk(b.Append({"x", "y"}, Level::kCosigned));
  CHECK(appended.placements[0].duplicate);
  CHECK(appended.placements[1].index == 1);
  REQUIRE(Shows(*a.ledger, 2));
  CheckTree(a.ledger->published_head(), {"x", "y"});
  shared.CheckPublished();
}

TEST_CASE("What another ledger publishes releases those who wait here") {
  SharedFixture shared;
  auto a = shared.Start();
  REQUIRE(Shows(*a.ledger, 0));
  auto b = shared.Start();
  REQUIRE(Shows(*b.ledger, 0));
  a.cosigner->Block();
  const Call waiting(a.ledger.get(), {"x"}, Level::kCosigned);
  RequireOk(b.Append({"x"}, Level::kCosigned));
  CheckTree(*RequireOk(waiting.Answer()).tree, {"x"});
  a.cosigner->Unblock();
  RequireOk(a.Append({"y"}, Level::kCosigned));
  CHECK(shared.PublishedOfSize(1) == 1);
  shared.CheckPublished();
}

TEST_CASE("A round that ends after another ledger published more gives way to that") {
  SharedFixture shared;
  auto slow = shared.Start(/*follow_interval=*/absl::Hours(1));
  REQUIRE(Shows(*slow.ledger, 0));
  slow.cosigner->Block();
  const Call waiting(slow.ledger.get(), {"x"}, Level::kCosigned);
  REQUIRE(Eventually([&] { return slow.cosigner->held() == std::vector<uint64_t>{1}; }));
  auto quick = shared.Start();
  RequireOk(quick.Append({"y"}, Level::kCosigned));
  slow.cosigner->Answer(0);
  CheckTree(*RequireOk(waiting.Answer()).tree, {"x", "y"});
  CheckTree(slow.ledger->published_head(), {"x", "y"});
  shared.CheckPublished();
}

TEST_CASE("Many appends on two ledgers each get an index of their own and one history") {
  SharedFixture shared;
  auto a = shared.Start();
  auto b = shared.Start();
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      SharedFixture::Replica& replica = t % 2 == 0 ? a : b;
      for (int i = 0; i < 30; ++i) {
        const std::string entry = absl::StrCat(t, "/", i);
        const auto appended =
            replica.Append({entry}, i % 3 == 0 ? Level::kCosigned : Level::kIntegrated);
        const auto holds = [&] {
          const uint64_t index = appended->placements[0].index;
          const TreeHead& head = appended->tree->head;
          const auto proof = replica.ledger->InclusionProof(index, head.size);
          return proof.ok() && merkle::VerifyInclusion(index, head.size, merkle::LeafHash(entry),
                                                       *proof, head.root)
                                   .ok();
        };
        if (!appended.ok() || !holds()) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  REQUIRE(Shows(*a.ledger, 120));
  REQUIRE(Shows(*b.ledger, 120));
  shared.CheckPublished();
}

TEST_CASE("A log frozen by one ledger is frozen for all") {
  SharedFixture shared;
  auto a = shared.Start();
  auto b = shared.Start(/*follow_interval=*/absl::Hours(1));
  CHECK_THAT(a.ledger->Freeze(), IsOk());
  const absl::Status refused = b.Append({"x"}, Level::kSequenced).status();
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(refused) == "LOG_FROZEN");
  auto c = shared.Start();
  CHECK(c.ledger->frozen());
}

TEST_CASE("What another ledger published and this log did not sign stops it for good") {
  SharedFixture shared;
  auto a = shared.Start();
  RequireOk(a.Append({"x"}, Level::kCosigned));
  std::string published;
  SECTION("another tree") { published = CheckpointOf(kOrigin, {"z"}); }
  SECTION("a larger tree than the store holds") { published = CheckpointOf(kOrigin, {"x", "z"}); }
  SECTION("another log") { published = CheckpointOf("other.example/log", {"x"}); }
  SECTION("nonsense") { published = "nonsense"; }
  shared.log->Publish(published.size() > 20 ? 2 : 1, published, absl::Now());
  REQUIRE(
      Eventually([&] { return absl::IsDataLoss(a.Append({"x"}, Level::kSequenced).status()); }));
  CHECK_THAT(a.Append({"y"}, Level::kCosigned), StatusIs(StatusCode::kDataLoss));
  CheckTree(a.ledger->published_head(), {"x"});
}

TEST_CASE(
    "A head that a witness names is looked for in a shared store before it is called missing") {
  SharedFixture shared;
  auto a = shared.Start(/*follow_interval=*/absl::Milliseconds(1));
  RequireOk(a.Append({"x"}, Level::kCosigned));
  const Cosigner::ProofFn proof = a.cosigner->last_round().proof;
  CHECK_THAT(proof(1, 3), StatusIs(StatusCode::kUnavailable, "another ledger"));
  SECTION("found") {
    auto b = shared.Start();
    RequireOk(b.Append({"y", "z"}, Level::kIntegrated));
    REQUIRE(Eventually([&] { return proof(1, 3).ok(); }));
  }
  SECTION("missing") {
    REQUIRE(Eventually([&] { return absl::IsOutOfRange(proof(1, 3).status()); }));
    CHECK_THAT(proof(1, 4), StatusIs(StatusCode::kOutOfRange));
  }
}

}  // namespace
}  // namespace countersign::ledger
