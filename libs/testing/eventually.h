// Waiting for what another thread or process does, in tests.
#ifndef COUNTERSIGN_LIBS_TESTING_EVENTUALLY_H_
#define COUNTERSIGN_LIBS_TESTING_EVENTUALLY_H_

#include <chrono>
#include <thread>

namespace countersign::testing {

// Returns true as soon as `condition()` is, and false when it still is not after `seconds`: long
// enough for a slow machine, since only a failing test waits that long.
template <typename Condition>
bool Eventually(Condition condition, int seconds = 60) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_EVENTUALLY_H_
