// The power fails: whatever was not synchronised is lost, or half of it is. A ledger under load
// records what it does to its files; from that record the states are made that a disk could be left
// in, at many moments, and a ledger is started on each.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/http/client.h"
#include "libs/testing/eventually.h"
#include "libs/testing/temp_dir.h"
#include "tests/fault/disk_model.h"
#include "tests/fault/ledger_client.h"
#include "tests/fault/public_log.h"

namespace countersign::fault {
namespace {

using testing::Eventually;
using testing::TempDir;

const std::string& Binary() {
  static const std::string path = testing::Runfile("tests/fault/ledger_with_file_calls");
  return path;
}

int FromEnvironment(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  int value;
  return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
}

// What clients were told, and how long the op log was by then: what had led to it was in the log.
class Told {
 public:
  struct Entry {
    size_t position;
    std::string bytes;
    uint64_t index;
  };
  struct Head {
    size_t position;
    uint64_t size;
    merkle::Hash root;
    bool published;
  };

  explicit Told(std::string op_log) : op_log_(std::move(op_log)) {}

  void Acknowledged(std::string entry, uint64_t index) {
    base::MutexLock lock(&mutex_);
    entries_.push_back({Position(), std::move(entry), index});
  }
  void Seen(const absl::StatusOr<note::Checkpoint>& checkpoint, bool published) {
    base::MutexLock lock(&mutex_);
    if (checkpoint.ok()) {
      heads_.push_back({Position(), checkpoint->size, checkpoint->root, published});
    } else {
      complaints_.push_back(checkpoint.status().ToString());
    }
  }

  // What was told before the log was longer than `position`; it counts for any later one.
  void AddTo(Told* other, size_t position) const {
    base::MutexLock lock(&mutex_);
    for (const Entry& entry : entries_) {
      if (entry.position <= position) other->entries_.push_back({0, entry.bytes, entry.index});
    }
    for (const Head& head : heads_) {
      if (head.position <= position) {
        other->heads_.push_back({0, head.size, head.root, head.published});
      }
    }
  }

  std::vector<Entry> entries() const {
    base::MutexLock lock(&mutex_);
    return entries_;
  }
  std::vector<Head> heads() const {
    base::MutexLock lock(&mutex_);
    return heads_;
  }
  std::vector<std::string> complaints() const {
    base::MutexLock lock(&mutex_);
    return complaints_;
  }
  size_t acknowledged() const {
    base::MutexLock lock(&mutex_);
    return entries_.size();
  }

 private:
  size_t Position() const {
    std::error_code missing;
    const auto size = std::filesystem::file_size(op_log_, missing);
    return missing ? 0 : static_cast<size_t>(size);
  }

