#include "services/ledger/ledger.h"

#include <atomic>
#include <filesystem>
#include <set>
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

TEST_CASE("An empty log signs and publishes the checkpoint of the empty tree") {
  Fixture log;
  log.Start();
  CheckTree(log.ledger->signed_head(), {});
  REQUIRE(log.PublishedSize(0));
  CheckTree(log.ledger->published_head(), {});
  CHECK(*log.store->PublishedCheckpoint() == *log.ledger->published_head().checkpoint);
}

TEST_CASE("SEQUENCED answers with the index alone") {
  Fixture log;
  log.Start();
  const auto appended = RequireOk(log.Append({"a", "b"}, Level::kSequenced));
  REQUIRE(appended.placements.size() == 2);
  CHECK(appended.placements[1].index == 1);
  CHECK_FALSE(appended.placements[1].duplicate);
  CHECK(appended.leaf_hashes[1] == merkle::LeafHash("b"));
  CHECK_FALSE(appended.tree.has_value());
}

TEST_CASE("SEQUENCED is answered while integration and witnesses are stuck") {
  Fixture log;
  log.Start();
  log.store->FailIntegrate(absl::UnavailableError("stuck"));
  log.cosigner->FailWith(absl::UnavailableError("away"));
  CHECK_THAT(log.Append({"a"}, Level::kSequenced), IsOk());
}

TEST_CASE("INTEGRATED answers with a signed tree that holds the entries, cosigned or not") {
  Fixture log;
  log.Start();
  log.cosigner->Block();
  const auto appended = RequireOk(log.Append({"a", "b"}));
  REQUIRE(appended.tree.has_value());
  CheckTree(*appended.tree, {"a", "b"});
  const auto proof = RequireOk(log.ledger->InclusionProof(1, 2));
  CHECK_THAT(merkle::VerifyInclusion(1, 2, merkle::LeafHash("b"), proof, appended.tree->head.root),
             IsOk());
  log.cosigner->Unblock();
}

TEST_CASE("COSIGNED answers with the cosigned checkpoint, which is then the published one") {
  Fixture log;
  log.Start();
  const auto appended = RequireOk(log.Append({"a"}, Level::kCosigned));
  REQUIRE(appended.tree.has_value());
  CheckTree(*appended.tree, {"a"});
  CHECK(RequireOk(note::ParseNote(*appended.tree->checkpoint)).signatures.size() == 2);
  CHECK(*log.ledger->published_head().checkpoint == *appended.tree->checkpoint);
  CHECK(*log.store->PublishedCheckpoint() == *appended.tree->checkpoint);
}

TEST_CASE("An entry appended again answers with its first index at every level") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a", "b"}, Level::kCosigned));
  const int asked = log.cosigner->calls();
  for (const Level level : {Level::kSequenced, Level::kIntegrated, Level::kCosigned}) {
    const auto again = RequireOk(log.Append({"b"}, level));
    CHECK(again.placements[0].index == 1);
    CHECK(again.placements[0].duplicate);
  }
  CHECK(log.cosigner->calls() == asked);  // the tree is the same one
  const auto mixed = RequireOk(log.Append({"c", "a", "c"}));
  CHECK(mixed.placements[0].index == 2);
  CHECK(mixed.placements[1].index == 0);
  CHECK(mixed.placements[2].index == 2);
  CHECK(mixed.placements[2].duplicate);
}

