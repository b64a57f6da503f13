// The witness service.
#include "libs/runtime/main.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/metrics.h"
#include "libs/storage/database.h"
#include "services/witness/witness.h"
#include "services/witness/witness_http.h"
#include "services/witness/witness_key.h"
#include "services/witness/witness_service.h"

namespace base = countersign::base;
namespace note = countersign::note;
namespace runtime = countersign::runtime;
namespace storage = countersign::storage;
namespace witness = countersign::witness;

namespace {

// More than the processors need: transactions that wait together share a synchronisation.
constexpr int kThreads = 64;
// To a PostgreSQL server, of which each replica takes as many.
constexpr int kConnections = 16;

struct Flags {
  std::string data;
  std::string name;
  std::string kek;
  std::string database;
  std::vector<std::string> logs;

  absl::StatusOr<std::unique_ptr<storage::Database>> OpenDatabase() const {
    return storage::Database::Open(
        database.empty() ? absl::StrCat("sqlite:", data, "/witness.db") : database,
        {.max_connections = kConnections});
  }

  // Replicas share the key in their database; a database in a file has it in a file beside it.
  absl::StatusOr<std::unique_ptr<note::CosignatureSigner>> OpenKey(
      storage::Database& opened) const {
    const std::string kek_path = kek.empty() ? data + "/kek" : kek;
    return opened.engine() == storage::Engine::kPostgres
               ? witness::OpenSharedWitnessKey(opened, data, kek_path, name, base::Clock::System())
               : witness::OpenWitnessKey(data, kek_path, name, base::Clock::System());
  }

  absl::Status Init() const {
    RETURN_IF_ERROR(base::EnsureDirectory(data, 0700));
    ASSIGN_OR_RETURN(const auto opened, OpenDatabase());
    return OpenKey(*opened).status();
  }
};

void ExportMetrics(const witness::Witness& witness, runtime::Metrics* metrics) {
  const witness::Witness::Counts& counts = witness.counts();
  const std::pair<const char*, const std::atomic<uint64_t>*> results[] = {
      {"cosigned", &counts.cosigned},
      {"conflict", &counts.conflicts},
      {"refused", &counts.refused},
      {"failed", &counts.failed}};
  for (const auto& [result, count] : results) {
    metrics->AddCounterFunction(
        "countersign_witness_checkpoints_total", "Checkpoints received, by what came of them.",
        [count = count] { return static_cast<double>(count->load()); }, {{"result", result}});
  }
  metrics->AddCounterFunction("countersign_witness_forks_total",
                              "Checkpoints refused because a log had signed another root before.",
                              [&counts] { return static_cast<double>(counts.forks.load()); });
  metrics->AddCounterFunction("countersign_witness_turned_away_total",
                              "Requests refused because too many waited.",
                              [&counts] { return static_cast<double>(counts.turned_away.load()); });
}

absl::Status SetUp(const Flags& flags, runtime::Server& server) {
  RETURN_IF_ERROR(base::EnsureDirectory(flags.data, 0700));
  ASSIGN_OR_RETURN(auto lock, base::DirectoryLock::Acquire(flags.data));
  server.Own(std::move(lock));
  ASSIGN_OR_RETURN(auto database, flags.OpenDatabase());
  ASSIGN_OR_RETURN(auto signer, flags.OpenKey(*database));
  ASSIGN_OR_RETURN(auto opened,
                   witness::Witness::Open(std::move(database), {.signer = std::move(signer)}));
  witness::Witness* domain = server.Own(std::move(opened));
  RETURN_IF_ERROR(domain->AddLogsByKeyName(flags.logs));
  ExportMetrics(*domain, server.metrics());

  base::ThreadPool* executor = server.Own(
      std::make_unique<base::ThreadPool>(std::max(kThreads, server.executor()->threads())));
  auto* service = server.Own(std::make_unique<witness::WitnessService>(domain, executor));
  server.AddService(service, "countersign.witness.v1.WitnessService");
  server.ServeHttp(witness::WitnessHandler(domain, executor));
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  runtime::Main main({.name = "witness",
                      .description = "Cosigns checkpoints of logs that only ever grow.",
                      .listen = "127.0.0.1:7104",
                      .http_listen = "127.0.0.1:7304",
                      .admin_listen = "127.0.0.1:7204"});
  Flags flags;
  main.AddString("--data", &flags.data, "folder of key and database; one process at a time")
      .Required();
  main.AddString("--name", &flags.name,
                 "the witness's name, \"witness.example/w1\"; for ever the same")
      .Required();
  main.AddString("--kek", &flags.kek,
                 "file of the key-encryption key, made when missing (default: DATA/kek)");
  main.AddString(
      "--database", &flags.database,
      "database URL (default: sqlite:DATA/witness.db); replicas share a postgresql: one");
  main.AddStringList("--log", &flags.logs,
                     "verifier key of a log to watch, its name being the origin; repeatable");
  main.AddAction(
      "--init", [&flags] { return flags.Init(); },
      "make the key, write DATA/witness.vkey and exit");
  return main.Run(argc, argv, [&](runtime::Server& server) { return SetUp(flags, server); });
}
