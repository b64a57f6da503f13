#include "libs/cache/lru_cache.h"

#include <list>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"

namespace countersign::cache {
namespace {

using Cache = LruCache<int, std::string>;

TEST_CASE("The least recently used entry goes first") {
  Cache cache({.capacity = 3, .shards = 1});
  for (int key : {1, 2, 3}) cache.Put(key, std::to_string(key));
  CHECK(cache.Get(1) == "1");
  cache.Put(4, "4");
  CHECK(cache.Get(2) == std::nullopt);
  CHECK(cache.Get(1) == "1");
  CHECK(cache.Get(3) == "3");
  CHECK(cache.Get(4) == "4");
  CHECK(cache.stats().evictions == 1);
}

TEST_CASE("Costs are bounded, and what can never fit is not kept") {
  Cache cache({.capacity = 10, .shards = 1});
  cache.Put(1, "a", 6);
  cache.Put(2, "b", 6);
  CHECK(cache.Get(1) == std::nullopt);
  CHECK(cache.Get(2) == "b");
  cache.Put(2, "huge", 11);
  CHECK(cache.Get(2) == std::nullopt);
}

TEST_CASE("An entry is gone once it is as old as the time to live") {
  base::ManualClock clock(absl::UnixEpoch());
  Cache cache({.capacity = 10, .ttl = absl::Hours(1), .clock = &clock, .shards = 1});
  cache.Put(1, "a");
  clock.Advance(absl::Minutes(59));
  CHECK(cache.Get(1) == "a");
  clock.Advance(absl::Minutes(1));
  CHECK(cache.Get(1) == std::nullopt);
}

TEST_CASE("It behaves as a list kept in order of use") {
  Cache cache({.capacity = 8, .shards = 1});
  std::list<std::pair<int, std::string>> model;
  std::mt19937 random(7);
  const auto find = [&](int key) {
    auto it = model.begin();
    while (it != model.end() && it->first != key) ++it;
    return it;
  };
  for (int step = 0; step < 20000; ++step) {
    const int key = static_cast<int>(random() % 16);
    const auto it = find(key);
    switch (random() % 4) {
      case 0:
      case 1: {
        const auto got = cache.Get(key);
        REQUIRE(got.has_value() == (it != model.end()));
        if (it == model.end()) break;
        REQUIRE(*got == it->second);
        model.splice(model.begin(), model, it);
        break;
      }
      case 2:
        if (it != model.end()) model.erase(it);
        model.emplace_front(key, std::to_string(step));
        if (model.size() > 8) model.pop_back();
        cache.Put(key, std::to_string(step));
        break;
      default:
        if (it != model.end()) model.erase(it);
        cache.Erase(key);
    }
  }
}

TEST_CASE("Threads may share it") {
  Cache cache({.capacity = 64, .shards = 4});
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, &wrong, t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (int i = 0; i < 20000; ++i) {
        const int key = static_cast<int>(random() % 200);
        if (i % 3 == 0) cache.Put(key, std::to_string(key));
        const auto got = cache.Get(key);
        if (got.has_value() && *got != std::to_string(key)) wrong.fetch_add(1);
        if (i % 1000 == 0) cache.Clear();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong.load() == 0);
}

}  // namespace
}  // namespace countersign::cache