TEST_CASE("Malformed appends are refused whole") {
  Fixture log;
  log.Start();
  CHECK_THAT(log.Append({}), StatusIs(StatusCode::kInvalidArgument, "no entry"));
  CHECK_THAT(log.Append({"a", ""}), StatusIs(StatusCode::kInvalidArgument, "entry 1 is empty"));
  CHECK_THAT(log.Append({"a", "b", std::string(65'536, 'x')}),
             StatusIs(StatusCode::kInvalidArgument, "entry 2 has 65536 bytes"));
  CHECK_THAT(log.Append(merkle::NumberedEntries(10'001)),
             StatusIs(StatusCode::kInvalidArgument, "10001"));
  CHECK(log.ledger->signed_head().head.size == 0);
  CHECK(log.store->sequence_calls() == 0);

  CHECK_THAT(log.Append({std::string(65'535, 'x')}), IsOk());
  CHECK_THAT(log.Append(merkle::NumberedEntries(10'000)), IsOk());
  CHECK(log.ledger->signed_head().head.size == 10'001);
}

TEST_CASE("Appends that gather while the store is busy share one synchronisation") {
  Fixture log;
  log.Start();
  log.store->BlockSequence();
  std::vector<Call> calls;
  calls.emplace_back(log.ledger.get(), Entries{"first"}, Level::kSequenced);
  REQUIRE(Eventually([&] { return log.store->sequence_calls() == 1; }));
  const uint64_t before = log.files->synchronisations();
  for (int i = 0; i < 100; ++i) {
    calls.emplace_back(log.ledger.get(), Entries{absl::StrCat("entry ", i)}, Level::kIntegrated);
  }
  CHECK(log.ledger->queued_entries() == 100);
  log.store->UnblockSequence();
  for (size_t i = 0; i < calls.size(); ++i) {
    CHECK(RequireOk(calls[i].Answer()).placements[0].index == i);
  }
  CHECK(log.store->sequence_calls() == 2);
  CHECK(log.files->synchronisations() == before + 2);
  CHECK(log.ledger->queued_entries() == 0);
}

TEST_CASE("A batch takes no more than its bytes, but always one call") {
  Ledger::Options options;
  options.max_batch_bytes = 100;
  Fixture log(options);
  log.Start();
  log.store->BlockSequence();
  std::vector<Call> calls;
  calls.emplace_back(log.ledger.get(), Entries{"first"}, Level::kSequenced);
  REQUIRE(Eventually([&] { return log.store->sequence_calls() == 1; }));
  for (const int size : {40, 60, 1, 1000, 30}) {
    calls.emplace_back(log.ledger.get(), Entries{std::string(size, 'x')}, Level::kSequenced);
  }
  log.store->UnblockSequence();
  for (const Call& call : calls) RequireOk(call.Answer());
  CHECK(log.store->sequence_calls() == 5);  // first | 40 60 | 1 | 1000 | 30
}

TEST_CASE("One client's append costs one synchronisation") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"warm"}, Level::kCosigned));
  const uint64_t before = log.files->synchronisations();
  for (int i = 0; i < 10; ++i) RequireOk(log.Append({absl::StrCat(i)}, Level::kIntegrated));
  CHECK(log.files->synchronisations() == before + 10);
}

TEST_CASE("A full queue refuses appends and appends nothing of them") {
  Ledger::Options options;
  SECTION("of entries") { options.max_queued_entries = 3; }
  SECTION("of bytes") { options.max_held_bytes = 4; }
  Fixture log(options);
  log.Start();
  log.store->BlockSequence();
  const Call first(log.ledger.get(), {"0"}, Level::kIntegrated);
  REQUIRE(Eventually([&] { return log.store->sequence_calls() == 1; }));
  const Call second(log.ledger.get(), {"1", "2"}, Level::kIntegrated);
  CHECK_THAT(log.Append({"3", "4"}), StatusIs(StatusCode::kResourceExhausted, "queue is full"));
  const Call third(log.ledger.get(), {"5"}, Level::kIntegrated);
  CHECK_THAT(log.Append({"6"}), StatusIs(StatusCode::kResourceExhausted, "queue is full"));
  log.store->UnblockSequence();
  RequireOk(third.Answer());
  CheckTree(log.ledger->signed_head(), {"0", "1", "2", "5"});
  RequireOk(log.Append({"6"}));
}

TEST_CASE("Too many calls that wait for the quorum refuse more") {
  Ledger::Options options;
  options.max_waiting = 2;
  Fixture log(options);
  log.Start();
  log.cosigner->Block();
  const Call first(log.ledger.get(), {"a"}, Level::kCosigned);
  const Call second(log.ledger.get(), {"b"}, Level::kCosigned);
  REQUIRE(Eventually([&] { return log.ledger->signed_head().head.size == 2; }));
  CHECK_THAT(log.Append({"c"}), StatusIs(StatusCode::kResourceExhausted, "2 calls"));
  log.cosigner->Unblock();
  CHECK_THAT(first.Answer(), IsOk());
  CHECK_THAT(second.Answer(), IsOk());
  CHECK_THAT(log.Append({"c"}), IsOk());
}

TEST_CASE("A full disk fails the appends it meets, and later ones succeed") {
  Fixture log;
  log.Start();
  log.store->FailSequence(absl::ResourceExhaustedError("no space"));
  CHECK_THAT(log.Append({"a"}), StatusIs(StatusCode::kResourceExhausted, "no space"));
  CHECK_THAT(log.Append({"a"}, Level::kCosigned), StatusIs(StatusCode::kResourceExhausted));
  log.store->FailSequence(absl::OkStatus());
  const auto appended = RequireOk(log.Append({"a"}));
  CHECK(appended.placements[0].index == 0);
  CHECK_FALSE(appended.placements[0].duplicate);
}

TEST_CASE("A failed integration says that the entries are durable and mends itself") {
  Fixture log;
  log.Start();
  log.store->FailIntegrate(absl::ResourceExhaustedError("no space"));
  CHECK_THAT(log.Append({"a"}), StatusIs(StatusCode::kDeadlineExceeded, "no space"));
  log.store->FailIntegrate(absl::OkStatus());
  REQUIRE(log.PublishedSize(1));
  CheckTree(log.ledger->signed_head(), {"a"});
}

TEST_CASE("A checkpoint that cannot be stored is published when it can") {
  Fixture log;
  log.Start();
  REQUIRE(log.PublishedSize(0));
  log.store->FailPublish(absl::ResourceExhaustedError("no space"));
  const Call call(log.ledger.get(), {"a"}, Level::kCosigned);
  REQUIRE(Eventually([&] { return log.store->publish_calls() >= 3; }));
  CHECK(call.answers() == 0);
  CHECK(log.ledger->published_head().head.size == 0);
  log.store->FailPublish(absl::OkStatus());
  CHECK_THAT(call.Answer(), IsOk());
  CHECK(log.ledger->published_head().head.size == 1);
}

TEST_CASE("Data loss of the store stops appends and publishing, but not reading") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a", "b"}, Level::kCosigned));
  log.cosigner->Block();
  const Call waiting(log.ledger.get(), {"c"}, Level::kCosigned);
  REQUIRE(Eventually([&] { return log.ledger->signed_head().head.size == 3; }));
  log.store->FailSequence(absl::DataLossError("disk gone"));
  CHECK_THAT(log.Append({"d"}), StatusIs(StatusCode::kDataLoss, "disk gone"));
  log.store->FailSequence(absl::OkStatus());
  CHECK_THAT(log.Append({"d"}), StatusIs(StatusCode::kDataLoss, "disk gone"));
  CHECK(log.store->sequence_calls() == 3);
  log.cosigner->FailWith(absl::UnavailableError("away"));
  log.cosigner->Unblock();
  CHECK_THAT(waiting.Answer(), StatusIs(StatusCode::kDataLoss, "disk gone"));
  CHECK_THAT(log.ledger->InclusionProof(0, 2), IsOk());
  CHECK(log.ledger->published_head().head.size == 2);
}

TEST_CASE("A witness that has seen more than the log stops it for good") {
  Fixture log;
  log.Start();
  REQUIRE(log.PublishedSize(0));
  log.cosigner->FailWith(absl::DataLossError("an old copy"));
  CHECK_THAT(log.Append({"a"}, Level::kCosigned), StatusIs(StatusCode::kDataLoss, "an old copy"));
  CHECK_THAT(log.Append({"b"}), StatusIs(StatusCode::kDataLoss, "an old copy"));
  log.cosigner->FailWith(absl::OkStatus());
  CHECK_THAT(log.Append({"b"}, Level::kCosigned), StatusIs(StatusCode::kDataLoss, "an old copy"));
  CHECK(log.ledger->published_head().head.size == 0);
}

TEST_CASE("A quorum missed until the deadline says so, and the entries are published later") {
  base::ManualClock clock(absl::FromUnixSeconds(1'700'000'000));
  Ledger::Options options;
  options.clock = &clock;
  Fixture log(options);
  log.Start();
  REQUIRE(log.PublishedSize(0));
  log.cosigner->FailWith(absl::UnavailableError("missing: w1 (connection refused)"));
  clock.Advance(absl::Seconds(1));  // past the publish interval
  const Call early(log.ledger.get(), {"a"}, Level::kCosigned, clock.Now() + absl::Seconds(10));
  const Call late(log.ledger.get(), {"b"}, Level::kCosigned, clock.Now() + absl::Seconds(60));
  const int before = log.cosigner->calls();
  REQUIRE(Eventually([&] { return log.cosigner->calls() >= before + 3; }));
  CHECK(early.answers() == 0);
  clock.Advance(absl::Seconds(11));
  CHECK_THAT(early.Answer(),
             StatusIs(StatusCode::kDeadlineExceeded, "missing: w1 (connection refused)"));
  CHECK(late.answers() == 0);
  log.cosigner->FailWith(absl::OkStatus());
  CheckTree(*RequireOk(late.Answer()).tree, {"a", "b"});
  CHECK(early.answers() == 1);
}

TEST_CASE("Stopping answers everybody once and keeps what was sequenced") {
  Fixture log;
  log.Start();
  log.cosigner->Block();
  std::vector<Call> calls;
  for (int i = 0; i < 5; ++i) {
    calls.emplace_back(log.ledger.get(), Entries{absl::StrCat("w", i)}, Level::kCosigned);
  }
  REQUIRE(Eventually([&] { return log.ledger->signed_head().head.size == 5; }));
  log.store->BlockSequence();
  const int sequenced = log.store->sequence_calls();
  for (int i = 0; i < 30; ++i) {
    calls.emplace_back(log.ledger.get(), Entries{absl::StrCat("q", i)}, static_cast<Level>(i % 3));
    if (i == 0) {
      REQUIRE(Eventually([&] { return log.store->sequence_calls() == sequenced + 1; }));
    }
  }
  std::thread stopper([&] { log.ledger->Stop(); });
  // From the moment it refuses, everything before is either answered or on its way.
  REQUIRE(Eventually(
      [&] { return Call(log.ledger.get(), {"late"}, Level::kSequenced).answers() > 0; }));
  log.store->UnblockSequence();
  stopper.join();
  for (size_t i = 0; i < calls.size(); ++i) {
    INFO(i);
    CHECK(calls[i].answers() == 1);
    if (i >= 5 && (i - 5) % 3 == 0) {
      CHECK_THAT(calls[i].Answer(), IsOk());
    } else if (calls[i].answers() == 1) {
      const StatusCode code = calls[i].Answer().status().code();
      CHECK((code == StatusCode::kDeadlineExceeded || code == StatusCode::kOk));
    }
  }
  CHECK_THAT(log.Append({"new"}), StatusIs(StatusCode::kUnavailable, "stopping"));
  log.Start();
  CHECK(Eventually([&] { return log.ledger->signed_head().head.size >= 35; }));
  for (int i = 0; i < 30; ++i) {
    CHECK(RequireOk(log.Append({absl::StrCat("q", i)})).placements[0].duplicate);
  }
}

TEST_CASE("A ledger starts where it stopped") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a", "b"}, Level::kCosigned));
  const std::string published = *log.ledger->published_head().checkpoint;
  log.Start();
  CheckTree(log.ledger->signed_head(), {"a", "b"});
  CHECK(*log.ledger->published_head().checkpoint == published);
  CHECK(RequireOk(log.Append({"c"})).placements[0].index == 2);
}

TEST_CASE("After a start nothing new is signed before a quorum of the witnesses was heard") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a", "b"}, Level::kCosigned));
  log.witnesses_stuck = true;
  log.Start();
  const Call waiting(log.ledger.get(), {"c"}, Level::kIntegrated);
  CHECK_THAT(log.Append({"d"}, Level::kSequenced), IsOk());
  CHECK(waiting.answers() == 0);
  CHECK(log.ledger->signed_head().head.size == 2);
  SECTION("they answer") {
    log.cosigner->Unblock();
    CHECK_THAT(waiting.Answer(), IsOk());
  }
  SECTION("they do not at first") {
    log.cosigner->FailWith(absl::UnavailableError("away"));
    log.cosigner->Unblock();
    REQUIRE(Eventually([&] { return log.cosigner->calls() > 3; }));
    CHECK(waiting.answers() == 0);
    CHECK(log.ledger->signed_head().head.size == 2);
    log.cosigner->FailWith(absl::OkStatus());
    CHECK_THAT(waiting.Answer(), IsOk());
  }
  SECTION("they hold another tree") {
    log.cosigner->FailWith(absl::DataLossError("an old copy"));
    log.cosigner->Unblock();
    CHECK_THAT(waiting.Answer(), StatusIs(StatusCode::kDataLoss, "an old copy"));
    CHECK_THAT(log.Append({"e"}, Level::kSequenced), StatusIs(StatusCode::kDataLoss));
    CHECK(log.ledger->signed_head().head.size == 2);
  }
}

TEST_CASE("With its witnesses away at a start a log takes entries but signs no tree of them") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a"}, Level::kCosigned));
  log.witnesses_fail = absl::UnavailableError("away");
  log.Start();
  CHECK_THAT(log.Append({"b"}, Level::kSequenced), IsOk());
  const Call waiting(log.ledger.get(), {"c"}, Level::kIntegrated,
                     absl::Now() + absl::Milliseconds(50));
  CHECK_THAT(waiting.Answer(), StatusIs(StatusCode::kDeadlineExceeded, "just started"));
  CHECK(log.ledger->signed_head().head.size == 1);
  CHECK(log.ledger->published_head().head.size == 1);
}

TEST_CASE("What an old copy took while its witnesses were away is not signed at a restart either") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a"}, Level::kCosigned));
  log.witnesses_fail = absl::UnavailableError("away");
  log.Start();
  CHECK_THAT(log.Append({"b"}, Level::kSequenced), IsOk());
  log.Start();
  CheckTree(log.ledger->signed_head(), {"a"});
  // Asked for again it is a duplicate, and as unsigned as before.
  const Call waiting(log.ledger.get(), {"b"}, Level::kIntegrated,
                     absl::Now() + absl::Milliseconds(50));
  CHECK_THAT(waiting.Answer(), StatusIs(StatusCode::kDeadlineExceeded, "just started"));
  CheckTree(log.ledger->signed_head(), {"a"});
}

TEST_CASE("Entries that were never published are not signed at a start before a quorum was heard") {
  Fixture log;
  log.witnesses_fail = absl::UnavailableError("away");
  log.Start();
  // New and empty: nobody can hold anything of it.
  CHECK_THAT(log.Append({"a"}), IsOk());
  log.Start();
  CHECK(log.ledger->signed_head().head.size == 0);
  log.witnesses_fail = absl::OkStatus();
  log.Start();
  CHECK(Eventually([&] { return log.ledger->signed_head().head.size == 1; }));
}

TEST_CASE("A store that does not keep its published promise is not started on") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a", "b"}, Level::kCosigned));
  SECTION("fewer entries than published") {
    log.published = CheckpointOf(kOrigin, {"a", "b", "c"});
    CHECK_THAT(log.TryStart(), StatusIs(StatusCode::kDataLoss, "size 3"));
  }
  SECTION("another root") {
    log.published = CheckpointOf(kOrigin, {"a", "x"});
    CHECK_THAT(log.TryStart(), StatusIs(StatusCode::kDataLoss, "size 2"));
  }
  SECTION("another root of an earlier size") {
    log.published = CheckpointOf(kOrigin, {"x"});
    CHECK_THAT(log.TryStart(), StatusIs(StatusCode::kDataLoss, "size 1"));
  }
  SECTION("an earlier size of this log") {
    log.published = CheckpointOf(kOrigin, {"a"});
    CHECK_THAT(log.TryStart(), IsOk());
    CHECK(log.PublishedSize(2));
  }
  SECTION("no checkpoint at all") {
    log.published = "not a checkpoint\n";
    CHECK_THAT(log.TryStart(), StatusIs(StatusCode::kDataLoss, "cannot be read"));
  }
  SECTION("the checkpoint of another log") {
    log.published = CheckpointOf("other.example/log", {"a", "b"});
    CHECK_THAT(log.TryStart(), StatusIs(StatusCode::kFailedPrecondition, "other.example/log"));
  }
}

TEST_CASE("A journal cut back to below the published size is found out") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a"}, Level::kCosigned));
  RequireOk(log.Append({"b"}, Level::kCosigned));
  log.ledger.reset();
  // Without the deduplication index, which would notice first.
  std::filesystem::remove_all(log.dir.path() + "/dedup");
  const std::string segment =
      std::filesystem::directory_iterator(log.dir.path() + "/journal")->path().string();
  std::filesystem::resize_file(segment, std::filesystem::file_size(segment) - 1);
  CHECK_THAT(log.TryStart(), StatusIs(StatusCode::kDataLoss, "size 2"));
}

TEST_CASE("Inclusion proofs hold, and what cannot be proved is refused exactly") {
  Fixture log;
  log.Start();
  const Entries entries = merkle::NumberedEntries(300);
  RequireOk(log.Append(entries));
  for (const uint64_t size : {1, 2, 255, 256, 257, 300}) {
    const Entries then = merkle::Slice(entries, 0, size);
    for (const uint64_t index : {uint64_t{0}, size / 2, size - 1}) {
      CHECK(RequireOk(log.ledger->InclusionProof(index, size)) ==
            merkle::ReferencePath(index, then));
    }
  }
  CHECK_THAT(log.ledger->InclusionProof(300, 300), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(log.ledger->InclusionProof(0, 0), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(log.ledger->InclusionProof(0, 301), StatusIs(StatusCode::kOutOfRange));
  CHECK_THAT(log.ledger->InclusionProof(0, uint64_t{1} << 62), StatusIs(StatusCode::kOutOfRange));
}

TEST_CASE("Consistency proofs hold, and what cannot be proved is refused exactly") {
  Fixture log;
  log.Start();
  const Entries entries = merkle::NumberedEntries(300);
  RequireOk(log.Append(entries));
  for (const uint64_t first : {0, 1, 7, 256, 257, 300}) {
    const auto proof = RequireOk(log.ledger->ConsistencyProof(first, 300));
    CHECK_THAT(merkle::VerifyConsistency(first, 300, proof,
                                         merkle::ReferenceRoot(merkle::Slice(entries, 0, first)),
                                         merkle::ReferenceRoot(entries)),
               IsOk());
  }
  CHECK_THAT(log.ledger->ConsistencyProof(2, 1), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(log.ledger->ConsistencyProof(1, 301), StatusIs(StatusCode::kOutOfRange));
}

TEST_CASE("Entries are read back in pages of so many entries or bytes") {
  Fixture log;
  log.Start();
  const Entries entries = merkle::NumberedEntries(600);
  RequireOk(log.Append(entries));
  const auto read = [&](uint64_t start, size_t count, size_t bytes = 1 << 20) {
    return RequireOk(log.ledger->ReadEntries(start, count, bytes));
  };
  CHECK(read(0, 1000) == entries);
  CHECK(read(250, 20) == merkle::Slice(entries, 250, 270));
  CHECK(read(599, 5) == Entries{"599"});
  CHECK(read(600, 5).empty());
  CHECK(read(uint64_t{1} << 60, 5).empty());
  CHECK(read(100, 1000, 9) == Entries{"100", "101", "102"});
  CHECK(read(100, 1000, 1) == Entries{"100"});
  CHECK(read(0, 0).empty());
}

TEST_CASE("The cosigner is given proofs from any earlier size") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a"}, Level::kCosigned));
  RequireOk(log.Append({"b", "c"}, Level::kCosigned));
  const FakeCosigner::Round round = log.cosigner->last_round();
  CHECK(round.head.size == 3);
  CHECK_THAT(merkle::VerifyConsistency(1, 3, RequireOk(round.proof(1, 3)),
                                       merkle::ReferenceRoot({"a"}), round.head.root),
             IsOk());
}

TEST_CASE("Many threads appending at once each get an index of their own") {
  Fixture log;
  log.Start();
  constexpr int kThreads = 8;
  constexpr int kEach = 40;
  base::Mutex mutex;
  std::set<uint64_t> indexes;
  int wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string entry = absl::StrCat(t, "/", i);
        const Call call(log.ledger.get(), {entry},
                        i % 4 == 0 ? Level::kCosigned : Level::kIntegrated);
        const auto appended = call.Answer();
        bool good = appended.ok();
        if (good) {
          const uint64_t index = appended->placements[0].index;
          const TreeHead& head = appended->tree->head;
          const auto proof = log.ledger->InclusionProof(index, head.size);
          good = proof.ok() && merkle::VerifyInclusion(index, head.size, merkle::LeafHash(entry),
                                                       *proof, head.root)
                                   .ok();
        }
        base::MutexLock lock(&mutex);
        if (good) indexes.insert(appended->placements[0].index);
        if (!good) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(indexes.size() == kThreads * kEach);
  CHECK(*indexes.rbegin() == kThreads * kEach - 1);
  REQUIRE(log.PublishedSize(kThreads * kEach));
}

TEST_CASE("Who waits is answered at the deadline, whatever is stuck") {
  Fixture log;
  log.Start();
  REQUIRE(log.PublishedSize(0));
  const auto soon = [] { return absl::Now() + absl::Milliseconds(50); };
  SECTION("the witnesses") {
    log.cosigner->Block();
    const Call call(log.ledger.get(), {"a"}, Level::kCosigned, soon());
    CHECK_THAT(call.Answer(), StatusIs(StatusCode::kDeadlineExceeded, "not cosigned in time"));
  }
  SECTION("the integration") {
    log.store->BlockIntegrate();
    const Call integrated(log.ledger.get(), {"a"}, Level::kIntegrated, soon());
    const Call cosigned(log.ledger.get(), {"b"}, Level::kCosigned, soon());
    CHECK_THAT(integrated.Answer(), StatusIs(StatusCode::kDeadlineExceeded, "not in a signed"));
    CHECK_THAT(cosigned.Answer(), StatusIs(StatusCode::kDeadlineExceeded, "not cosigned"));
    log.store->UnblockIntegrate();
  }
  SECTION("the earliest first") {
    log.cosigner->Block();
    const Call late(log.ledger.get(), {"a"}, Level::kCosigned, absl::Now() + absl::Hours(1));
    const Call early(log.ledger.get(), {"b"}, Level::kCosigned, soon());
    CHECK_THAT(early.Answer(), StatusIs(StatusCode::kDeadlineExceeded));
    CHECK(late.answers() == 0);
    log.cosigner->Unblock();
    CHECK_THAT(late.Answer(), IsOk());
  }
  CHECK(log.ledger->published_head().checkpoint != nullptr);
}

TEST_CASE("What is refused for want of room says why and when to try again") {
  Ledger::Options options;
  options.max_queued_entries = 1;
  Fixture log(options);
  log.Start();
  const auto check = [](const absl::Status& status, const std::string& reason) {
    CHECK(runtime::ReasonOf(status) == reason);
    return runtime::RetryAfterOf(status).value_or(absl::ZeroDuration());
  };
  log.store->BlockSequence();
  const Call first(log.ledger.get(), {"0"}, Level::kSequenced);
  REQUIRE(Eventually([&] { return log.store->sequence_calls() == 1; }));
  const Call second(log.ledger.get(), {"1"}, Level::kSequenced);
  const absl::Duration queue = check(log.Append({"2"}).status(), "QUEUE_FULL");
  CHECK(queue >= absl::Milliseconds(50));
  CHECK(queue <= absl::Seconds(5));
  log.store->UnblockSequence();
  RequireOk(second.Answer());
  log.store->FailSequence(absl::ResourceExhaustedError("no space"));
  CHECK(check(log.Append({"3"}).status(), "DISK_FULL") > absl::Seconds(5));
}

TEST_CASE("A frozen log takes no more, for ever, and publishes what it has") {
  Fixture log;
  log.Start();
  RequireOk(log.Append({"a"}));
  CHECK_FALSE(log.ledger->frozen());
  CHECK_THAT(log.ledger->Freeze(), IsOk());
  CHECK_THAT(log.ledger->Freeze(), IsOk());
  for (int start = 0; start < 2; ++start) {
    CHECK(log.ledger->frozen());
    const absl::Status refused = log.Append({"b"}, Level::kSequenced).status();
    CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition, "append to another log"));
    CHECK(runtime::ReasonOf(refused) == "LOG_FROZEN");
    REQUIRE(log.PublishedSize(1));
    CHECK_THAT(log.ledger->InclusionProof(0, 1), IsOk());
    log.Start();
  }
}

TEST_CASE("Freezing lets in first what was accepted, and nothing after") {
  Fixture log;
  log.Start();
  log.store->BlockSequence();
  const Call under_way(log.ledger.get(), {"a"}, Level::kSequenced);
  REQUIRE(Eventually([&] { return log.store->sequence_calls() == 1; }));
  const Call queued(log.ledger.get(), {"b"}, Level::kCosigned);
  absl::Status frozen = absl::UnknownError("not yet");
  std::thread freezer([&] { frozen = log.ledger->Freeze(); });
  REQUIRE(Eventually([&] {
    const Call late(log.ledger.get(), {"b"}, Level::kSequenced);
    return late.answers() > 0;
  }));
  CHECK_FALSE(log.ledger->frozen());
  log.store->UnblockSequence();
  freezer.join();
  CHECK_THAT(frozen, IsOk());
  CHECK_THAT(under_way.Answer(), IsOk());
  CheckTree(*RequireOk(queued.Answer()).tree, {"a", "b"});
}

TEST_CASE("A log that could not be frozen goes on") {
  Fixture log;
  log.Start();
  log.store->FailFreeze(absl::ResourceExhaustedError("no space"));
  CHECK_THAT(log.ledger->Freeze(), StatusIs(StatusCode::kResourceExhausted, "no space"));
  CHECK_THAT(log.Append({"a"}), IsOk());
  log.store->FailFreeze(absl::OkStatus());
  CHECK_THAT(log.ledger->Freeze(), IsOk());
  CHECK_THAT(log.Append({"b"}), StatusIs(StatusCode::kFailedPrecondition));
}

TEST_CASE("Freezing under load loses nothing that was accepted") {
  Fixture log;
  log.Start();
  std::atomic<int> accepted{0};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0;; ++i) {
        const auto appended = log.Append({absl::StrCat(t, "/", i)}, static_cast<Level>(i % 3));
        if (absl::IsFailedPrecondition(appended.status())) return;
        ++(appended.ok() ? accepted : wrong);
      }
    });
  }
  REQUIRE(Eventually([&] { return accepted > 50; }));
  CHECK_THAT(log.ledger->Freeze(), IsOk());
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  REQUIRE(log.PublishedSize(static_cast<uint64_t>(accepted)));
}

}  // namespace
}  // namespace countersign::ledger
