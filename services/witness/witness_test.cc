#include "services/witness/witness.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/note/policy.h"
#include "libs/note/signed_note.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/witness/testing.h"

namespace countersign::witness {
namespace {

using absl::StatusCode;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using Fault = FaultyDatabase::Fault;

constexpr int64_t kNow = 1'790'000'000;

// A witness that watches one log.
struct Fixture {
  Fixture() { RequireOk(witness->AddLog("", {log.vkey()})); }

  // Asks for a cosignature as an honest log does; fails the test unless it gets one.
  std::string Cosign(uint64_t old_size, uint64_t size) {
    const AddCheckpointResult result =
        RequireOk(witness->AddCheckpoint(log.Request(old_size, size)));
    REQUIRE_FALSE(result.conflict_size.has_value());
    return result.cosignatures;
  }

  uint64_t LatestSize() { return RequireOk(witness->ListLogs("", 10)).at(0).size; }

  testing::TempDir dir;
  base::ManualClock clock{absl::FromUnixSeconds(kNow)};
  FaultyDatabase* database = new FaultyDatabase(OpenDatabase(dir.path()));
  std::unique_ptr<Witness> witness =
      OpenWitness(std::unique_ptr<storage::Database>(database), &clock);
  TestLog log;
};

// The time of the one cosignature in `lines`, which must verify over the checkpoint's text.
uint64_t VerifiedTime(const std::string& lines, const std::string& checkpoint) {
  const auto signatures = RequireOk(note::ParseSignatureLines(lines));
  REQUIRE(signatures.size() == 1);
  const note::NoteVerifier key = note::TestWitnessSigner(kWitnessName)->verifier();
  CHECK(signatures[0].name == key.name());
  CHECK(signatures[0].key_id == key.key_id());
  CHECK(key.Verify(RequireOk(note::ParseNote(checkpoint)).text, signatures[0].signature));
  return note::CosignatureTimestamp(signatures[0].signature).value();
}

TEST_CASE("A log that only grows is cosigned at each size") {
  Fixture f;
  uint64_t old_size = 0;
  for (uint64_t size : {1, 2, 3, 7, 8, 20, 33}) {
    CAPTURE(old_size, size);
    CHECK(VerifiedTime(f.Cosign(old_size, size), f.log.Checkpoint(size)) == kNow);
    CHECK(f.LatestSize() == size);
    old_size = size;
  }
  CHECK(f.witness->counts().cosigned == 7);
}

TEST_CASE(
    "The latest checkpoint is served with the log's signature and the witness's, and no other") {
  Fixture f;
  CHECK_THAT(f.witness->LatestCheckpoint(kOrigin), StatusIs(StatusCode::kNotFound, "cosigned no"));
  CHECK_THAT(f.witness->LatestCheckpointByHash(kOriginHash), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(f.witness->LatestCheckpoint("example.com/other"),
             StatusIs(StatusCode::kNotFound, "does not watch"));
  note::AddCheckpointRequest request = f.log.Request(0, 5);
  // Signatures of keys that this witness does not know.
  request.checkpoint += "\xe2\x80\x94 grease.example Uw2QOgA=\n";
  request.checkpoint += note::FormatSignatureLine({kOrigin, 0x12345678, "noise"});
  const AddCheckpointResult result = RequireOk(f.witness->AddCheckpoint(request));
  const std::string expected = f.log.Checkpoint(5) + result.cosignatures;
  CHECK(RequireOk(f.witness->LatestCheckpoint(kOrigin)) == expected);
  CHECK(RequireOk(f.witness->LatestCheckpointByHash(kOriginHash)) == expected);
  const note::Policy policy = RequireOk(note::Policy::Parse(
      absl::StrCat("log ", f.log.vkey(), "\nwitness w ", f.witness->vkey(), "\nquorum w\n")));
  CHECK_THAT(policy.Verify(expected), IsOk());
}

TEST_CASE("Malformed requests are refused before anything is looked up") {
  Fixture f;
  const note::AddCheckpointRequest good = f.log.Request(0, 5);
  note::AddCheckpointRequest bad = good;
  for (const std::string& checkpoint : std::vector<std::string>{
           "", "text\n", good.checkpoint + "\n", good.checkpoint.substr(1) + "x",
           f.log.Checkpoint(5).substr(0, 60), "\n\n" + good.checkpoint}) {
    bad.checkpoint = checkpoint;
    CAPTURE(checkpoint);
    CHECK_THAT(f.witness->AddCheckpoint(bad), StatusIs(StatusCode::kInvalidArgument));
  }
  bad = good;
  bad.proof.resize(64);
  CHECK_THAT(f.witness->AddCheckpoint(bad), StatusIs(StatusCode::kInvalidArgument, "63"));
  CHECK(f.LatestSize() == 0);
}

TEST_CASE("A log that is not watched is not found, whoever signed") {
  Fixture f;
  CHECK_THAT(f.witness->AddCheckpoint(TestLog("example.com/other").Request(0, 1)),
             StatusIs(StatusCode::kNotFound));
}

TEST_CASE("Only a trusted key's signature counts, and a wrong one of it spoils the note") {
  Fixture f;
  // The same origin, another key.
  CHECK_THAT(f.witness->AddCheckpoint(TestLog(kOrigin, "", 'M').Request(0, 1)),
             StatusIs(StatusCode::kPermissionDenied, "no signature"));
  note::AddCheckpointRequest request = f.log.Request(0, 1);
  note::SignedNote note = RequireOk(note::ParseNote(request.checkpoint));
  note.signatures.push_back(note.signatures[0]);
  note.signatures[1].signature[0] ^= 1;
  request.checkpoint = note::FormatNote(note);
  CHECK_THAT(f.witness->AddCheckpoint(request),
             StatusIs(StatusCode::kPermissionDenied, "does not verify"));
  CHECK(f.LatestSize() == 0);
}

TEST_CASE("An old size above the checkpoint's is malformed even where it would conflict") {
  Fixture f;
  note::AddCheckpointRequest request = f.log.Request(0, 5);
  request.old_size = 6;
  CHECK_THAT(f.witness->AddCheckpoint(request), StatusIs(StatusCode::kInvalidArgument, "above"));
}

TEST_CASE("An old size that is not the latest is a conflict that tells the latest") {
  Fixture f;
  const auto conflict = [&](const note::AddCheckpointRequest& request) {
    return RequireOk(f.witness->AddCheckpoint(request)).conflict_size;
  };
  CHECK(conflict(f.log.Request(3, 5)) == 0);
  f.Cosign(0, 5);
  CHECK(conflict(f.log.Request(0, 5)) == 5);
  CHECK(conflict(f.log.Request(4, 7)) == 5);
  CHECK(conflict(f.log.Request(6, 7)) == 5);
  CHECK(conflict(f.log.Request(0, 3)) == 5);
  // A conflict is told before a proof is looked at.
  note::AddCheckpointRequest request = f.log.Request(4, 7);
  request.proof.clear();
  CHECK(conflict(request) == 5);
  CHECK(f.LatestSize() == 5);
  CHECK(f.witness->counts().conflicts == 6);
}

TEST_CASE("A tree never shrinks") {
  Fixture f;
  f.Cosign(0, 5);
  note::AddCheckpointRequest request = f.log.Request(0, 4);
  request.old_size = 5;
  CHECK_THAT(f.witness->AddCheckpoint(request), StatusIs(StatusCode::kInvalidArgument));
  request.old_size = 4;
  CHECK(RequireOk(f.witness->AddCheckpoint(request)).conflict_size == 5);
}

TEST_CASE("An empty tree may be cosigned, with its one root only") {
  Fixture f;
  note::AddCheckpointRequest request;
  request.checkpoint = f.log.Sign(0, merkle::LeafHash("x"));
  const auto refused = f.witness->AddCheckpoint(request);
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(refused.status()) == "PROOF_INVALID");
  f.Cosign(0, 0);
  CHECK(absl::StrContains(RequireOk(f.witness->LatestCheckpoint(kOrigin)), "\n0\n"));
  request.checkpoint = f.log.Sign(0, merkle::LeafHash("x"));
  CHECK_THAT(f.witness->AddCheckpoint(request), StatusIs(StatusCode::kFailedPrecondition));
  f.Cosign(0, 3);
}

TEST_CASE("A proof that does not hold is refused") {
  Fixture f;
  note::AddCheckpointRequest first = f.log.Request(0, 5);
  first.proof.push_back(merkle::LeafHash("x"));
  const auto from_nothing = f.witness->AddCheckpoint(first);
  CHECK_THAT(from_nothing, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(from_nothing.status()) == "PROOF_INVALID");

  f.Cosign(0, 5);
  const note::AddCheckpointRequest good = f.log.Request(5, 11);
  std::vector<note::AddCheckpointRequest> bad(4, good);
  bad[0].proof.clear();
  bad[1].proof.pop_back();
  bad[2].proof.push_back(merkle::LeafHash("x"));
  bad[3].proof[0][0] ^= 1;
  // The right proof for another tree of that size.
  bad.push_back(TestLog(kOrigin, "fork").Request(5, 11));
  bad.push_back(good);
  bad[5].checkpoint = TestLog(kOrigin, "fork").Checkpoint(11);
  // Hashes where none belong.
  bad.push_back(f.log.Request(5, 5));
  bad[6].proof.push_back(merkle::LeafHash("x"));
  for (const auto& request : bad) {
    const auto result = f.witness->AddCheckpoint(request);
    CHECK_THAT(result, StatusIs(StatusCode::kFailedPrecondition));
    CHECK(runtime::ReasonOf(result.status()) == "PROOF_INVALID");
  }
  CHECK(f.LatestSize() == 5);
  CHECK(f.witness->counts().refused == 8);
  CHECK(f.witness->counts().forks == 0);
  CHECK_THAT(f.witness->AddCheckpoint(good), IsOk());
}

TEST_CASE("A fork at the latest size is refused for ever") {
  Fixture f;
  f.Cosign(0, 5);
  const TestLog fork(kOrigin, "fork");
  for (int i = 0; i < 2; ++i) {
    const auto result = f.witness->AddCheckpoint(fork.Request(5, 5));
    CHECK_THAT(result, StatusIs(StatusCode::kFailedPrecondition, "the root of size 5"));
    CHECK(runtime::ReasonOf(result.status()) == "ROOT_MISMATCH");
    CHECK(RequireOk(f.witness->LatestCheckpoint(kOrigin)).substr(0, f.log.Checkpoint(5).size()) ==
          f.log.Checkpoint(5));
  }
  CHECK(f.witness->counts().forks == 2);
  f.Cosign(5, 6);
  CHECK_THAT(f.witness->AddCheckpoint(fork.Request(6, 6)),
             StatusIs(StatusCode::kFailedPrecondition));
}

TEST_CASE("The same checkpoint again is cosigned afresh") {
  Fixture f;
  f.Cosign(0, 5);
  f.clock.Advance(absl::Seconds(60));
  const std::string lines = f.Cosign(5, 5);
  CHECK(VerifiedTime(lines, f.log.Checkpoint(5)) == kNow + 60);
  CHECK(absl::EndsWith(RequireOk(f.witness->LatestCheckpoint(kOrigin)), lines));
}

TEST_CASE("A clock that has gone back stops the witness until it is right again") {
  Fixture f;
  f.Cosign(0, 5);
  f.clock.Advance(-absl::Seconds(3));
  CHECK_THAT(f.witness->AddCheckpoint(f.log.Request(5, 6)),
             StatusIs(StatusCode::kUnavailable, "clock"));
  CHECK(f.LatestSize() == 5);
  f.clock.Advance(absl::Seconds(3));
  f.Cosign(5, 6);
  f.clock.Set(absl::UnixEpoch());
  RequireOk(f.witness->AddLog("", {TestLog("example.com/new").vkey()}));
  CHECK_THAT(f.witness->AddCheckpoint(TestLog("example.com/new").Request(0, 1)),
             StatusIs(StatusCode::kUnavailable, "clock"));
}

TEST_CASE("A replica whose clock is a little behind cosigns as of the latest time") {
  Fixture f;
  f.Cosign(0, 5);
  f.clock.Advance(-absl::Seconds(2));
  CHECK(VerifiedTime(f.Cosign(5, 6), f.log.Checkpoint(6)) == kNow);
  f.clock.Advance(absl::Seconds(1));
  CHECK(VerifiedTime(f.Cosign(6, 6), f.log.Checkpoint(6)) == kNow);
  f.clock.Advance(absl::Seconds(2));
  CHECK(VerifiedTime(f.Cosign(6, 7), f.log.Checkpoint(7)) == kNow + 1);
}

TEST_CASE("A clock that was once far ahead is told with the time that it left") {
  Fixture f;
  f.clock.Set(absl::FromUnixSeconds(4'102'444'800));  // 2100-01-01
  f.Cosign(0, 5);
  f.clock.Set(absl::FromUnixSeconds(kNow));
  const absl::Status refused = f.witness->AddCheckpoint(f.log.Request(5, 6)).status();
  CHECK_THAT(refused, StatusIs(StatusCode::kUnavailable, "2100-01-01T00:00:00Z"));
  CHECK_THAT(refused, StatusIs(StatusCode::kUnavailable, "2026-09-21T14:13:20Z"));
  CHECK(RequireOk(f.witness->ListLogs("", 1)).at(0).cosign_time ==
        absl::FromUnixSeconds(4'102'444'800));
  // No other log is concerned.
  const TestLog other("example.com/other");
  RequireOk(f.witness->AddLog("", {other.vkey()}));
  CHECK(RequireOk(f.witness->AddCheckpoint(other.Request(0, 1))).conflict_size == std::nullopt);
}

TEST_CASE("Of each of the log's keys one signature is kept, however often it is repeated") {
  testing::TempDir dir;
  const auto witness = OpenWitness(OpenDatabase(dir.path()));
  const TestLog first;
  const TestLog second(kOrigin, "", 'M');
  RequireOk(witness->AddLog("", {first.vkey(), second.vkey()}));
  const auto line = [](const TestLog& log) {
    const std::string note = log.Checkpoint(5);
    return note.substr(note.find("\n\n") + 2);
  };
  note::AddCheckpointRequest request = first.Request(0, 5);
  for (int i = 0; i < 20; ++i) absl::StrAppend(&request.checkpoint, line(first), line(second));
  const std::string cosignatures = RequireOk(witness->AddCheckpoint(request)).cosignatures;
  CHECK(RequireOk(witness->LatestCheckpoint(kOrigin)) ==
        absl::StrCat(first.Checkpoint(5), line(second), cosignatures));
}

TEST_CASE("What was cosigned is known after a restart") {
  testing::TempDir dir;
  const TestLog log;
  std::string latest;
  {
    const auto witness = OpenWitness(OpenDatabase(dir.path()));
    RequireOk(witness->AddLog("", {log.vkey()}));
    RequireOk(witness->AddCheckpoint(log.Request(0, 5)));
    latest = RequireOk(witness->LatestCheckpoint(kOrigin));
  }
  const auto witness = OpenWitness(OpenDatabase(dir.path()));
  CHECK(RequireOk(witness->LatestCheckpoint(kOrigin)) == latest);
  CHECK(RequireOk(witness->AddCheckpoint(log.Request(0, 5))).conflict_size == 5);
  CHECK_THAT(witness->AddCheckpoint(TestLog(kOrigin, "fork").Request(5, 5)),
             StatusIs(StatusCode::kFailedPrecondition));
  CHECK_FALSE(RequireOk(witness->AddCheckpoint(log.Request(5, 9))).conflict_size.has_value());
}

TEST_CASE("A database is one witness's") {
  testing::TempDir dir;
  OpenWitness(OpenDatabase(dir.path()));
  for (const auto& [name, seed] : {std::pair("witness.example/w2", 'W'), {kWitnessName, 'X'}}) {
    CHECK_THAT(
        Witness::Open(OpenDatabase(dir.path()), {.signer = note::TestWitnessSigner(name, seed)}),
        StatusIs(StatusCode::kFailedPrecondition, kWitnessName));
  }
}

TEST_CASE("No cosignature is returned when the commit fails, and nothing is forgotten") {
  Fixture f;
  f.Cosign(0, 5);
  f.database->Set(Fault::kFailBeforeCommit);
  CHECK_THAT(f.witness->AddCheckpoint(f.log.Request(5, 8)), StatusIs(StatusCode::kUnavailable));
  f.database->Set(Fault::kNone);
  CHECK(f.LatestSize() == 5);
  CHECK(f.witness->counts().failed == 1);
  f.Cosign(5, 8);
}

TEST_CASE("A commit that may have happened counts as happened") {
  Fixture f;
  f.Cosign(0, 5);
  f.database->Set(Fault::kFailAfterCommit);
  CHECK_THAT(f.witness->AddCheckpoint(f.log.Request(5, 8)), StatusIs(StatusCode::kUnavailable));
  f.database->Set(Fault::kNone);
  // The log learns where the witness stands, and its fork has no chance.
  CHECK(RequireOk(f.witness->AddCheckpoint(f.log.Request(5, 8))).conflict_size == 8);
  CHECK_THAT(f.witness->AddCheckpoint(TestLog(kOrigin, "fork").Request(8, 8)),
             StatusIs(StatusCode::kFailedPrecondition));
  f.Cosign(8, 8);
}

TEST_CASE("A checkpoint that is not taken commits nothing") {
  Fixture f;
  f.Cosign(0, 5);
  f.database->Set(Fault::kFailAfterCommit);
  CHECK(RequireOk(f.witness->AddCheckpoint(f.log.Request(3, 8))).conflict_size == 5);
  CHECK_THAT(f.witness->AddCheckpoint(TestLog(kOrigin, "fork").Request(5, 5)),
             StatusIs(StatusCode::kFailedPrecondition));
  note::AddCheckpointRequest unproven = f.log.Request(5, 8);
  unproven.proof.clear();
  CHECK_THAT(f.witness->AddCheckpoint(unproven), StatusIs(StatusCode::kFailedPrecondition));
  CHECK(f.LatestSize() == 5);
}

TEST_CASE("A failing database is never taken for a verdict") {
  Fixture f;
  const auto closed = f.database;
  closed->Close();
  CHECK_THAT(f.witness->AddCheckpoint(f.log.Request(0, 1)), StatusIs(StatusCode::kUnavailable));
  CHECK_THAT(f.witness->LatestCheckpoint(kOrigin), StatusIs(StatusCode::kUnavailable));
  CHECK_THAT(f.witness->AddLog("", {f.log.vkey()}), StatusIs(StatusCode::kUnavailable));
  CHECK_THAT(f.witness->ListLogs("", 1), StatusIs(StatusCode::kUnavailable));
}

TEST_CASE("However two forks race, the witness cosigns one of them only") {
  testing::TempDir dir;
  const auto witness = OpenWitness(OpenDatabase(dir.path()));
  constexpr int kLogs = 12;
  constexpr int kThreads = 8;
  constexpr uint64_t kLargest = 6;
  struct Cosigned {
    std::string origin;
    uint64_t size;
    std::string fork;
  };
  std::vector<std::vector<Cosigned>> cosigned(kThreads);
  // Two forks of each log; threads use no assertions, which are not thread-safe.
  std::vector<std::unique_ptr<TestLog>> logs;
  for (int i = 0; i < kLogs; ++i) {
    for (const char* fork : {"even", "odd"}) {
      logs.push_back(std::make_unique<TestLog>(absl::StrCat("example.com/", i), fork));
    }
    RequireOk(witness->AddLog("", {logs.back()->vkey()}));
  }
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kLogs; ++i) {
        const TestLog& log = *logs[2 * i + t % 2];
        uint64_t old_size = 0;
        for (uint64_t step = 0; step < 2 * kLargest; ++step) {
          const uint64_t size = std::min(old_size + 1 + (t + step) % 2, kLargest);
          const auto result = witness->AddCheckpoint(log.Request(old_size, size));
          if (!result.ok()) continue;
          if (result->conflict_size.has_value()) {
            old_size = *result->conflict_size;
          } else {
            cosigned[t].push_back({log.origin(), size, t % 2 == 0 ? "even" : "odd"});
            old_size = size;
          }
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<std::string, std::set<std::string>> forks;
  std::map<std::string, uint64_t> largest;
  for (const auto& list : cosigned) {
    for (const Cosigned& one : list) {
      forks[one.origin].insert(one.fork);
      largest[one.origin] = std::max(largest[one.origin], one.size);
    }
  }
  CHECK(forks.size() == kLogs);
  for (const auto& [origin, names] : forks) {
    CAPTURE(origin);
    CHECK(names.size() == 1);
  }
  // Nobody's cosignature was rolled back.
  for (const WatchedLog& log : RequireOk(witness->ListLogs("", 100))) {
    CHECK(log.size == largest[log.origin]);
  }
}

TEST_CASE("Two witnesses of one key on one database cosign no two forks") {
  testing::TempDir dir;
  const auto one = OpenWitness(OpenDatabase(dir.path()));
  const auto other = OpenWitness(OpenDatabase(dir.path()));
  const TestLog even(kOrigin, "even");
  const TestLog odd(kOrigin, "odd");
  RequireOk(one->AddLog("", {even.vkey()}));
  const auto run = [](Witness* witness, const TestLog* log, int* cosigned) {
    for (uint64_t size = 1; size <= 10; ++size) {
      const auto result = witness->AddCheckpoint(log->Request(size - 1, size));
      if (result.ok() && !result->conflict_size.has_value()) ++*cosigned;
    }
  };
  int even_cosigned = 0;
  int odd_cosigned = 0;
  std::thread thread([&] { run(one.get(), &even, &even_cosigned); });
  run(other.get(), &odd, &odd_cosigned);
  thread.join();
  CHECK((even_cosigned == 0) != (odd_cosigned == 0));
  CHECK(RequireOk(one->LatestCheckpoint(kOrigin)) == RequireOk(other->LatestCheckpoint(kOrigin)));
}

TEST_CASE("Adding a log is idempotent, and its keys are for ever") {
  Fixture f;
  const std::string second = TestLog(kOrigin, "", 'M').vkey();
  CHECK(RequireOk(f.witness->AddLog("", {f.log.vkey()})).origin == kOrigin);
  CHECK_THAT(f.witness->AddLog("", {second}), StatusIs(StatusCode::kAlreadyExists, "other keys"));
  CHECK_THAT(f.witness->AddLog(kOrigin, {f.log.vkey(), second}),
             StatusIs(StatusCode::kAlreadyExists));
  const WatchedLog both = RequireOk(f.witness->AddLog("example.com/both", {f.log.vkey(), second}));
  CHECK(both.vkeys == std::vector<std::string>{f.log.vkey(), second});
  CHECK(RequireOk(f.witness->AddLog("example.com/both", {second, f.log.vkey()})).vkeys ==
        both.vkeys);
}

TEST_CASE("Either key of a log with two is enough") {
  Fixture f;
  const TestLog first("example.com/two", "", 'A');
  const TestLog second("example.com/two", "", 'B');
  RequireOk(f.witness->AddLogsByKeyName({first.vkey(), second.vkey()}));
  RequireOk(f.witness->AddCheckpoint(first.Request(0, 1)));
  const AddCheckpointResult result = RequireOk(f.witness->AddCheckpoint(second.Request(1, 2)));
  CHECK_FALSE(result.conflict_size.has_value());
}

TEST_CASE("Logs that make no sense are not added") {
  Fixture f;
  const std::string vkey = f.log.vkey();
  CHECK_THAT(f.witness->AddLog("", {}), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(f.witness->AddLog("", {"nonsense"}), StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(f.witness->AddLog("", {vkey, vkey}), StatusIs(StatusCode::kInvalidArgument, "twice"));
  CHECK_THAT(f.witness->AddLog("", std::vector<std::string>(17, vkey)),
             StatusIs(StatusCode::kInvalidArgument, "16"));
  CHECK_THAT(f.witness->AddLog("two\nlines", {vkey}), StatusIs(StatusCode::kInvalidArgument));
  for (const char* origin : {"not UTF-8: \xff", "a control character: \x01"}) {
    CHECK_THAT(f.witness->AddLog(origin, {vkey}), StatusIs(StatusCode::kInvalidArgument, "UTF-8"));
  }
  CHECK_THAT(f.witness->AddLog(std::string(1025, 'o'), {vkey}),
             StatusIs(StatusCode::kInvalidArgument));
  CHECK_THAT(f.witness->AddLog(kWitnessName, {vkey}),
             StatusIs(StatusCode::kInvalidArgument, "own name"));
  CHECK_THAT(f.witness->AddLog("", {TestLog(kWitnessName).vkey()}),
             StatusIs(StatusCode::kInvalidArgument, "own name"));
  // The witness's own key under the log's name.
  CHECK_THAT(f.witness->AddLog("", {TestLog("example.com/other", "", 'W').vkey()}),
             StatusIs(StatusCode::kInvalidArgument, "own name or key"));
  CHECK(RequireOk(f.witness->ListLogs("", 100)).size() == 1);
}

TEST_CASE("Logs are listed by origin, page by page") {
  Fixture f;
  for (const char* origin : {"c", "a", "b"}) {
    RequireOk(f.witness->AddLog(origin, {f.log.vkey()}));
  }
  f.Cosign(0, 4);
  const auto page = RequireOk(f.witness->ListLogs("", 3));
  REQUIRE(page.size() == 3);
  CHECK(page[0].origin == "a");
  CHECK(page[2].origin == "c");
  CHECK_FALSE(page[0].cosign_time.has_value());
  const auto rest = RequireOk(f.witness->ListLogs("c", 3));
  REQUIRE(rest.size() == 1);
  CHECK(rest[0].origin == kOrigin);
  CHECK(rest[0].size == 4);
  CHECK(rest[0].cosign_time == absl::FromUnixSeconds(kNow));
}

}  // namespace
}  // namespace countersign::witness
