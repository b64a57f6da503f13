// Work on many items at once, taken up in order.
#ifndef COUNTERSIGN_LIBS_TLOG_ORDERED_PARALLEL_H_
#define COUNTERSIGN_LIBS_TLOG_ORDERED_PARALLEL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/mutex.h"
#include "libs/base/thread_pool.h"

namespace countersign::tlog {

// Calls produce(i) on the pool for i in [begin, end), at most `window` of them ahead, and
// consume(i, result) on the calling thread in the order of i. Ends at the first error in that order
// and returns it: whatever the threads do, it is the one that a loop would have met. When it
// returns, no call is under way.
template <typename T>
absl::Status OrderedParallel(base::ThreadPool* pool, uint64_t begin, uint64_t end, size_t window,
                             const std::function<absl::StatusOr<T>(uint64_t)>& produce,
                             const std::function<absl::Status(uint64_t, T)>& consume) {
  base::Mutex mutex;
  base::CondVar ready;
  std::deque<std::optional<absl::StatusOr<T>>> results;  // guarded by mutex; of next - size() on
  bool stopped = false;                                  // guarded by mutex
  absl::Status status;
  uint64_t next = begin;
  while (true) {
    while (status.ok() && next < end && next - begin < window) {
      std::optional<absl::StatusOr<T>>* slot;
      {
        base::MutexLock lock(&mutex);
        slot = &results.emplace_back();
      }
      pool->Schedule([&, slot, i = next] {
        bool skip;
        {
          base::MutexLock lock(&mutex);
          skip = stopped;
        }
        absl::StatusOr<T> result =
            skip ? absl::StatusOr<T>(absl::CancelledError("not needed any more")) : produce(i);
        base::MutexLock lock(&mutex);
        *slot = std::move(result);
        ready.NotifyAll();
      });
      ++next;
    }
    std::optional<absl::StatusOr<T>> result;
    {
      base::MutexLock lock(&mutex);
      if (results.empty()) return status;
      ready.Wait(&mutex, [&] { return results.front().has_value(); });
      result = std::move(results.front());
      results.pop_front();
    }
    if (status.ok()) {
      status = result->ok() ? consume(begin, **std::move(result)) : result->status();
      if (!status.ok()) {
        base::MutexLock lock(&mutex);
        stopped = true;
      }
    }
    ++begin;
  }
}

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_ORDERED_PARALLEL_H_
