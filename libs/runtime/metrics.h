// Counters, gauges and histograms, and their Prometheus text exposition.
//
// Updating one is a relaxed atomic addition to a shard of the calling thread: no lock, no look-up.
// Names follow countersign_<component>_<noun>_<unit>[_total]; labels never hold tenants, keys or
// serial numbers, whose number has no bound.
#ifndef COUNTERSIGN_LIBS_RUNTIME_METRICS_H_
#define COUNTERSIGN_LIBS_RUNTIME_METRICS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "libs/base/mutex.h"

namespace countersign::runtime {

// In the order they are shown.
using Labels = std::vector<std::pair<std::string, std::string>>;

// A sum over per-thread shards. Thread-safe.
class Counter {
 public:
  Counter() = default;
  Counter(const Counter&) = delete;
  Counter& operator=(const Counter&) = delete;

  void Increment(uint64_t by = 1);
  uint64_t Value() const;

 private:
  friend class Histogram;
  static constexpr size_t kShards = 8;
  struct alignas(64) Shard {
    std::atomic<uint64_t> value{0};
  };
  // The calling thread's shard, the same for its whole life.
  static size_t ThreadShard();

  std::array<Shard, kShards> shards_;
};

// Thread-safe.
class Gauge {
 public:
  Gauge() = default;
  Gauge(const Gauge&) = delete;
  Gauge& operator=(const Gauge&) = delete;

  void Set(double value) { value_.store(value, std::memory_order_relaxed); }
  void Add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double Value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

// Thread-safe. A snapshot taken while others observe may lack the newest observations, but its
// buckets and its count agree.
class Histogram {
 public:
  struct Snapshot {
    std::vector<uint64_t> cumulative;  // one a bound, then +Inf, which is the count
    double sum = 0;
  };

  // `bounds` are upper limits, ascending, +Inf left out; at most 31.
  explicit Histogram(std::vector<double> bounds);
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  void Observe(double value);
  Snapshot Take() const;
  const std::vector<double>& bounds() const { return bounds_; }

 private:
  static constexpr size_t kMaxBuckets = 32;
  struct alignas(64) Shard {
    std::array<std::atomic<uint64_t>, kMaxBuckets> buckets{};
    std::atomic<double> sum{0};
  };

  const std::vector<double> bounds_;
  std::array<Shard, Counter::kShards> shards_;
};

// Seconds from 0.25 ms to 10 s: for the duration of a call.
std::vector<double> LatencyBounds();
// 1, 2, 4 … 2^(count-1): for batch sizes and queue lengths.
std::vector<double> PowersOfTwo(int count);

// A process's metrics. Thread-safe. The handles it returns live as long as it does; asking again
// for the same name and labels gives the same handle. A name that is not Prometheus's
// [a-zA-Z_:][a-zA-Z0-9_:]*, or that exists as another kind, ends the process: it is a mistake in
// the code, found by the first start.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  Counter* AddCounter(absl::string_view name, absl::string_view help, Labels labels = {});
  Gauge* AddGauge(absl::string_view name, absl::string_view help, Labels labels = {});
  Histogram* AddHistogram(absl::string_view name, absl::string_view help,
                          std::vector<double> bounds, Labels labels = {});
  // `read` is called at each scrape, from any thread, until this object is destroyed.
  void AddGaugeFunction(absl::string_view name, absl::string_view help,
                        std::function<double()> read, Labels labels = {});
  void AddCounterFunction(absl::string_view name, absl::string_view help,
                          std::function<double()> read, Labels labels = {});

  // process_cpu_seconds_total, process_resident_memory_bytes, process_virtual_memory_bytes,
  // process_open_fds, process_max_fds, process_start_time_seconds, process_threads and
  // build_info{service,version} = 1.
  void AddProcessMetrics(absl::string_view service, absl::string_view version);

  // Prometheus text format 0.0.4; families in order of name.
  std::string Expose() const;

 private:
  enum class Kind { kCounter, kGauge, kHistogram };
  struct Series;
  struct Family;

  Series* FindOrAdd(absl::string_view name, absl::string_view help, Kind kind, Labels labels)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable base::Mutex mutex_;
  std::map<std::string, std::unique_ptr<Family>> families_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_METRICS_H_
