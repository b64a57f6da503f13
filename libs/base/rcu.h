// Read-copy-update: readers use shared data without waiting for anyone, while a writer replaces it
// and frees the old only when nobody can still be reading it.
//
//   base::Rcu rcu;
//   std::atomic<const Table*> table;
//
//   base::Rcu::ReadLock lock(&rcu);            // a reader
//   Use(*table.load());
//
//   const Table* old = table.exchange(fresh);  // a writer
//   rcu.Synchronize();
//   delete old;
#ifndef COUNTERSIGN_LIBS_BASE_RCU_H_
#define COUNTERSIGN_LIBS_BASE_RCU_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "libs/base/mutex.h"

namespace countersign::base {

// Thread-safe. Entering and leaving cost an atomic addition each, to a cache line that a thread
// shares with others only when there are more than kSlots of them.
//
// Pointers that readers follow are loaded and exchanged with the default, sequentially consistent
// order: that is what makes a reader either seen by Synchronize or see the new pointer.
class Rcu {
 public:
  Rcu() = default;
  Rcu(const Rcu&) = delete;
  Rcu& operator=(const Rcu&) = delete;

  // While it lives, what was reachable when it was made is not freed. May be nested; belongs to the
  // thread that made it. To be held for microseconds: Synchronize waits for it.
  class [[nodiscard]] ReadLock {
   public:
    explicit ReadLock(const Rcu* rcu) {
      const unsigned phase = rcu->phase_.load() & 1;
      readers_ = &rcu->slots_[ThreadSlot()].readers[phase];
      readers_->fetch_add(1);
    }
    ~ReadLock() { readers_->fetch_sub(1, std::memory_order_release); }
    ReadLock(const ReadLock&) = delete;
    ReadLock& operator=(const ReadLock&) = delete;

   private:
    std::atomic<int64_t>* readers_;
  };

  // Returns when every ReadLock that was there at the call has ended. Not to be called under one.
  void Synchronize() {
    MutexLock one_at_a_time(&mutex_);
    // New readers go to the other phase, so that waiting ends however many come. A reader may have
    // read the phase and joined only after it had changed, so that either may hold an old one: both
    // are waited for.
    for (int i = 0; i < 2; ++i) {
      const unsigned phase = phase_.fetch_add(1) & 1;
      for (const Slot& slot : slots_) {
        while (slot.readers[phase].load() != 0) std::this_thread::yield();
      }
    }
  }

 private:
  static constexpr size_t kSlots = 64;
  struct alignas(64) Slot {
    mutable std::array<std::atomic<int64_t>, 2> readers{};
  };

  static size_t ThreadSlot() {
    static std::atomic<size_t> next{0};
    thread_local const size_t slot = next.fetch_add(1, std::memory_order_relaxed) % kSlots;
    return slot;
  }

  std::array<Slot, kSlots> slots_;
  std::atomic<unsigned> phase_{0};
  // Makes phases change one after the other.
  Mutex mutex_;
};

}  // namespace countersign::base

#endif  // COUNTERSIGN_LIBS_BASE_RCU_H_
