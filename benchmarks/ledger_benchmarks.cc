#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::ledger::v1;

constexpr char kLog[] = "tenants/default/logs/main";
constexpr char kSyncs[] = "countersign_ledger_syncs_total";
constexpr size_t kEntryBytes = 256;
constexpr int kBatch = 1024;

// An entry that the log does not have.
std::string FreshEntry() {
  static std::atomic<uint64_t> counter{0};
  std::string entry(kEntryBytes - 8, 'e');
  base::AppendU64(&entry, counter.fetch_add(1));
  return entry;
}

std::string DurabilityNote(double syncs, double entries) {
  return absl::StrFormat(
      "answered when durable: %.0f journal fdatasyncs for %.0f entries, warm-up included", syncs,
      entries);
}

absl::StatusOr<Result> AppendUnary(Environment& environment, const std::string& name,
                                   int in_flight) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels("ledger"));
  ASSIGN_OR_RETURN(const double before, environment.Metric("ledger", kSyncs));
  std::atomic<uint64_t> appended{0};
  const LoadResult load =
      RunCalls<pb::LedgerService, pb::AppendEntryRequest, pb::AppendEntryResponse>(
          {.in_flight = in_flight, .length = environment.length()}, channels,
          [](auto* async, auto... arguments) { async->AppendEntry(arguments...); },
          [](int, pb::AppendEntryRequest* request) {
            request->set_log(kLog);
            request->set_entry(FreshEntry());
            request->set_wait(pb::WAIT_LEVEL_SEQUENCED);
          },
          [&](const pb::AppendEntryResponse& response) {
            appended.fetch_add(1);
            return !response.entry().duplicate();
          });
  ASSIGN_OR_RETURN(const double after, environment.Metric("ledger", kSyncs));
  Result result = FromLoad(name, "entries/s", load);
  result.note = DurabilityNote(after - before, static_cast<double>(appended.load()));
  return result;
}

absl::StatusOr<Result> AppendOne(Environment& environment) {
  ASSIGN_OR_RETURN(Result result, AppendUnary(environment, "ledger-append-one", 1));
  result.baseline = "fdatasync";
  ASSIGN_OR_RETURN(result.baseline_value, environment.SyncRate(kEntryBytes));
  return result;
}

absl::StatusOr<Result> AppendMany(Environment& environment) {
  ASSIGN_OR_RETURN(Result result, AppendUnary(environment, "ledger-append-unary", 256));
  result.baseline = "grpc-echo";
  ASSIGN_OR_RETURN(result.baseline_value, environment.EchoRate());
  return result;
}

absl::StatusOr<Result> AppendBatch(Environment& environment) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels("ledger"));
  ASSIGN_OR_RETURN(const double before, environment.Metric("ledger", kSyncs));
  std::atomic<uint64_t> appended{0};
  const LoadResult load =
      RunCalls<pb::LedgerService, pb::BatchAppendEntriesRequest, pb::BatchAppendEntriesResponse>(
          {.in_flight = 8, .length = environment.length()}, channels,
          [](auto* async, auto... arguments) { async->BatchAppendEntries(arguments...); },
          [](int, pb::BatchAppendEntriesRequest* request) {
            request->Clear();
            request->set_log(kLog);
            request->set_wait(pb::WAIT_LEVEL_SEQUENCED);
            for (int i = 0; i < kBatch; ++i) request->add_entries(FreshEntry());
          },
          [&](const pb::BatchAppendEntriesResponse& response) {
            appended.fetch_add(kBatch);
            return response.entries_size() == kBatch;
          });
  ASSIGN_OR_RETURN(const double after, environment.Metric("ledger", kSyncs));
  Result result = FromLoad("ledger-append-batch", "entries/s", load, kBatch);
  result.note = absl::StrCat("batches of ", kBatch, ", 8 in flight; ",
                             DurabilityNote(after - before, static_cast<double>(appended.load())));
  result.baseline = "write+fdatasync of a batch";
  ASSIGN_OR_RETURN(const double syncs, environment.SyncRate(kBatch * kEntryBytes));
  result.baseline_value = syncs * kBatch;
  return result;
}

}  // namespace

std::vector<Benchmark> LedgerBenchmarks() {
  return {{"ledger-append-one", "one client, one 256-byte entry a call", AppendOne},
          {"ledger-append-unary", "256 callers, one 256-byte entry a call", AppendMany},
          {"ledger-append-batch", "batches of 1,024 entries of 256 bytes", AppendBatch}};
}

}  // namespace countersign::bench