  const std::string op_log_;
  mutable base::Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::vector<Head> heads_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> complaints_ ABSL_GUARDED_BY(mutex_);
};

void AppendUntilCut(Stub* stub, const std::string& name, uint32_t seed,
                    const note::NoteVerifier& key, Told* told, const std::atomic<bool>* cut) {
  std::mt19937 random(seed);
  std::vector<std::string> mine;
  for (int i = 0; !*cut; ++i) {
    std::vector<std::string> entries;
    for (uint32_t n = 1 + random() % 8; n > 0; --n) {
      entries.push_back(absl::StrCat(name, "/", i, "/", n, std::string(random() % 300, '.')));
    }
    if (random() % 16 == 0) entries.push_back(absl::StrCat(name, i, std::string(20'000, 'L')));
    if (!mine.empty() && random() % 4 == 0) entries.push_back(mine[random() % mine.size()]);
    const auto wait = static_cast<pb::WaitLevel>(1 + random() % 3);
    const auto appended = Append(stub, entries, wait);
    if (!appended.ok()) continue;
    for (int e = 0; e < appended->entries_size(); ++e) {
      told->Acknowledged(entries[static_cast<size_t>(e)],
                         static_cast<uint64_t>(appended->entries(e).index()));
      mine.push_back(entries[static_cast<size_t>(e)]);
    }
    if (wait == pb::WAIT_LEVEL_SEQUENCED) continue;
    told->Seen(OpenCheckpoint(appended->checkpoint(), key), wait == pb::WAIT_LEVEL_COSIGNED);
  }
}

void PollUntilCut(const std::string& url, const note::NoteVerifier& key, Told* told,
                  const std::atomic<bool>* cut) {
  http::Client client;
  while (!*cut) {
    const auto got = client.Get(url, absl::Minutes(2));
    if (got.ok() && got->status == 200) told->Seen(OpenCheckpoint(got->body_view(), key), true);
  }
}

// Runs a ledger under load on `data` below `disk`, until it has told about `enough` entries and is
// killed. Returns its op log.
std::string Record(const std::string& disk, const std::string& data, const std::string& op_log,
                   size_t enough, uint32_t seed, Told* told) {
  const auto ledger = ChildProcess::StartService(
      Binary(), Flags(data), {"FILE_CALLS_FOLDER=" + disk, "FILE_CALLS_RECORD=" + op_log});
  const auto stub = Connect(ledger->grpc_address());
  const note::NoteVerifier key = LogKey(data);
  std::atomic<bool> cut{false};
  std::vector<std::thread> threads;
  for (uint32_t a = 0; a < 3; ++a) {
    threads.emplace_back(AppendUntilCut, stub.get(), absl::StrCat(seed, "/", a), seed + a, key,
                         told, &cut);
  }
  threads.emplace_back(PollUntilCut, absl::StrCat("http://", ledger->http_address(), "/checkpoint"),
                       key, told, &cut);
  const size_t before = told->acknowledged();
  const bool loaded = Eventually([&] { return told->acknowledged() >= before + enough; }, 240);
  ledger->Kill();
  cut = true;
  for (std::thread& thread : threads) thread.join();
  INFO(ledger->output());
  REQUIRE(loaded);
  CHECK(told->complaints() == std::vector<std::string>());
  return RequireOk(base::ReadFile(op_log));
}

// Starts a ledger on `data` and holds it to what was told.
void CheckState(const std::string& data, const Told& told, std::mt19937* random) {
  const std::vector<Told::Entry> entries = told.entries();
  // Nothing of this start need survive another cut, so its synchronisations may do nothing.
  const auto ledger =
      ChildProcess::StartService(Binary(), Flags(data), {"FILE_CALLS_FOLDER=" + data});
  INFO(ledger->output());
  const auto stub = Connect(ledger->grpc_address());
  const note::NoteVerifier key = LogKey(data);

  uint64_t published = 0;
  for (const Told::Head& head : told.heads()) {
    if (head.published) published = std::max(published, head.size);
  }
  if (published > 0) {
    pb::GetCheckpointRequest request;
    request.set_log(kLog);
    const auto checkpoint = RequireOk(Call(stub.get(), &Stub::GetCheckpoint, request));
    REQUIRE(RequireOk(OpenCheckpoint(checkpoint.checkpoint(), key)).size >= published);
  }
  // It goes on, and knows what it had.
  std::vector<std::string> batch = {absl::StrCat("after ", (*random)())};
  std::vector<uint64_t> indexes;
  for (int i = 0; i < 20 && !entries.empty(); ++i) {
    const Told::Entry& entry = entries[(*random)() % entries.size()];
    batch.push_back(entry.bytes);
    indexes.push_back(entry.index);
  }
  const auto appended = RequireOk(Append(stub.get(), batch, pb::WAIT_LEVEL_COSIGNED));
  CHECK_FALSE(appended.entries(0).duplicate());
  for (size_t i = 0; i < indexes.size(); ++i) {
    const pb::AppendedEntry& again = appended.entries(static_cast<int>(i + 1));
    REQUIRE(again.duplicate());
    REQUIRE(static_cast<uint64_t>(again.index()) == indexes[i]);
  }
  ledger->Kill();

  const PublicLog log = RequireOk(ReadPublicLog(data + "/public", key));
  for (const Told::Entry& entry : entries) {
    REQUIRE(entry.index < log.entries.size());
    REQUIRE(log.entries[entry.index] == entry.bytes);
  }
  for (const Told::Head& head : told.heads()) {
    REQUIRE(head.size < log.roots.size());
    REQUIRE(log.roots[head.size] == head.root);
  }
}

TEST_CASE("After a power cut every acknowledged entry and published checkpoint is there") {
  const int generations = FromEnvironment("COUNTERSIGN_POWER_CUT_GENERATIONS", 5);
  const int cuts = FromEnvironment("COUNTERSIGN_POWER_CUTS", 20);
  const auto seed = static_cast<uint32_t>(
      FromEnvironment("COUNTERSIGN_SEED", static_cast<int>(std::random_device()() >> 1)));
  INFO("COUNTERSIGN_SEED=" << seed);
  std::mt19937 random(seed);
  TempDir dir;
  const std::string disk = dir.path() + "/disk";
  const std::string data = disk + "/data";
  std::filesystem::create_directory(disk);
  int states = 0;
  auto known = std::make_unique<Told>("");

  for (int generation = 0; generation < generations; ++generation) {
    const std::string op_log = absl::StrCat(dir.path(), "/op_log.", generation);
    DiskModel model(disk);
    Told told(op_log);
    known->AddTo(&told, 0);
    const std::string log = Record(disk, data, op_log, 200 + random() % 400,
                                   seed + static_cast<uint32_t>(generation) * 10, &told);
    const std::vector<Op> ops = ParseOpLog(log);

    std::vector<size_t> moments;
    for (int i = 0; i < cuts; ++i) moments.push_back(random() % (ops.size() + 1));
    std::sort(moments.begin(), moments.end());
    const size_t goes_on = moments[random() % moments.size()];
    auto still_known = std::make_unique<Told>("");
    std::string next;
    size_t applied = 0;
    for (const size_t moment : moments) {
      for (; applied < moment; ++applied) model.Apply(ops[applied]);
      Told before("");
      const size_t position = moment == 0 ? 0 : ops[moment - 1].end;
      told.AddTo(&before, position);
      for (const Survival survival :
           {Survival::kNothing, Survival::kSome, Survival::kSome, Survival::kEverything}) {
        if (survival == Survival::kEverything && moment % 4 != 0) continue;
        INFO("generation " << generation << ", after op " << moment << " of " << ops.size()
                           << ", survival " << static_cast<int>(survival));
        const std::string copy = dir.path() + "/copy";
        model.WriteTo(copy, survival, &random);
        if (const char* keep = std::getenv("COUNTERSIGN_FAULT_KEEP"); keep != nullptr) {
          std::filesystem::remove_all(keep);
          std::filesystem::copy(copy, keep, std::filesystem::copy_options::recursive);
        }
        CheckState(copy + "/data", before, &random);
        ++states;
      }
      if (moment == goes_on && next.empty()) {
        // The next one runs on what is left here: cuts during its recovery come on top.
        next = dir.path() + "/next";
        model.WriteTo(next, Survival::kSome, &random);
        told.AddTo(still_known.get(), position);
      }
    }
    std::filesystem::remove_all(disk);
    std::filesystem::rename(next, disk);
    known = std::move(still_known);
  }
  INFO(states << " states");
  CHECK(states >= generations * cuts * 3);
}

}  // namespace
}  // namespace countersign::fault
