#include "libs/base/thread_pool.h"

#include <atomic>
#include <vector>

#include "catch2/catch.hpp"

namespace countersign::base {
namespace {

TEST_CASE("The destructor runs everything that was scheduled") {
  std::atomic<int> ran{0};
  {
    ThreadPool pool(3);
    for (int i = 0; i < 1000; ++i) {
      pool.Schedule([&] { ran.fetch_add(1); });
    }
  }
  CHECK(ran.load() == 1000);
}

TEST_CASE("ParallelFor visits every index once, nested calls included") {
  ThreadPool pool(2);
  std::vector<std::atomic<int>> visits(64 * 64);
  pool.ParallelFor(64, [&](int i) {
    pool.ParallelFor(64, [&, i](int j) { visits[static_cast<size_t>(i * 64 + j)].fetch_add(1); });
  });
  for (const auto& visit : visits) REQUIRE(visit.load() == 1);
  pool.ParallelFor(0, [](int) { FAIL(); });
}

}  // namespace
}  // namespace countersign::base
