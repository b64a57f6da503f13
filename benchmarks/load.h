// Closed-loop load: a fixed number of operations in flight, each begun when one has ended.
#ifndef COUNTERSIGN_BENCHMARKS_LOAD_H_
#define COUNTERSIGN_BENCHMARKS_LOAD_H_

#include <cstdint>
#include <functional>

#include "absl/time/time.h"

namespace countersign::bench {

struct LoadOptions {
  int in_flight = 64;
  absl::Duration warm_up = absl::Milliseconds(500);  // not counted
  absl::Duration length = absl::Seconds(3);
};

struct LoadResult {
  uint64_t operations = 0;  // that ended well while it was counted
  uint64_t failures = 0;
  double seconds = 0;
  double p50_ms = 0;
  double p95_ms = 0;
  double p99_ms = 0;

  double PerSecond() const { return static_cast<double>(operations) / seconds; }
};

// Begins one operation on behalf of `slot` (0 … in_flight - 1); calls `done` once, from any thread,
// saying whether it ended well.
using Operation = std::function<void(int slot, std::function<void(bool ok)> done)>;

LoadResult RunLoad(const LoadOptions& options, const Operation& operation);

// Runs `work` on `threads` threads over and over for `length`; returns how often a second in all.
double RunThreads(int threads, absl::Duration length, const std::function<void(int thread)>& work);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_LOAD_H_
