// What an append costs as the log grows, and what a large log costs in memory and at a start.

#include <algorithm>
#include <atomic>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::ledger::v1;

constexpr char kName[] = "ledger-growth";
constexpr char kYoungName[] = "ledger-growth-young";  // a log that is still small
constexpr int kTurns = 6;
constexpr size_t kEntryBytes = 256;
constexpr int kBatch = 1024;
constexpr uint64_t kStart = 100'000;

// A log and what was appended to it.
struct Growing {
  std::string name;
  std::atomic<uint64_t> next{0};  // entries
  uint64_t failures = 0;
};

absl::StatusOr<LoadResult> AppendFor(Environment& environment, absl::Duration length,
                                     Growing* log) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels(log->name));
  LoadResult load =
      RunCalls<pb::LedgerService, pb::BatchAppendEntriesRequest, pb::BatchAppendEntriesResponse>(
          {.in_flight = 8, .warm_up = absl::ZeroDuration(), .length = length}, channels,
          [](auto* async, auto... arguments) { async->BatchAppendEntries(arguments...); },
          [&](int, pb::BatchAppendEntriesRequest* request) {
            request->Clear();
            request->set_log("tenants/default/logs/main");
            request->set_wait(pb::WAIT_LEVEL_SEQUENCED);
            for (int i = 0; i < kBatch; ++i) {
              std::string* entry = request->add_entries();
              entry->assign(kEntryBytes - 8, 'e');
              base::AppendU64(entry, log->next.fetch_add(1));
            }
          },
          [](const pb::BatchAppendEntriesResponse& response) {
            return response.entries_size() == kBatch && !response.entries(0).duplicate();
          });
  log->failures += load.failures;
  return load;
}

absl::Status GrowTo(Environment& environment, uint64_t size, Growing* log, double* most_memory) {
  uint64_t told = 0;
  while (log->next.load() < size) {
    ASSIGN_OR_RETURN(const LoadResult load, AppendFor(environment, absl::Seconds(1), log));
    if (const uint64_t tenth = log->next.load() / (size / 10); tenth != told && size > kStart) {
      told = tenth;
      std::cerr << absl::StrFormat("    %d of %d entries, %.0f a second\n", log->next.load(), size,
                                   load.PerSecond() * kBatch);
    }
    ASSIGN_OR_RETURN(const double resident,
                     environment.Metric(log->name, "process_resident_memory_bytes"));
    *most_memory = std::max(*most_memory, resident);
  }
  return absl::OkStatus();
}

// What appending cost while it was this log's turn.
struct Cost {
  double entries = 0;
  double seconds = 0;
  double cpu_seconds = 0;  // of the ledger
  LoadResult last;

  double PerSecond() const { return entries / seconds; }
  double CpuMicroseconds() const { return cpu_seconds * 1e6 / entries; }
};

absl::Status TakeTurn(Environment& environment, Growing* log, Cost* cost) {
  constexpr char kCpu[] = "process_cpu_seconds_total";
  ASSIGN_OR_RETURN(const double before, environment.Metric(log->name, kCpu));
  ASSIGN_OR_RETURN(cost->last, AppendFor(environment, absl::Seconds(2), log));
  ASSIGN_OR_RETURN(const double after, environment.Metric(log->name, kCpu));
  cost->entries += static_cast<double>(cost->last.operations) * kBatch;
  cost->seconds += cost->last.seconds;
  cost->cpu_seconds += after - before;
  return absl::OkStatus();
}

// The grown log and a young one by turns: what the machine does to both cancels out.
absl::StatusOr<Result> Growth(Environment& environment) {
  const bool quick = environment.length() < absl::Seconds(5);
  const uint64_t target = quick ? 1'000'000 : 10'000'000;
  const std::vector<std::string> args = {"--max-message-bytes", absl::StrCat(64 << 20)};
  Growing grown{kName};
  Growing young{kYoungName};
  double memory = 0;
  double unused = 0;
  RETURN_IF_ERROR(environment.StartService(kName, "ledger", args).status());
  RETURN_IF_ERROR(GrowTo(environment, target, &grown, &memory));
  RETURN_IF_ERROR(environment.StartService(kYoungName, "ledger", args).status());
  RETURN_IF_ERROR(GrowTo(environment, kStart, &young, &unused));
  Cost old_cost;
  Cost young_cost;
  for (int turn = 0; turn < kTurns; ++turn) {
    RETURN_IF_ERROR(TakeTurn(environment, &young, &young_cost));
    RETURN_IF_ERROR(TakeTurn(environment, &grown, &old_cost));
  }
  ASSIGN_OR_RETURN(const double syncs, environment.Metric(kName, "countersign_ledger_syncs_total"));
  RETURN_IF_ERROR(environment.StopService(kYoungName));
  RETURN_IF_ERROR(environment.StopService(kName));
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(environment.StartService(kName, "ledger", args).status());
  const absl::Duration restart = absl::Now() - begin;
  RETURN_IF_ERROR(environment.StopService(kName));

  Result result = FromLoad(kName, "entries/s", old_cost.last, kBatch);
  result.failures = grown.failures + young.failures;
  result.value = old_cost.PerSecond();
  result.baseline = absl::StrFormat("a log from %d entries on", kStart);
  result.baseline_value = young_cost.PerSecond();
  result.note = absl::StrFormat(
      "from %d entries of %d bytes on, in batches of %d, deduplicated, each answered when durable "
      "(%.0f journal fdatasyncs for %d); %d turns each; processor us an entry %.1f, of the small "
      "log %.1f; most memory %.0f MB; restart %.2f s",
      target, kEntryBytes, kBatch, syncs, grown.next.load(), kTurns, old_cost.CpuMicroseconds(),
      young_cost.CpuMicroseconds(), memory / 1e6, absl::ToDoubleSeconds(restart));
  return result;
}

}  // namespace

std::vector<Benchmark> LedgerGrowthBenchmarks() {
  return {{kName, "appending to a log as it grows to 10,000,000 entries", Growth}};
}

}  // namespace countersign::bench
