// The map from leaf hash to sequence number, by which the same entry always gets the same index.
#ifndef COUNTERSIGN_SERVICES_LEDGER_DEDUP_INDEX_H_
#define COUNTERSIGN_SERVICES_LEDGER_DEDUP_INDEX_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"

namespace rocksdb {
class DB;
}  // namespace rocksdb

namespace countersign::ledger {

// Keys are whole 256-bit leaf hashes: a shortened key could be made to collide, and an entry would
// be acknowledged that is not in the log.
//
// Derived from the journal, so its writes are not logged: after a crash it is as it was at some
// earlier moment, replay_from() says which, and the caller inserts everything from there on again.
// Thread-safe.
class DedupIndex {
 public:
  struct Item {
    merkle::Hash leaf_hash;
    uint64_t index;
  };

  // Opens or makes the index in `directory`. One that cannot be opened because it is damaged is
  // deleted and begun anew, empty; DataLoss when damage shows later: deleting the folder makes the
  // next start rebuild it from the log.
  static absl::StatusOr<std::unique_ptr<DedupIndex>> Open(const std::string& directory);

  ~DedupIndex();
  DedupIndex(const DedupIndex&) = delete;
  DedupIndex& operator=(const DedupIndex&) = delete;

  // The index of each hash, or nothing where it is new.
  absl::StatusOr<std::vector<std::optional<uint64_t>>> Find(
      absl::Span<const merkle::Hash> leaf_hashes) const;

  // Adds `items`; every entry below `next_index` is then known.
  absl::Status Insert(absl::Span<const Item> items, uint64_t next_index);

  // Makes all that was inserted so far durable.
  absl::Status Flush();

  // As of Open: every entry below this index was in it.
  uint64_t replay_from() const { return replay_from_; }

 private:
  DedupIndex(std::unique_ptr<rocksdb::DB> db, uint64_t replay_from);

  std::unique_ptr<rocksdb::DB> db_;
  uint64_t replay_from_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_DEDUP_INDEX_H_
