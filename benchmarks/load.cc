#include "benchmarks/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"

namespace countersign::bench {
namespace {

using Steady = std::chrono::steady_clock;

double Milliseconds(Steady::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double Percentile(std::vector<float>* values, double part) {
  if (values->empty()) return 0;
  const auto at =
      values->begin() + static_cast<ptrdiff_t>(part * static_cast<double>(values->size() - 1));
  std::nth_element(values->begin(), at, values->end());
  return *at;
}

// The state of one run; lives until the last operation has ended.
class Run {
 public:
  Run(const LoadOptions& options, const Operation& operation)
      : operation_(operation),
        counted_from_(Steady::now() + absl::ToChronoNanoseconds(options.warm_up)),
        until_(counted_from_ + absl::ToChronoNanoseconds(options.length)),
        slots_(static_cast<size_t>(options.in_flight)),
        active_(options.in_flight) {}

  LoadResult Go() {
    for (size_t i = 0; i < slots_.size(); ++i) Begin(static_cast<int>(i));
    {
      base::MutexLock lock(&mutex_);
      while (active_ > 0) ended_.Wait(&mutex_);
    }
    LoadResult result;
    std::vector<float> latencies;
    for (const Slot& slot : slots_) {
      result.failures += slot.failures;
      latencies.insert(latencies.end(), slot.latencies_ms.begin(), slot.latencies_ms.end());
    }
    result.operations = latencies.size();
    result.seconds = std::chrono::duration<double>(until_ - counted_from_).count();
    result.p50_ms = Percentile(&latencies, 0.50);
    result.p95_ms = Percentile(&latencies, 0.95);
    result.p99_ms = Percentile(&latencies, 0.99);
    return result;
  }

 private:
  // Touched by one operation at a time.
  struct Slot {
    Steady::time_point begun;
    std::vector<float> latencies_ms;
    uint64_t failures = 0;
  };

  void Begin(int index) {
    slots_[static_cast<size_t>(index)].begun = Steady::now();
    operation_(index, [this, index](bool ok) { End(index, ok); });
  }

  void End(int index, bool ok) {
    Slot& slot = slots_[static_cast<size_t>(index)];
    const Steady::time_point now = Steady::now();
    if (!ok) {
      ++slot.failures;
    } else if (now >= counted_from_ && now < until_) {
      slot.latencies_ms.push_back(static_cast<float>(Milliseconds(now - slot.begun)));
    }
    if (now < until_) return Begin(index);
    base::MutexLock lock(&mutex_);
    if (--active_ == 0) ended_.NotifyAll();
  }

  const Operation& operation_;
  const Steady::time_point counted_from_;
  const Steady::time_point until_;
  std::vector<Slot> slots_;
  base::Mutex mutex_;
  base::CondVar ended_;
  int active_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

LoadResult RunLoad(const LoadOptions& options, const Operation& operation) {
  return Run(options, operation).Go();
}

double RunThreads(int threads, absl::Duration length, const std::function<void(int)>& work) {
  const Steady::time_point begin = Steady::now();
  const Steady::time_point until = begin + absl::ToChronoNanoseconds(length);
  std::atomic<uint64_t> count{0};
  std::vector<std::thread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      uint64_t mine = 0;
      for (; Steady::now() < until; ++mine) work(t);
      count.fetch_add(mine);
    });
  }
  for (std::thread& worker : workers) worker.join();
  return static_cast<double>(count.load()) /
         std::chrono::duration<double>(Steady::now() - begin).count();
}

}  // namespace countersign::bench
