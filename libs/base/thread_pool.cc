#include "libs/base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

namespace countersign::base {

ThreadPool::ThreadPool(int threads) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

ThreadPool::~ThreadPool() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::Schedule(std::function<void()> task) {
  {
    MutexLock lock(&mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.NotifyOne();
}

void ThreadPool::ParallelFor(int count, const std::function<void(int)>& fn) {
  // Shared with helpers that may start after this call has returned: they then find no index left
  // and touch nothing else, so `fn` need not outlive the call.
  struct State {
    std::atomic<int> next{0};
    Mutex mutex;
    CondVar done;
    int finished ABSL_GUARDED_BY(mutex) = 0;
  };
  auto state = std::make_shared<State>();
  const auto run = [state, count, &fn] {
    int finished = 0;
    for (int i; (i = state->next.fetch_add(1, std::memory_order_relaxed)) < count;) {
      fn(i);
      ++finished;
    }
    if (finished == 0) return;
    MutexLock lock(&state->mutex);
    state->finished += finished;
    if (state->finished == count) state->done.NotifyAll();
  };
  const int helpers = std::min(threads(), count - 1);
  for (int i = 0; i < helpers; ++i) Schedule(run);
  run();
  MutexLock lock(&state->mutex);
  while (state->finished < count) state->done.Wait(&state->mutex);
}

void ThreadPool::Work() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(&mutex_);
      while (tasks_.empty() && !stopping_) wake_.Wait(&mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace countersign::base
