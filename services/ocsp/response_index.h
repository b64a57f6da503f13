// All OCSP records in memory, found by certificate without a lock.
#ifndef COUNTERSIGN_SERVICES_OCSP_RESPONSE_INDEX_H_
#define COUNTERSIGN_SERVICES_OCSP_RESPONSE_INDEX_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/base/mutex.h"
#include "libs/base/rcu.h"

namespace countersign::ocsp {

// Thread-safe. Records (libs/pki/ocsp_record.h) are kept by authority and serial number, one copy
// of each: 1 million take about 240 MB.
//
// There are kShards parts, by a hash of the key. A part is a generation: an open-addressing table
// of 64-bit slots, each 16 bits of hash and the place of an entry in an arena that is only ever
// appended to. Writing publishes a whole entry by one atomic store. What needs room or rewrites
// many records builds a new generation beside the old one and swaps one pointer; readers use the
// old until they are through (base::Rcu). A reader so finds each certificate's old record or its
// new one, never none and never half of one.
class ResponseIndex {
 public:
  static constexpr size_t kShards = 64;

  // A certificate's record as it shall be.
  struct Change {
    int64_t authority_id = 0;
    absl::string_view record;
  };

  // `rcu`, under whose locks readers use it, must outlive it.
  explicit ResponseIndex(base::Rcu* rcu);
  ~ResponseIndex();
  ResponseIndex(const ResponseIndex&) = delete;
  ResponseIndex& operator=(const ResponseIndex&) = delete;

  // The packed record; empty when there is none. Valid while `lock`, on the index's Rcu, lives.
  // Neither allocates nor waits.
  absl::string_view Find(const base::Rcu::ReadLock& lock, int64_t authority_id,
                         absl::string_view serial) const;

  // Makes room for about so many records at once, to spare a bulk load the growing. Keeps what is
  // there; does nothing to a shard that has room. Not to be called under a ReadLock.
  void Reserve(size_t records);

  // Puts records in, in order, in place of the ones that are there. Returns how many were malformed
  // and left out. Not to be called under a ReadLock.
  int64_t Apply(absl::Span<const Change> changes);

  enum class Verdict { kKeep, kReplace, kDrop };
  // Decides about one record; `*replacement`, empty at the call, is the packed record that comes in
  // its place.
  using Decide = absl::FunctionRef<Verdict(int64_t authority_id, absl::string_view record,
                                           std::string* replacement)>;
  // Decides about every record of a shard and swaps the outcome in, all at once. What Apply changes
  // meanwhile stays as Apply put it. Different shards may be rewritten at the same time; of one,
  // one after the other. Not to be called under a ReadLock.
  void Rewrite(size_t shard, Decide decide);

  // When the first of a shard's records has lived half of its life, in seconds since 1970;
  // INT64_MAX without records. Too early when that record was replaced since the last Rewrite.
  int64_t EarliestHalfLife(size_t shard) const;

  int64_t size() const;
  // Bytes of tables and arenas.
  int64_t memory_bytes() const;

 private:
  class Generation;
  struct Shard {
    std::atomic<const Generation*> current{nullptr};
    std::atomic<int64_t> earliest_half_life{INT64_MAX};
    std::atomic<int64_t> size{0};
    std::atomic<int64_t> memory_bytes{0};
    // Serialises writers; guards what `current` points to against other writers.
    base::Mutex mutex;
    std::shared_ptr<Generation> owned ABSL_GUARDED_BY(mutex);
    // Of a Rewrite under way: what was applied since it began.
    bool rewriting ABSL_GUARDED_BY(mutex) = false;
    std::vector<std::pair<int64_t, std::string>> meanwhile ABSL_GUARDED_BY(mutex);
    // Makes Rewrites follow one another.
    base::Mutex rewrite_mutex;
  };

  // Puts all of `from` into `*to`, which has room.
  static void Copy(const Generation& from, Generation* to);
  // Puts a record into the shard's generation, or into a larger one; `*replaced` is then the old
  // one. False when the record is malformed.
  bool Put(Shard* shard, size_t hash, const Change& change, std::shared_ptr<Generation>* replaced)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard->mutex);
  // Makes `fresh` current; returns what it replaced, to be released after Synchronize.
  std::shared_ptr<Generation> Swap(Shard* shard, std::shared_ptr<Generation> fresh)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(shard->mutex);

  base::Rcu* const rcu_;
  std::array<Shard, kShards> shards_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_RESPONSE_INDEX_H_
