// What an append costs as the log grows, and what a large log costs in memory and at a start.

#include <algorithm>
#include <atomic>
#include <iostream>
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
constexpr size_t kEntryBytes = 256;
constexpr int kBatch = 1024;
constexpr uint64_t kStart = 100'000;

// Appending at some size of the log.
struct Window {
  uint64_t size = 0;  // at its end
  LoadResult load;
};

absl::StatusOr<Window> AppendFor(Environment& environment, absl::Duration length,
                                 std::atomic<uint64_t>* next) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels(kName));
  Window window;
  window.load =
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
              base::AppendU64(entry, next->fetch_add(1));
            }
          },
          [](const pb::BatchAppendEntriesResponse& response) {
            return response.entries_size() == kBatch && !response.entries(0).duplicate();
          });
  window.size = next->load();
  return window;
}

// Entries a second over the windows that end within [from, to].
double RateWithin(const std::vector<Window>& windows, uint64_t from, uint64_t to) {
  double entries = 0;
  double seconds = 0;
  for (const Window& window : windows) {
    if (window.size < from || window.size > to) continue;
    entries += static_cast<double>(window.load.operations) * kBatch;
    seconds += window.load.seconds;
  }
  return seconds > 0 ? entries / seconds : 0;
}

absl::StatusOr<Result> Growth(Environment& environment) {
  const bool quick = environment.length() < absl::Seconds(5);
  const uint64_t target = quick ? 1'000'000 : 10'000'000;
  const std::vector<std::string> args = {"--max-message-bytes", absl::StrCat(64 << 20)};
  RETURN_IF_ERROR(environment.StartService(kName, "ledger", args).status());
  std::atomic<uint64_t> next{0};
  std::vector<Window> windows;
  double memory = 0;
  uint64_t failures = 0;
  uint64_t told = 0;
  while (next.load() < target) {
    ASSIGN_OR_RETURN(Window window, AppendFor(environment, absl::Seconds(1), &next));
    failures += window.load.failures;
    if (window.size / (target / 10) != told) {
      told = window.size / (target / 10);
      std::cerr << absl::StrFormat("    %d of %d entries, %.0f a second\n", window.size, target,
                                   window.load.PerSecond() * kBatch);
    }
    windows.push_back(std::move(window));
    ASSIGN_OR_RETURN(const double resident,
                     environment.Metric(kName, "process_resident_memory_bytes"));
    memory = std::max(memory, resident);
  }
  ASSIGN_OR_RETURN(const double syncs, environment.Metric(kName, "countersign_ledger_syncs_total"));
  RETURN_IF_ERROR(environment.StopService(kName));
  const absl::Time begin = absl::Now();
  RETURN_IF_ERROR(environment.StartService(kName, "ledger", args).status());
  const absl::Duration restart = absl::Now() - begin;
  RETURN_IF_ERROR(environment.StopService(kName));

  const uint64_t end = next.load();
  Result result = FromLoad(kName, "entries/s", windows.back().load, kBatch);
  result.failures = failures;
  result.baseline = absl::StrFormat("the same from %d entries on", kStart);
  result.baseline_value = RateWithin(windows, kStart, kStart + target / 5);
  result.value = RateWithin(windows, end - target / 5, end);
  result.note = absl::StrFormat(
      "to %d entries of %d bytes in batches of %d, deduplicated, each answered when durable: %.0f "
      "journal fdatasyncs; most memory %.0f MB; restart %.2f s",
      end, kEntryBytes, kBatch, syncs, memory / 1e6, absl::ToDoubleSeconds(restart));
  return result;
}

}  // namespace

std::vector<Benchmark> LedgerGrowthBenchmarks() {
  return {{kName, "appending to a log as it grows to 10,000,000 entries", Growth}};
}

}  // namespace countersign::bench
