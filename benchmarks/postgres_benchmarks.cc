#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "benchmarks/durable_postgres.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/storage/database.h"
#include "libs/testing/postgres_server.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::ledger::v1;

constexpr char kLog[] = "tenants/default/logs/main";
constexpr size_t kEntryBytes = 256;
constexpr int kBatch = 1024;
constexpr int kInFlight = 8;

// An entry that the log does not have.
std::string FreshEntry() {
  static std::atomic<uint64_t> counter{0};
  std::string entry(kEntryBytes - 8, 'e');
  base::AppendU64(&entry, counter.fetch_add(1));
  return entry;
}

struct Measured {
  LoadResult load;
  uint64_t appended = 0;
  uint64_t wal_syncs = 0;
};

// Batches by `ledgers` processes that share one log, named after `run`.
absl::StatusOr<Measured> RunLedgers(Environment& environment, const std::string& run, int ledgers) {
  ASSIGN_OR_RETURN(const auto server, StartPostgres(environment));
  std::vector<std::string> names;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < ledgers; ++i) {
    const std::string name = absl::StrCat(run, "-", i);
    RETURN_IF_ERROR(environment
                        .StartService(name, "ledger",
                                      {"--database", server->Url(), "--kek",
                                       absl::StrCat(environment.work(), "/", run, "-kek"),
                                       "--max-message-bytes", absl::StrCat(64 << 20)})
                        .status());
    ASSIGN_OR_RETURN(const auto its_channels, environment.Channels(name));
    channels.insert(channels.end(), its_channels.begin(), its_channels.end());
    names.push_back(name);
  }
  Measured measured;
  ASSIGN_OR_RETURN(const uint64_t before, CountWalSyncs(*server));
  std::atomic<uint64_t> appended{0};
  measured.load =
      RunCalls<pb::LedgerService, pb::BatchAppendEntriesRequest, pb::BatchAppendEntriesResponse>(
          {.in_flight = kInFlight, .length = environment.length()}, channels,
          [](auto* async, auto... arguments) { async->BatchAppendEntries(arguments...); },
          [](int, pb::BatchAppendEntriesRequest* request) {
            request->Clear();
            request->set_log(kLog);
            request->set_wait(pb::WAIT_LEVEL_SEQUENCED);
            for (int i = 0; i < kBatch; ++i) request->add_entries(FreshEntry());
          },
          [&](const pb::BatchAppendEntriesResponse& response) {
            appended.fetch_add(kBatch);
            return response.entries_size() == kBatch && !response.entries(0).duplicate();
          });
  measured.appended = appended;
  ASSIGN_OR_RETURN(const uint64_t after, CountWalSyncs(*server));
  measured.wal_syncs = after - before;
  channels.clear();
  for (const std::string& name : names) RETURN_IF_ERROR(environment.StopService(name));
  return measured;
}

// Rows a second of binary COPY into a table like that of the entries, committed every 8,192.
absl::StatusOr<double> CopyRate(const Environment& environment) {
  constexpr int kRows = kInFlight * kBatch;
  ASSIGN_OR_RETURN(const auto server, StartPostgres(environment));
  ASSIGN_OR_RETURN(const auto database, storage::Database::Open(server->Url()));
  RETURN_IF_ERROR(database->InTransaction([](storage::Transaction& transaction) {
    return transaction.RunScript(
        "CREATE TABLE entries (log_id BIGINT NOT NULL, sequence_number BIGINT NOT NULL, "
        "timestamp BIGINT NOT NULL, entry_hash BYTEA NOT NULL, entry BYTEA NOT NULL, "
        "PRIMARY KEY (log_id, sequence_number, timestamp)) PARTITION BY RANGE (timestamp);"
        "CREATE INDEX ON entries USING HASH (entry_hash);"
        "CREATE INDEX ON entries (timestamp);"
        "CREATE TABLE month PARTITION OF entries FOR VALUES FROM (0) TO (1000000)");
  }));
  const std::vector<std::string> columns = {"log_id", "sequence_number", "timestamp", "entry_hash",
                                            "entry"};
  uint64_t copied = 0;
  absl::Duration taken;
  while (taken < environment.length()) {
    std::vector<storage::Row> rows;
    rows.reserve(kRows);
    for (int i = 0; i < kRows; ++i) {
      const std::string entry = FreshEntry();
      rows.emplace_back(
          std::vector<storage::Value>{1, copied + static_cast<uint64_t>(i), 7,
                                      storage::Value::Bytes(base::AsBytes(crypto::Sha256(entry))),
                                      storage::Value::Bytes(entry)});
    }
    const absl::Time begin = absl::Now();
    RETURN_IF_ERROR(database->InTransaction(
        [&](storage::Transaction& transaction) {
          return transaction.BulkInsert("entries", columns, rows).status();
        },
        storage::Isolation::kReadCommitted));
    taken += absl::Now() - begin;
    copied += kRows;
  }
  return static_cast<double>(copied) / absl::ToDoubleSeconds(taken);
}

Result Report(const std::string& name, const Measured& measured) {
  Result result = FromLoad(name, "entries/s", measured.load, kBatch);
  result.note = absl::StrFormat(
      "batches of %d, %d in flight, deduplicated; %s; answered when durable: %d WAL "
      "synchronisations for %d entries, warm-up included",
      kBatch, kInFlight, kPostgresSettings, measured.wal_syncs, measured.appended);
  return result;
}

absl::StatusOr<Result> AppendOne(Environment& environment) {
  ASSIGN_OR_RETURN(const Measured measured, RunLedgers(environment, "postgres", 1));
  Result result = Report("ledger-append-postgres", measured);
  result.baseline = "binary COPY";
  ASSIGN_OR_RETURN(result.baseline_value, CopyRate(environment));
  return result;
}

absl::StatusOr<Result> AppendTwo(Environment& environment) {
  ASSIGN_OR_RETURN(const Measured one, RunLedgers(environment, "postgres-alone", 1));
  ASSIGN_OR_RETURN(const Measured two, RunLedgers(environment, "postgres-shared", 2));
  Result result = Report("ledger-append-postgres-2", two);
  result.baseline = "one ledger";
  result.baseline_value = one.load.PerSecond() * kBatch;
  return result;
}

}  // namespace

std::vector<Benchmark> PostgresBenchmarks() {
  return {
      {"ledger-append-postgres", "such batches into a log on PostgreSQL", AppendOne},
      {"ledger-append-postgres-2", "such batches by two ledgers that share the log", AppendTwo}};
}

}  // namespace countersign::bench
