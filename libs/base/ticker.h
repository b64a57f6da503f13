// Work that is done again and again on a thread of its own.
#ifndef COUNTERSIGN_LIBS_BASE_TICKER_H_
#define COUNTERSIGN_LIBS_BASE_TICKER_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/time/time.h"
#include "libs/base/mutex.h"

namespace countersign::base {

// Calls `work` at once and then `interval` after each call has ended. The destructor waits for a
// call under way, and no other begins.
class Ticker {
 public:
  Ticker(absl::Duration interval, std::function<void()> work)
      : interval_(interval), work_(std::move(work)), thread_([this] { Run(); }) {}

  ~Ticker() {
    {
      MutexLock lock(&mutex_);
      stopping_ = true;
    }
    stop_.NotifyAll();
    thread_.join();
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void Run() {
    while (true) {
      work_();
      MutexLock lock(&mutex_);
      if (stop_.WaitFor(&mutex_, interval_, [this] { return stopping_; })) return;
    }
  }

  const absl::Duration interval_;
  const std::function<void()> work_;
  Mutex mutex_;
  CondVar stop_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace countersign::base

#endif  // COUNTERSIGN_LIBS_BASE_TICKER_H_
