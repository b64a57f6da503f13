// A bounded in-memory cache: sharded, least recently used out first, entries optionally aged out.
#ifndef COUNTERSIGN_LIBS_CACHE_LRU_CACHE_H_
#define COUNTERSIGN_LIBS_CACHE_LRU_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace countersign::cache {

// Maps Key to Value; Value is copied out, so make it cheap to copy (a shared_ptr, a bool). Key
// needs equality and absl's hash. Thread-safe: each of the shards has a lock of its own.
template <typename Key, typename Value>
class LruCache {
 public:
  struct Options {
    // The sum of the costs that the cache holds at most, in whatever unit Put's `cost` counts
    // (entries, bytes). An entry dearer than a shard's part of it is not kept.
    uint64_t capacity = 1024;
    // An entry older than this is gone. Infinite: entries do not age.
    absl::Duration ttl = absl::InfiniteDuration();
    const base::Clock* clock = base::Clock::System();
    // One shard keeps strict global order of eviction; more let threads pass each other.
    int shards = 16;
  };

  struct Stats {
    uint64_t hits = 0;
    uint64_t misses = 0;
    uint64_t evictions = 0;
  };

  explicit LruCache(const Options& options)
      : options_(options),
        shard_capacity_(options.capacity / static_cast<uint64_t>(options.shards)),
        shards_(static_cast<size_t>(options.shards)) {}

  LruCache(const LruCache&) = delete;
  LruCache& operator=(const LruCache&) = delete;

  // The value of `key`, now the most recently used one, or nothing.
  std::optional<Value> Get(const Key& key) {
    Shard& shard = ShardOf(key);
    base::MutexLock lock(&shard.mutex);
    const auto it = shard.map.find(key);
    if (it != shard.map.end() && !Aged(*it->second)) {
      shard.order.splice(shard.order.begin(), shard.order, it->second);
      hits_.fetch_add(1, std::memory_order_relaxed);
      return it->second->value;
    }
    if (it != shard.map.end()) Remove(&shard, it);
    misses_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }

  // Sets the value of `key`, evicting the least recently used entries of its shard to make room.
  void Put(const Key& key, Value value, uint64_t cost = 1) {
    Shard& shard = ShardOf(key);
    base::MutexLock lock(&shard.mutex);
    if (const auto it = shard.map.find(key); it != shard.map.end()) Remove(&shard, it);
    if (cost > shard_capacity_) return;
    while (shard.cost + cost > shard_capacity_) {
      Remove(&shard, shard.map.find(shard.order.back().key));
      evictions_.fetch_add(1, std::memory_order_relaxed);
    }
    const absl::Time expires = options_.ttl == absl::InfiniteDuration()
                                   ? absl::InfiniteFuture()
                                   : options_.clock->Now() + options_.ttl;
    shard.order.push_front(Entry{key, std::move(value), cost, expires});
    shard.map.emplace(key, shard.order.begin());
    shard.cost += cost;
  }

  // Forgets `key`, when it is there.
  void Erase(const Key& key) {
    Shard& shard = ShardOf(key);
    base::MutexLock lock(&shard.mutex);
    if (const auto it = shard.map.find(key); it != shard.map.end()) Remove(&shard, it);
  }

  void Clear() {
    for (Shard& shard : shards_) {
      base::MutexLock lock(&shard.mutex);
      shard.map.clear();
      shard.order.clear();
      shard.cost = 0;
    }
  }

  Stats stats() const {
    return {hits_.load(std::memory_order_relaxed), misses_.load(std::memory_order_relaxed),
            evictions_.load(std::memory_order_relaxed)};
  }

 private:
  struct Entry {
    Key key;
    Value value;
    uint64_t cost;
    absl::Time expires;
  };
  using Order = std::list<Entry>;
  using Map = absl::flat_hash_map<Key, typename Order::iterator>;

  struct Shard {
    base::Mutex mutex;
    Order order ABSL_GUARDED_BY(mutex);  // most recently used first
    Map map ABSL_GUARDED_BY(mutex);
    uint64_t cost ABSL_GUARDED_BY(mutex) = 0;
  };

  Shard& ShardOf(const Key& key) {
    // The map takes the low bits of the same hash, so shards go by the high ones.
    return shards_[(absl::Hash<Key>()(key) >> 32) % shards_.size()];
  }

  bool Aged(const Entry& entry) const {
    return entry.expires != absl::InfiniteFuture() && options_.clock->Now() >= entry.expires;
  }

  void Remove(Shard* shard, typename Map::iterator it) ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard->mutex) {
    const typename Order::iterator entry = it->second;
    shard->cost -= entry->cost;
    shard->map.erase(it);
    shard->order.erase(entry);
  }

  const Options options_;
  const uint64_t shard_capacity_;
  std::vector<Shard> shards_;
  std::atomic<uint64_t> hits_{0};
  std::atomic<uint64_t> misses_{0};
  std::atomic<uint64_t> evictions_{0};
};

}  // namespace countersign::cache

#endif  // COUNTERSIGN_LIBS_CACHE_LRU_CACHE_H_
