// A fixed number of threads that run what they are given, in order of arrival.
#ifndef COUNTERSIGN_LIBS_BASE_THREAD_POOL_H_
#define COUNTERSIGN_LIBS_BASE_THREAD_POOL_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "libs/base/mutex.h"

namespace countersign::base {

// Thread-safe. The destructor runs what is still queued, then joins.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // `task` must not throw. It may Schedule further tasks.
  void Schedule(std::function<void()> task);

  // Runs fn(0) … fn(count - 1) on the pool and on the calling thread; returns when all have ended.
  // Safe to call from any thread, a pool thread included.
  void ParallelFor(int count, const std::function<void(int)>& fn);

  int threads() const { return static_cast<int>(threads_.size()); }

 private:
  void Work();

  Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace countersign::base

#endif  // COUNTERSIGN_LIBS_BASE_THREAD_POOL_H_
