// Ledgers that share one log on one PostgreSQL, under load: they are killed, their connections are
// cut and their database is stopped, and everything that was acknowledged stays.
#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "libs/merkle/reference_tree.h"
#include "libs/merkle/tile.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/postgres_log_store.h"
#include "tests/fault/ledger_client.h"

namespace countersign::fault {
namespace {

using testing::Eventually;
using testing::PostgresServer;
using testing::PostgresShutdown;

constexpr size_t kLedgers = 2;
constexpr size_t kClients = 4;

class Ledgers {
 public:
  Ledgers() {
    for (size_t i = 0; i < kLedgers; ++i) Start(i);
    pb::GetLogRequest request;
    request.set_name(kLog);
    const auto log =
        RequireOk(Call(Connect(processes_[0]->grpc_address()).get(), &Stub::GetLog, request));
    key_ = std::make_unique<note::NoteVerifier>(RequireOk(note::ParseVkey(log.log().vkey())));
  }

  PostgresServer& server() { return *server_; }
  const note::NoteVerifier& key() const { return *key_; }

  void Kill(size_t ledger) { processes_[ledger]->Kill(); }

  // With the folder that it had.
  void Start(size_t ledger) {
    std::vector<std::string> args = Flags(absl::StrCat(dir_.path(), "/", ledger));
    args.push_back("--database=" + server_->Url());
    args.push_back("--kek=" + dir_.path() + "/kek");
    processes_[ledger] = ChildProcess::StartService(
        testing::Runfile("services/ledger/countersign-ledger"), std::move(args));
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
    base::MutexLock lock(&mutex_);
    stubs_[ledger] = pb::LedgerService::NewStub(grpc::CreateCustomChannel(
        processes_[ledger]->grpc_address(), grpc::InsecureChannelCredentials(), arguments));
  }

  // Of the ledger that runs there, or did until a moment ago.
  std::shared_ptr<Stub> stub(size_t ledger) {
    base::MutexLock lock(&mutex_);
    return stubs_[ledger];
  }

 private:
  const testing::TempDir dir_;
  const std::unique_ptr<PostgresServer> server_ = RequireOk(PostgresServer::Start());
  std::unique_ptr<note::NoteVerifier> key_;
  std::array<std::unique_ptr<ChildProcess>, kLedgers> processes_;
  base::Mutex mutex_;
  std::array<std::shared_ptr<Stub>, kLedgers> stubs_ ABSL_GUARDED_BY(mutex_);
};

// Appends to the ledgers by turns until `stop`, each batch until it is acknowledged, and notes what
// they promise.
void RunClient(size_t client, Ledgers* ledgers, Promises* promises, const std::atomic<bool>* stop) {
  std::mt19937 random(static_cast<uint32_t>(client));
  uint64_t made = 0;
  size_t turn = client;
  while (!*stop) {
    std::vector<std::string> entries;
    for (uint32_t i = 1 + random() % 40; i > 0; --i) {
      // One in four is what other clients append too.
      entries.push_back(random() % 4 == 0 ? absl::StrCat("shared ", random() % 2000)
                                          : absl::StrCat("client ", client, " ", ++made));
    }
    const pb::WaitLevel wait =
        random() % 2 == 0 ? pb::WAIT_LEVEL_SEQUENCED : pb::WAIT_LEVEL_INTEGRATED;
    while (!*stop) {
      const std::shared_ptr<Stub> stub = ledgers->stub(turn++ % kLedgers);
      const auto response = Append(stub.get(), entries, wait);
      if (!response.ok()) {
        if (absl::IsDataLoss(response.status())) promises->Complain(response.status().ToString());
        continue;
      }
      for (int i = 0; i < response->entries_size(); ++i) {
        promises->Acknowledged(entries[static_cast<size_t>(i)],
                               static_cast<uint64_t>(response->entries(i).index()));
      }
      pb::GetCheckpointRequest request;
      request.set_log(kLog);
      request.set_unpublished(random() % 2 == 0);
      const auto newest = Call(stub.get(), &Stub::GetCheckpoint, request);
      if (!newest.ok()) break;
      const auto checkpoint = OpenCheckpoint(newest->checkpoint(), ledgers->key());
      if (checkpoint.ok()) {
        // Not as published: the other ledger may have published a larger one a moment ago.
        promises->Seen(*checkpoint, /*published=*/false);
      } else {
        promises->Complain(checkpoint.status().ToString());
      }
      break;
    }
  }
}

// All clients, from construction to Stop.
class Load {
 public:
  Load(Ledgers* ledgers, Promises* promises) : promises_(promises) {
    for (size_t i = 0; i < kClients; ++i) {
      clients_.emplace_back(RunClient, i, ledgers, promises, &stop_);
    }
  }
  ~Load() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& client : clients_) client.join();
    clients_.clear();
  }

