// The ledger as a real process: killed under load, out of disk, started twice, given a damaged
// folder.
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/http/client.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/temp_dir.h"
#include "tests/fault/ledger_client.h"
#include "tests/fault/public_log.h"

namespace countersign::fault {
namespace {

using absl::StatusCode;
using testing::Eventually;
using testing::IsOk;
using testing::StatusIs;
using testing::TempDir;

const std::string& Binary() {
  static const std::string path = testing::Runfile("services/ledger/countersign-ledger");
  return path;
}

std::unique_ptr<ChildProcess> StartLedger(const std::string& data) {
  return ChildProcess::StartService(Binary(), Flags(data));
}

// Appends until the ledger is killed. `name` makes its entries its own.
void AppendUntilKilled(Stub* stub, const std::string& name, uint32_t seed,
                       const note::NoteVerifier& key, Promises* promises,
                       const std::atomic<bool>* killed) {
  std::mt19937 random(seed);
  std::vector<std::string> mine;
  for (int i = 0; !*killed; ++i) {
    std::vector<std::string> entries;
    for (uint32_t n = 1 + random() % 8; n > 0; --n) {
      entries.push_back(absl::StrCat(name, "/", i, "/", n, std::string(random() % 300, '.')));
    }
    if (!mine.empty() && random() % 4 == 0) entries.push_back(mine[random() % mine.size()]);
    const auto wait = static_cast<pb::WaitLevel>(1 + random() % 3);
    const auto appended = Append(stub, entries, wait);
    if (!appended.ok()) continue;
    for (int e = 0; e < appended->entries_size(); ++e) {
      const pb::AppendedEntry& entry = appended->entries(e);
      promises->Acknowledged(entries[static_cast<size_t>(e)], static_cast<uint64_t>(entry.index()));
      mine.push_back(entries[static_cast<size_t>(e)]);
    }
    if (wait == pb::WAIT_LEVEL_SEQUENCED) continue;
    const auto checkpoint = OpenCheckpoint(appended->checkpoint(), key);
    if (checkpoint.ok()) {
      promises->Seen(*checkpoint, /*published=*/false);
    } else {
      promises->Complain(checkpoint.status().ToString());
    }
  }
}

// Reads /checkpoint until the ledger is killed.
void PollUntilKilled(const std::string& url, const note::NoteVerifier& key, Promises* promises,
                     const std::atomic<bool>* killed) {
  http::Client client;
  while (!*killed) {
    const auto got = client.Get(url, absl::Minutes(2));
    if (!got.ok() || got->status == 503) continue;  // killed, or nothing is published yet
    const auto checkpoint = OpenCheckpoint(got->body_view(), key);
    if (checkpoint.ok()) {
      promises->Seen(*checkpoint, /*published=*/true);
    } else {
      promises->Complain(checkpoint.status().ToString());
    }
  }
}

// What anybody may read of a log whose ledger has just been killed.
void CheckPublic(const std::string& data, const Promises& promises) {
  if (!base::FileExists(data + "/public/checkpoint")) {
    REQUIRE(promises.published() == 0);
    return;
  }
  const PublicLog log = RequireOk(ReadPublicLog(data + "/public", LogKey(data)));
  REQUIRE(log.checkpoint.size >= promises.published());
  for (const auto& [entry, index] : promises.indexes()) {
    if (index < log.entries.size()) REQUIRE(log.entries[index] == entry);
  }
  for (const auto& [size, root] : promises.roots()) {
    if (size < log.roots.size()) REQUIRE(log.roots[size] == root);
  }
}

// A moment that comes at any time with the same chance.
void WaitAtRandom(double mean_ms, std::mt19937* random) {
  const double ms = std::exponential_distribution<>(1 / mean_ms)(*random);
  std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(ms));
}

TEST_CASE("Killed two hundred times, the ledger keeps every promise") {
  constexpr int kStarting = 50;  // of them while it recovers
  constexpr int kLoaded = 150;
  constexpr int kAppenders = 4;
  const uint32_t seed = std::random_device()();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  TempDir dir;
  Promises promises;
  size_t acknowledged_in_round[kLoaded] = {};

  for (int round = 0; round < kLoaded; ++round) {
    INFO("round " << round);
    if (round % (kLoaded / kStarting) == 0) {
      ChildProcess starting(Binary(), Flags(dir.path()));
      WaitAtRandom(40, &random);
      starting.Kill();
      CheckPublic(dir.path(), promises);
    }
    const auto ledger = StartLedger(dir.path());
    const auto stub = Connect(ledger->grpc_address());
    const note::NoteVerifier key = LogKey(dir.path());
    CheckPromises(stub.get(), key, promises.NewestIndexes(300), {});

    const size_t before = promises.acknowledged();
    std::atomic<bool> killed{false};
    std::vector<std::thread> threads;
    for (int a = 0; a < kAppenders; ++a) {
      threads.emplace_back(AppendUntilKilled, stub.get(), absl::StrCat(round, "/", a),
                           seed + static_cast<uint32_t>(round * kAppenders + a), key, &promises,
                           &killed);
    }
    threads.emplace_back(PollUntilKilled,
                         absl::StrCat("http://", ledger->http_address(), "/checkpoint"), key,
                         &promises, &killed);
    WaitAtRandom(50, &random);
    ledger->Kill();
    killed = true;
    for (std::thread& thread : threads) thread.join();
    INFO(ledger->output());
    CHECK(promises.complaints() == std::vector<std::string>());
    acknowledged_in_round[round] = promises.acknowledged() - before;
    CheckPublic(dir.path(), promises);
  }

  const auto ledger = StartLedger(dir.path());
  auto stub = Connect(ledger->grpc_address());
  const note::NoteVerifier key = LogKey(dir.path());
  CheckPromises(stub.get(), key, promises);
  // What was acknowledged is read back, byte for byte, under its index.
  std::map<uint64_t, std::string> entries;
  for (const auto& [entry, index] : promises.indexes()) entries.emplace(index, entry);
  REQUIRE(entries.size() == promises.acknowledged());
  pb::ListEntriesRequest list;
  list.set_log(kLog);
  list.set_page_size(1000);
  size_t found = 0;
  do {
    const auto page = RequireOk(Call(stub.get(), &Stub::ListEntries, list));
    for (const pb::Entry& entry : page.entries()) {
      const auto promised = entries.find(static_cast<uint64_t>(entry.index()));
      if (promised == entries.end()) continue;
      REQUIRE(promised->second == entry.data());
      ++found;
    }
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  CHECK(found == entries.size());
  // An entry keeps its index over every restart.
  for (int i = 0; i < 20; ++i) {
    auto promised = entries.begin();
    std::advance(promised, random() % entries.size());
    const auto again = RequireOk(Append(stub.get(), {promised->second}, pb::WAIT_LEVEL_COSIGNED));
    CHECK(again.entries(0).duplicate());
    CHECK(static_cast<uint64_t>(again.entries(0).index()) == promised->first);
  }
  CHECK(promises.published() > 0);
  CHECK(base::FileExists(dir.path() + "/state"));  // there was something settled to recover from
  stub.reset();
  CHECK(ledger->Stop() == 0);
  size_t rounds_with_load = 0;
  for (const size_t acknowledged : acknowledged_in_round) rounds_with_load += acknowledged > 0;
  CHECK(rounds_with_load > kLoaded / 2);
}

// Makes the files of a running process end at `bytes`, as a full disk would.
void LimitFileSize(pid_t pid, rlim_t bytes) {
  rlimit limit;
  REQUIRE(prlimit(pid, RLIMIT_FSIZE, nullptr, &limit) == 0);
  limit.rlim_cur = std::min(bytes, limit.rlim_max);
  REQUIRE(prlimit(pid, RLIMIT_FSIZE, &limit, nullptr) == 0);
}

TEST_CASE("A disk that fills up refuses appends, loses nothing, and takes more once it has room") {
  TempDir dir;
  // The shell makes the limit an error to the ledger, as ENOSPC is, not a signal that ends it.
  std::vector<std::string> arguments = {"-c", "trap '' XFSZ; exec \"$0\" \"$@\"", Binary()};
  for (const std::string& flag : Flags(dir.path())) {
    if (!absl::StartsWith(flag, "--settle-bytes")) arguments.push_back(flag);
  }
  const auto ledger = ChildProcess::StartService("/bin/sh", arguments);
  const auto stub = Connect(ledger->grpc_address());
  const note::NoteVerifier key = LogKey(dir.path());
  Promises promises;
  const auto append = [&](const std::string& entry) {
    const auto appended = Append(stub.get(), {entry}, pb::WAIT_LEVEL_INTEGRATED);
    if (appended.ok()) {
      promises.Acknowledged(entry, static_cast<uint64_t>(appended->entries(0).index()));
    }
    return appended.status();
  };
  LimitFileSize(ledger->pid(), 200'000);
  absl::Status refused;
  int accepted = 0;
  for (; refused.ok() && accepted < 100; ++accepted) {
    refused = append(absl::StrCat(accepted, std::string(30'000, 'x')));
  }
  CHECK_THAT(refused, StatusIs(StatusCode::kResourceExhausted, "journal"));
  CHECK(accepted < 8);
  // A large entry found no room; the log goes on, and smaller ones still fit.
  CHECK_THAT(append("small"), IsOk());
  CHECK_THAT(append(std::string(30'000, 'y')), StatusIs(StatusCode::kResourceExhausted));
  CheckPromises(stub.get(), key, promises);

  LimitFileSize(ledger->pid(), RLIM_INFINITY);
  CHECK_THAT(append(std::string(30'000, 'y')), IsOk());
  CHECK_THAT(append(absl::StrCat("z", std::string(30'000, 'z'))), IsOk());
  CheckPromises(stub.get(), key, promises);
  // And the checkpoint follows.
  pb::GetCheckpointRequest request;
  request.set_log(kLog);
  CHECK(Eventually([&] {
    const auto published = Call(stub.get(), &Stub::GetCheckpoint, request);
    return published.ok() &&
           static_cast<size_t>(published->tree_size()) == promises.indexes().size();
  }));
  ledger->Kill();
  const auto restarted = StartLedger(dir.path());
  CheckPromises(Connect(restarted->grpc_address()).get(), key, promises);
}

TEST_CASE("A second ledger on one data folder is refused for as long as the first one lives") {
  TempDir dir;
  const auto first = StartLedger(dir.path());
  ChildProcess second(Binary(), Flags(dir.path()));
  CHECK(second.Wait() == 1);
  CHECK(absl::StrContains(second.output(),
                          absl::StrCat("the data folder ", dir.path(),
                                       " is in use by another process (id ", first->pid(), ")")));
  // The first one is unharmed.
  CHECK_THAT(Append(Connect(first->grpc_address()).get(), {"a"}, pb::WAIT_LEVEL_COSIGNED), IsOk());
  first->Kill();
  const auto third = StartLedger(dir.path());
  const auto again =
      RequireOk(Append(Connect(third->grpc_address()).get(), {"a", "b"}, pb::WAIT_LEVEL_COSIGNED));
  CHECK(again.entries(0).index() == 0);
  CHECK(again.entries(1).index() == 1);
  CHECK(third->Stop() == 0);
}

TEST_CASE("A port in use is named") {
  TempDir dir;
  const auto first = StartLedger(dir.path() + "/first");
  const std::pair<const char*, std::string> taken[] = {{"--listen=", first->grpc_address()},
                                                       {"--http-listen=", first->http_address()},
                                                       {"--admin-listen=", first->admin_address()}};
  for (const auto& [flag, address] : taken) {
    std::vector<std::string> flags = Flags(dir.path() + "/second");
    for (std::string& given : flags) {
      if (absl::StartsWith(given, flag)) given = absl::StrCat(flag, address);
    }
    ChildProcess second(Binary(), flags);
    CHECK(second.Wait() == 1);
    CHECK(absl::StrContains(second.output(), address));
  }
}

// A folder with 601 entries, the last one in a record of its own, and its log stopped.
void MakeLog(const std::string& data) {
  const auto ledger = StartLedger(data);
  auto stub = Connect(ledger->grpc_address());
  for (int i = 0; i < 6; ++i) {
    std::vector<std::string> entries;
    for (int e = 0; e < 100; ++e) entries.push_back(absl::StrCat(i, "/", e, std::string(60, '.')));
    RequireOk(Append(stub.get(), entries, pb::WAIT_LEVEL_COSIGNED));
  }
  RequireOk(Append(stub.get(), {"last"}, pb::WAIT_LEVEL_COSIGNED));
  REQUIRE(Eventually([&] { return base::FileExists(data + "/state"); }));
  stub.reset();
  REQUIRE(ledger->Stop() == 0);
}

TEST_CASE("A damaged data folder is refused and the damage named") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  MakeLog(data);
  const auto refused = [&](const std::string& reason) {
    ChildProcess ledger(Binary(), Flags(data));
    CHECK(ledger.Wait() == 1);
    INFO(ledger.output());
    CHECK(absl::StrContains(ledger.output(), reason));
  };
  std::vector<std::string> segments;
  for (const auto& file : std::filesystem::directory_iterator(data + "/journal")) {
    segments.push_back(file.path().string());
  }
  std::sort(segments.begin(), segments.end());
  SECTION("the journal is gone") {
    std::filesystem::remove_all(data + "/journal");
    refused("/journal");
  }
  SECTION("the journal's end is gone, and what else would tell") {
    std::filesystem::resize_file(segments.back(), std::filesystem::file_size(segments.back()) - 1);
    std::filesystem::remove_all(data + "/dedup");
    refused("the log published a checkpoint of size 601");
  }
  SECTION("a tile is gone") {
    std::filesystem::remove(data + "/public/tile/0/000");
    refused("/public/tile/0/000 is missing");
  }
  SECTION("the state is garbage") {
    RequireOk(base::WriteFileAtomically(data + "/state", "garbage"));
    refused("/state is not a ledger state file");
  }
  SECTION("it is the folder of another log") {
    std::vector<std::string> flags = Flags(data);
    flags[1] = "--origin=other.example/log";
    ChildProcess ledger(Binary(), flags);
    CHECK(ledger.Wait() == 1);
    CHECK(absl::StrContains(ledger.output(), kOrigin));
  }
}

}  // namespace
}  // namespace countersign::fault
