// Several witnesses of one key on one database, in one process; tests/fault has them as processes.
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/witness/forking_log.h"
#include "services/witness/testing.h"

namespace countersign::witness {
namespace {

using testing::RequireOk;

struct Replicas {
  // Their clocks differ by as much as is forgiven.
  Replicas() {
    for (int i = 0; i < 3; ++i) {
      clocks.push_back(
          std::make_unique<base::ManualClock>(absl::FromUnixSeconds(1'790'000'000 + i)));
      witnesses.push_back(OpenWitness(OpenDatabase(dir.path()), clocks.back().get()));
    }
  }

  testing::TempDir dir;
  std::vector<std::unique_ptr<base::ManualClock>> clocks;
  std::vector<std::unique_ptr<Witness>> witnesses;
};

TEST_CASE("Of all the histories that a log offers to replicas they cosign one") {
  constexpr int kThreads = 6;
  constexpr int kOffers = 120;
  Replicas replicas;
  std::vector<std::unique_ptr<ForkingLog>> logs;
  for (const char* origin : {"example.com/one", "example.com/two"}) {
    logs.push_back(std::make_unique<ForkingLog>(origin));
    RequireOk(replicas.witnesses[0]->AddLog("", {logs.back()->vkey()}));
  }
  std::vector<std::thread> threads;
  std::vector<absl::Status> failures(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(t + 1);
      for (int i = 0; i < kOffers; ++i) {
        ForkingLog& log = *logs[random() % logs.size()];
        Witness& witness = *replicas.witnesses[random() % replicas.witnesses.size()];
        const ForkingLog::Offer offer = log.Next(&random);
        const auto result = witness.AddCheckpoint(offer.request);
        if (!result.ok()) {
          if (!absl::IsFailedPrecondition(result.status())) failures[t] = result.status();
        } else if (result->conflict_size.has_value()) {
          log.Conflict(*result->conflict_size);
        } else {
          log.Cosigned(offer, result->cosignatures);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& failure : failures) CHECK_THAT(failure, testing::IsOk());
  const note::NoteVerifier key = RequireOk(note::ParseVkey(replicas.witnesses[0]->vkey()));
  for (const auto& log : logs) {
    CHECK(log->Fault(key) == "");
    CHECK(log->latest().size() > 20);
    const std::string latest = RequireOk(replicas.witnesses[0]->LatestCheckpoint(log->origin()));
    for (const auto& witness : replicas.witnesses) {
      CHECK(RequireOk(witness->LatestCheckpoint(log->origin())) == latest);
    }
  }
  for (const WatchedLog& log : RequireOk(replicas.witnesses[1]->ListLogs("", 10))) {
    CHECK(log.size == logs[log.origin == logs[0]->origin() ? 0 : 1]->latest().size());
  }
}

TEST_CASE("A log that was added to one replica is watched by all") {
  Replicas replicas;
  const TestLog log;
  for (const auto& witness : replicas.witnesses) {
    CHECK_THAT(witness->AddCheckpoint(log.Request(0, 1)),
               testing::StatusIs(absl::StatusCode::kNotFound));
  }
  RequireOk(replicas.witnesses[0]->AddLog("", {log.vkey()}));
  uint64_t size = 0;
  for (const auto& witness : replicas.witnesses) {
    CHECK_FALSE(
        RequireOk(witness->AddCheckpoint(log.Request(size, size + 1))).conflict_size.has_value());
    ++size;
  }
}

TEST_CASE("Replicas that add logs at once agree on their keys") {
  constexpr int kLogs = 20;
  Replicas replicas;
  // Each replica is told another key for every log, and all of them one log more. Threads use no
  // assertions, which are not thread-safe.
  std::vector<std::vector<std::string>> vkeys(replicas.witnesses.size());
  for (size_t r = 0; r < vkeys.size(); ++r) {
    for (int i = 0; i < kLogs; ++i) {
      vkeys[r].push_back(
          TestLog(absl::StrCat("example.com/", i), "", static_cast<char>('A' + r)).vkey());
    }
    vkeys[r].push_back(TestLog("example.com/common").vkey());
  }
  std::vector<std::vector<absl::StatusCode>> codes(replicas.witnesses.size());
  std::vector<std::thread> threads;
  for (size_t r = 0; r < replicas.witnesses.size(); ++r) {
    threads.emplace_back([&, r] {
      for (const std::string& vkey : vkeys[r]) {
        codes[r].push_back(replicas.witnesses[r]->AddLog("", {vkey}).status().code());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto added = RequireOk(replicas.witnesses[0]->ListLogs("", 100));
  CHECK(added.size() == kLogs + 1);
  for (int i = 0; i < kLogs; ++i) {
    int successes = 0;
    for (const auto& of_replica : codes) {
      successes += of_replica[i] == absl::StatusCode::kOk ? 1 : 0;
      CHECK((of_replica[i] == absl::StatusCode::kOk ||
             of_replica[i] == absl::StatusCode::kAlreadyExists));
    }
    CHECK(successes == 1);
  }
  for (const auto& of_replica : codes) CHECK(of_replica.back() == absl::StatusCode::kOk);
}

}  // namespace
}  // namespace countersign::witness