  // Whether it gets on, which it must within a minute.
  bool GoesOn() const {
    const size_t before = promises_->acknowledged();
    return Eventually([&] { return promises_->acknowledged() > before + 150; });
  }

 private:
  Promises* const promises_;
  std::atomic<bool> stop_{false};
  std::vector<std::thread> clients_;
};

// What the database holds, by a store that did none of it.
void CheckDatabase(const PostgresServer& server, const Promises& promises) {
  ledger::PostgresLogStore::Options options;
  options.database = RequireOk(storage::Database::Open(server.Url()));
  options.name = kLog;
  options.origin = kOrigin;
  const auto store = RequireOk(ledger::PostgresLogStore::Open(options));
  const ledger::TreeHead head = RequireOk(store->Integrate());
  merkle::Entries log;
  for (uint64_t begin = 0; begin < head.size; begin += 256) {
    const auto width = static_cast<uint32_t>(std::min<uint64_t>(256, head.size - begin));
    const auto bundle = RequireOk(store->ReadEntryBundle(begin / 256, width));
    for (const absl::string_view entry : RequireOk(merkle::ParseBundle(*bundle, width))) {
      log.emplace_back(entry);
    }
  }
  CHECK(merkle::ReferenceRoot(log) == head.root);
  CHECK(std::set<std::string>(log.begin(), log.end()).size() == log.size());
  for (const auto& [entry, index] : promises.indexes()) {
    REQUIRE(index < log.size());
    REQUIRE(log[index] == entry);
  }
  CHECK(RequireOk(server.Execute("SELECT count(*)::text FROM ledger_entries")) ==
        absl::StrCat(head.size));
}

TEST_CASE("What ledgers on one database acknowledge survives them, their connections and it") {
  Ledgers ledgers;
  Promises promises;
  Load load(&ledgers, &promises);
  REQUIRE(load.GoesOn());
  for (size_t round = 0; round < 2; ++round) {
    for (int cut = 0; cut < 4; ++cut) {
      RequireOk(ledgers.server().TerminateConnections());
      REQUIRE(load.GoesOn());
    }
    ledgers.Kill(round % kLedgers);
    REQUIRE(load.GoesOn());  // by the other
    ledgers.Start(round % kLedgers);
    REQUIRE(load.GoesOn());
    RequireOk(ledgers.server().Restart(round % 2 == 0 ? PostgresShutdown::kImmediate
                                                      : PostgresShutdown::kFast));
    REQUIRE(load.GoesOn());
  }
  load.Stop();
  CHECK(promises.complaints() == std::vector<std::string>());
  CheckDatabase(ledgers.server(), promises);
  for (size_t i = 0; i < kLedgers; ++i) {
    // What the other integrated last it follows within a moment.
    const auto stub = ledgers.stub(i);
    CHECK(Eventually([&] {
      pb::GetCheckpointRequest request;
      request.set_log(kLog);
      request.set_unpublished(true);
      const auto newest = Call(stub.get(), &Stub::GetCheckpoint, request);
      if (!newest.ok()) return false;
      const auto checkpoint = OpenCheckpoint(newest->checkpoint(), ledgers.key());
      return checkpoint.ok() &&
             absl::StrCat(checkpoint->size) ==
                 ledgers.server().Execute("SELECT size::text FROM ledger_logs").value_or("");
    }));
    CheckPromises(stub.get(), ledgers.key(), promises.indexes(), promises.roots());
  }
}

}  // namespace
}  // namespace countersign::fault
