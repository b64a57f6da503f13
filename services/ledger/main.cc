// The ledger: transparency logs over gRPC, and their public tiles over HTTP.

#include "libs/runtime/main.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/storage/database.h"
#include "services/ledger/file_log_backend.h"
#include "services/ledger/ledger_service.h"
#include "services/ledger/log_registry.h"
#include "services/ledger/metrics.h"
#include "services/ledger/postgres_log_backend.h"
#include "services/ledger/public_http.h"
#include "services/ledger/witness_cosigner.h"

namespace ledger = countersign::ledger;
namespace note = countersign::note;
namespace runtime = countersign::runtime;
namespace storage = countersign::storage;

namespace {

struct Flags {
  std::string data;
  std::string database;
  std::vector<std::string> replicas;
  ledger::Tablespaces tablespaces;
  std::string kek;
  std::string origin = "localhost/countersign";
  std::string log = "tenants/default/logs/main";
  std::string witness_policy;
  bool deduplicate = true;
  int64_t settle_bytes = 64 << 20;
  absl::Duration publish_interval = absl::Milliseconds(100);
  absl::Duration republish_interval = absl::Hours(1);
  absl::Duration cosign_timeout = absl::Seconds(10);

  std::string kek_path() const { return kek.empty() ? data + "/kek" : kek; }
};

absl::StatusOr<std::unique_ptr<ledger::LogBackend>> OpenPostgres(const Flags& flags) {
  RETURN_IF_ERROR(countersign::base::EnsureDirectory(flags.data, 0700));
  ledger::PostgresLogBackend::Options options;
  ASSIGN_OR_RETURN(options.store.database,
                   storage::Database::Open(flags.database, {.replicas = flags.replicas}));
  options.store.deduplicate = flags.deduplicate;
  options.store.tablespaces = flags.tablespaces;
  options.kek_path = flags.kek_path();
  return ledger::PostgresLogBackend::Open(std::move(options));
}

absl::StatusOr<std::unique_ptr<ledger::LogBackend>> OpenBackend(const Flags& flags) {
  if (flags.settle_bytes <= 0) {
    return absl::InvalidArgumentError("--settle-bytes must be more than 0");
  }
  if (!flags.database.empty()) return OpenPostgres(flags);
  ledger::FileLogBackend::Options options;
  ASSIGN_OR_RETURN(options.main_log, ledger::ParseLogName(flags.log));
  options.kek_path = flags.kek_path();
  options.store.directory = flags.data;
  options.store.deduplicate = flags.deduplicate;
  options.store.settle_bytes = static_cast<uint64_t>(flags.settle_bytes);
  options.store.journal_segment_bytes = options.store.settle_bytes / 2;
  return std::make_unique<ledger::FileLogBackend>(std::move(options));
}

// Makes the main log's key where no server runs on the folder.
absl::Status Initialise(const Flags& flags) {
  ASSIGN_OR_RETURN(const auto backend, OpenBackend(flags));
  ASSIGN_OR_RETURN(const ledger::LogName name, ledger::ParseLogName(flags.log));
  return backend->Create(name, flags.origin, "quorum none\n");
}

absl::Status SetUp(const Flags& flags, runtime::Server& server) {
  ASSIGN_OR_RETURN(auto backend, OpenBackend(flags));
  ledger::LogRegistry::Options options;
  ASSIGN_OR_RETURN(options.main_log, ledger::ParseLogName(flags.log));
  options.main_origin = flags.origin;
  if (!flags.witness_policy.empty()) {
    ASSIGN_OR_RETURN(options.witness_policy, countersign::base::ReadFile(flags.witness_policy));
  }
  options.make_cosigner = [](note::Policy policy, note::NoteVerifier key) {
    return ledger::WitnessCosigner::Create({}, std::move(policy), std::move(key));
  };
  options.ledger.publish_interval = flags.publish_interval;
  options.ledger.republish_interval = flags.republish_interval;
  options.on_open = [metrics = server.metrics()](const ledger::Log& log) {
    ledger::ExportMetrics(log, metrics);
  };
  ASSIGN_OR_RETURN(auto opened, ledger::LogRegistry::Open(options, std::move(backend)));
  ledger::LogRegistry* logs = server.Own(std::move(opened));

  auto* service = server.Own(
      std::make_unique<ledger::LedgerService>(logs, server.executor(), flags.cosign_timeout));
  server.AddService(service, "countersign.ledger.v1.LedgerService");
  server.ServeHttp(ledger::PublicHandler(logs, server.executor()));
  server.OnDrain([logs] { logs->Stop(); });
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  runtime::Main main({.name = "ledger",
                      .description = "Append-only, verifiable logs of signatures.",
                      .listen = "127.0.0.1:7103",
                      .http_listen = "127.0.0.1:7303",
                      .admin_listen = "127.0.0.1:7203"});
  Flags flags;
  main.AddString("--data", &flags.data, "folder of the logs: journal, tiles, key").Required();
  main.AddString("--database", &flags.database,
                 "keep the logs in this PostgreSQL database (postgresql://…), which ledgers may "
                 "share, and only the KEK in DATA");
  main.AddStringList("--database-replica", &flags.replicas,
                     "URL of a replica of the database that answers reads; repeatable");
  main.AddString("--tablespace-hot", &flags.tablespaces.hot,
                 "tablespace of new entries (default: the database's own)");
  main.AddString("--tablespace-warm", &flags.tablespaces.warm,
                 "where months of entries move 30 days after their end");
  main.AddString("--tablespace-cold", &flags.tablespaces.cold,
                 "where months of entries move 90 days after their end");
  main.AddString("--kek", &flags.kek, "key-encryption key file (default: DATA/kek)");
  main.AddString("--origin", &flags.origin,
                 "origin line of the main log's checkpoints; for ever the same");
  main.AddString("--log", &flags.log, "resource name of the main log");
  main.AddString("--witness-policy", &flags.witness_policy,
                 "C2SP tlog-policy file with the witnesses, their URLs and the quorum");
  main.AddBool("--deduplicate", &flags.deduplicate, "give the same entry the same index");
  main.AddInt("--settle-bytes", &flags.settle_bytes,
              "delete the journal after so many bytes of entries; a start replays about as much");
  main.AddDuration("--publish-interval", &flags.publish_interval,
                   "at least this long between checkpoints that nobody waits for");
  main.AddDuration("--republish-interval", &flags.republish_interval,
                   "have a log that does not grow cosigned again this often; 0s for never");
  main.AddDuration("--cosign-timeout", &flags.cosign_timeout,
                   "an append waits at most this long for the quorum");
  main.AddAction(
      "--init", [&flags] { return Initialise(flags); },
      "make the main log's key, write DATA/log.vkey and exit");
  return main.Run(argc, argv, [&](runtime::Server& server) { return SetUp(flags, server); });
}
