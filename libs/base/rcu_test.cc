#include "libs/base/rcu.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"

namespace countersign::base {
namespace {

TEST_CASE("Synchronize waits for a reader that was there before, and for no later one") {
  Rcu rcu;
  std::atomic<bool> synchronised{false};
  std::atomic<bool> inside{false};
  std::atomic<bool> leave{false};
  std::atomic<bool> seen_early{false};
  std::thread reader([&] {
    {
      const Rcu::ReadLock lock(&rcu);
      inside = true;
      while (!leave) std::this_thread::yield();
      seen_early = synchronised.load();
    }
  });
  while (!inside) std::this_thread::yield();
  std::thread writer([&] {
    rcu.Synchronize();
    synchronised = true;
  });
  // Readers that come and go do not end the wait.
  for (int i = 0; i < 1000; ++i) {
    const Rcu::ReadLock lock(&rcu);
    CHECK_FALSE(synchronised);
  }
  leave = true;
  writer.join();
  reader.join();
  CHECK_FALSE(seen_early);
}

TEST_CASE("Without readers Synchronize returns, also under nested locks that have ended") {
  Rcu rcu;
  {
    const Rcu::ReadLock outer(&rcu);
    const Rcu::ReadLock inner(&rcu);
  }
  rcu.Synchronize();
  rcu.Synchronize();
}

// What was freed is marked before: a reader that sees the mark used it too late. (AddressSanitizer
// and ThreadSanitizer see it as well.)
TEST_CASE("Nothing is freed under a reader, however often it is replaced") {
  struct Thing {
    std::atomic<bool> alive{true};
    int64_t value = 0;
  };
  Rcu rcu;
  std::atomic<Thing*> current{new Thing};
  std::atomic<bool> stop{false};
  std::atomic<int64_t> dead{0};
  std::atomic<int64_t> backwards{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([&] {
      int64_t last = 0;
      while (!stop) {
        const Rcu::ReadLock lock(&rcu);
        const Thing* const thing = current.load();
        if (thing->value < last) ++backwards;
        last = thing->value;
        if (!thing->alive) ++dead;
      }
    });
  }
  std::vector<std::thread> writers;
  std::atomic<int64_t> next{0};
  Mutex order;
  for (int i = 0; i < 2; ++i) {
    writers.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) {
        std::unique_ptr<Thing> old;
        {
          MutexLock lock(&order);
          auto fresh = std::make_unique<Thing>();
          fresh->value = ++next;
          old.reset(current.exchange(fresh.release()));
        }
        rcu.Synchronize();
        old->alive = false;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  stop = true;
  for (std::thread& reader : readers) reader.join();
  delete current.load();
  CHECK(dead == 0);
  CHECK(backwards == 0);
  CHECK(next == 2000);
}

}  // namespace
}  // namespace countersign::base
