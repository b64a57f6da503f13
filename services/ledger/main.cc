// The ledger: one transparency log over gRPC, and its public tiles over HTTP.

#include "libs/runtime/main.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/metrics.h"
#include "services/ledger/file_log_store.h"
#include "services/ledger/ledger.h"
#include "services/ledger/ledger_service.h"
#include "services/ledger/log_key.h"
#include "services/ledger/metrics.h"
#include "services/ledger/public_http.h"
#include "services/ledger/witness_cosigner.h"

namespace ledger = countersign::ledger;
namespace note = countersign::note;
namespace runtime = countersign::runtime;

namespace {

struct Flags {
  std::string data;
  std::string kek;
  std::string origin = "localhost/countersign";
  std::string log = "tenants/default/logs/main";
  std::string witness_policy;
  bool deduplicate = true;
  int64_t settle_bytes = 64 << 20;
  absl::Duration publish_interval = absl::Milliseconds(100);
  absl::Duration cosign_timeout = absl::Seconds(10);

  absl::StatusOr<std::unique_ptr<note::NoteSigner>> OpenKey() const {
    return ledger::OpenLogKey(data, kek.empty() ? data + "/kek" : kek, origin);
  }
};

// Makes the key where no server runs on the folder.
absl::Status Initialise(const Flags& flags) {
  RETURN_IF_ERROR(countersign::base::EnsureDirectory(flags.data, 0700));
  ASSIGN_OR_RETURN(const auto lock, countersign::base::DirectoryLock::Acquire(flags.data));
  return flags.OpenKey().status();
}

absl::Status SetUp(const Flags& flags, runtime::Server& server) {
  if (flags.settle_bytes <= 0) {
    return absl::InvalidArgumentError("--settle-bytes must be more than 0");
  }
  ledger::FileLogStore::Options store_options;
  store_options.directory = flags.data;
  store_options.deduplicate = flags.deduplicate;
  store_options.settle_bytes = static_cast<uint64_t>(flags.settle_bytes);
  store_options.journal_segment_bytes = store_options.settle_bytes / 2;
  // First of all, because it locks the folder.
  ASSIGN_OR_RETURN(auto store, ledger::FileLogStore::Open(store_options));
  const ledger::FileLogStore* files = store.get();
  ASSIGN_OR_RETURN(auto signer, flags.OpenKey());
  const note::NoteVerifier key = signer->verifier();

  std::string policy_text = absl::StrCat("log ", key.vkey(), "\nquorum none\n");
  if (!flags.witness_policy.empty()) {
    ASSIGN_OR_RETURN(policy_text, countersign::base::ReadFile(flags.witness_policy));
  }
  ASSIGN_OR_RETURN(note::Policy policy, note::Policy::Parse(policy_text));
  ledger::LogIdentity identity{flags.log,
                               flags.origin,
                               key.vkey(),
                               key.public_key().spki_der(),
                               std::string(countersign::base::AsBytes(key.key_hash())),
                               policy.Format()};
  ASSIGN_OR_RETURN(auto cosigner, ledger::WitnessCosigner::Create({}, std::move(policy), key));

  ledger::Ledger::Options options;
  options.origin = flags.origin;
  options.publish_interval = flags.publish_interval;
  ASSIGN_OR_RETURN(auto started, ledger::Ledger::Start(options, std::move(store), std::move(signer),
                                                       std::move(cosigner)));
  ledger::Ledger* log = server.Own(std::move(started));
  ledger::ExportMetrics(*log, server.metrics());
  server.metrics()->AddCounterFunction(
      "countersign_ledger_journal_syncs_total", "Synchronisations of the journal to disk.",
      [files] { return static_cast<double>(files->synchronisations()); });

  auto* service = server.Own(std::make_unique<ledger::LedgerService>(
      std::vector<ledger::LedgerService::Log>{{std::move(identity), log}}, server.executor(),
      flags.cosign_timeout));
  server.AddService(service, "countersign.ledger.v1.LedgerService");
  server.ServeHttp(ledger::PublicHandler(log, server.executor()));
  server.OnDrain([log] { log->Stop(); });
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  runtime::Main main({.name = "ledger",
                      .description = "An append-only, verifiable log of signatures.",
                      .listen = "127.0.0.1:7103",
                      .http_listen = "127.0.0.1:7303",
                      .admin_listen = "127.0.0.1:7203"});
  Flags flags;
  main.AddString("--data", &flags.data, "folder of the log: journal, tiles, key").Required();
  main.AddString("--kek", &flags.kek, "key-encryption key file (default: DATA/kek)");
  main.AddString("--origin", &flags.origin, "origin line of the checkpoints; for ever the same");
  main.AddString("--log", &flags.log, "resource name of the log");
  main.AddString("--witness-policy", &flags.witness_policy,
                 "C2SP tlog-policy file with the witnesses, their URLs and the quorum");
  main.AddBool("--deduplicate", &flags.deduplicate, "give the same entry the same index");
  main.AddInt("--settle-bytes", &flags.settle_bytes,
              "delete the journal after so many bytes of entries; a start replays about as much");
  main.AddDuration("--publish-interval", &flags.publish_interval,
                   "at least this long between checkpoints that nobody waits for");
  main.AddDuration("--cosign-timeout", &flags.cosign_timeout,
                   "an append waits at most this long for the quorum");
  main.AddAction(
      "--init", [&flags] { return Initialise(flags); },
      "make the log's key, write DATA/log.vkey and exit");
  return main.Run(argc, argv, [&](runtime::Server& server) { return SetUp(flags, server); });
}
