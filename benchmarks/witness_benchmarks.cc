#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/growing_log.h"
#include "libs/base/clock.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/private_key.h"
#include "libs/http/client.h"
#include "libs/note/cosignature.h"
#include "libs/note/signed_note.h"
#include "libs/testing/postgres_server.h"

namespace countersign::bench {
namespace {

constexpr int kLogs = 50;
constexpr uint64_t kLeavesPerCheckpoint = 100;

// What a cosignature costs a processor at least: the log's signature verified, the witness's made.
absl::StatusOr<double> CosignRate(absl::Duration length) {
  ASSIGN_OR_RETURN(const auto log, GrowingLog::Create("example.com/baseline"));
  ASSIGN_OR_RETURN(const note::AddCheckpointRequest request, log->Grow(1));
  ASSIGN_OR_RETURN(const note::SignedNote note, note::ParseNote(request.checkpoint));
  ASSIGN_OR_RETURN(crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519));
  ASSIGN_OR_RETURN(const auto witness,
                   note::CosignatureSigner::Create("witness.example/baseline", std::move(key),
                                                   base::Clock::System()));
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return RunThreads(cores, length, [&](int) {
    if (!log->verifier().Verify(note.text, note.signatures[0].signature) ||
        !witness->Sign(note.text).ok()) {
      std::abort();
    }
  });
}

// A witness that watches `logs`, started as `name`; returns where it takes checkpoints.
absl::StatusOr<std::string> StartWitness(Environment& environment, const std::string& name,
                                         const std::vector<std::unique_ptr<GrowingLog>>& logs,
                                         std::vector<std::string> args = {}) {
  if (args.empty()) args = {"--name", "witness.example/" + name};
  for (const auto& log : logs) args.insert(args.end(), {"--log", log->verifier().vkey()});
  ASSIGN_OR_RETURN(const runtime::BoundPorts ports,
                   environment.StartService(name, "witness", std::move(args)));
  return absl::StrCat("http://127.0.0.1:", ports.http, "/add-checkpoint");
}

absl::StatusOr<std::vector<std::unique_ptr<GrowingLog>>> MakeLogs() {
  std::vector<std::unique_ptr<GrowingLog>> logs;
  for (int i = 0; i < kLogs; ++i) {
    ASSIGN_OR_RETURN(logs.emplace_back(), GrowingLog::Create(absl::StrCat("example.com/", i)));
  }
  return logs;
}

// Each log grows and waits for its cosignature, over and over, against the witnesses in turn.
absl::StatusOr<LoadResult> RunLogs(const std::vector<std::unique_ptr<GrowingLog>>& logs,
                                   const std::vector<std::string>& urls, absl::Duration length) {
  http::Client client({.max_idle_per_host = kLogs});
  return RunLoad({.in_flight = kLogs, .length = length},
                 [&](int slot, std::function<void(bool)> done) {
                   const auto index = static_cast<size_t>(slot);
                   auto request = logs[index]->Grow(kLeavesPerCheckpoint);
                   if (!request.ok()) return done(false);
                   const size_t turn = index + logs[index]->size() / kLeavesPerCheckpoint;
                   client.Send({.method = "POST",
                                .url = urls[turn % urls.size()],
                                .body = note::FormatAddCheckpoint(*request)},
                               [done = std::move(done)](absl::StatusOr<http::Response> response) {
                                 done(response.ok() && response->status == 200 &&
                                      absl::StartsWith(response->body_view(), "\xe2\x80\x94 "));
                               });
                 });
}

absl::StatusOr<Result> Measure(Environment& environment, const std::string& name,
                               const std::vector<std::string>& urls,
                               const std::vector<std::unique_ptr<GrowingLog>>& logs,
                               const std::function<absl::StatusOr<uint64_t>()>& count_syncs) {
  ASSIGN_OR_RETURN(const uint64_t before, count_syncs());
  ASSIGN_OR_RETURN(const LoadResult load, RunLogs(logs, urls, environment.length()));
  ASSIGN_OR_RETURN(const uint64_t after, count_syncs());
  Result result = FromLoad(name, "cosig/s", load);
  uint64_t cosigned = 0;
  for (const auto& log : logs) cosigned += log->size() / kLeavesPerCheckpoint;
  ASSIGN_OR_RETURN(const double syncs, environment.SyncRate(4096));
  result.note = absl::StrFormat(
      "%d logs, one request each in flight; each cosignature durable: %d synchronisations for %d "
      "of them, warm-up included (this disk does %.0f a second)",
      kLogs, after - before, cosigned, syncs);
  result.baseline = "Ed25519 verify+sign, all cores";
  ASSIGN_OR_RETURN(result.baseline_value, CosignRate(environment.length()));
  return result;
}

absl::StatusOr<Result> Cosign(Environment& environment) {
  ASSIGN_OR_RETURN(const auto logs, MakeLogs());
  ASSIGN_OR_RETURN(const std::string url, StartWitness(environment, "cosign", logs));
  ASSIGN_OR_RETURN(Result result, Measure(environment, "witness-cosign", {url}, logs,
                                          [&] { return environment.Syncs("cosign"); }));
  RETURN_IF_ERROR(environment.StopService("cosign"));
  return result;
}

// Two replicas, to which each log turns in turn.
absl::StatusOr<Result> CosignPostgres(Environment& environment) {
  ASSIGN_OR_RETURN(const auto server,
                   testing::PostgresServer::Start({.data_folder = environment.work()}));
  ASSIGN_OR_RETURN(const auto logs, MakeLogs());
  std::vector<std::string> urls;
  for (const char* replica : {"cosign-replica-1", "cosign-replica-2"}) {
    ASSIGN_OR_RETURN(urls.emplace_back(),
                     StartWitness(environment, replica, logs,
                                  {"--name", "witness.example/replicated", "--database",
                                   server->Url(), "--kek", environment.work() + "/cosign-kek"}));
  }
  const auto count_syncs = [&server]() -> absl::StatusOr<uint64_t> {
    // A backend hands in its counts when it has nothing else to do.
    absl::SleepFor(absl::Seconds(1));
    ASSIGN_OR_RETURN(const std::string count, server->Execute("SELECT wal_sync FROM pg_stat_wal"));
    uint64_t value = 0;
    if (absl::SimpleAtoi(count, &value)) return value;
    return absl::InternalError("pg_stat_wal counts no synchronisations");
  };
  ASSIGN_OR_RETURN(Result result,
                   Measure(environment, "witness-cosign-postgres", urls, logs, count_syncs));
  for (const char* replica : {"cosign-replica-1", "cosign-replica-2"}) {
    RETURN_IF_ERROR(environment.StopService(replica));
  }
  return result;
}

}  // namespace

std::vector<Benchmark> WitnessBenchmarks() {
  return {
      {"witness-cosign", "50 logs that grow, one checkpoint each in flight, SQLite", Cosign},
      {"witness-cosign-postgres", "the same by two replicas on one PostgreSQL", CosignPostgres}};
}

}  // namespace countersign::bench
