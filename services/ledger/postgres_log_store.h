// LogStore on a PostgreSQL database, to whose log any number of ledgers may append at once. Its
// tables: FORMAT.md.
#ifndef COUNTERSIGN_SERVICES_LEDGER_POSTGRES_LOG_STORE_H_
#define COUNTERSIGN_SERVICES_LEDGER_POSTGRES_LOG_STORE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/cache/lru_cache.h"
#include "libs/storage/database.h"
#include "services/ledger/edge.h"
#include "services/ledger/log_store.h"
#include "services/ledger/postgres_schema.h"
#include "services/ledger/tile_reader.h"

namespace countersign::ledger {

// How no two ledgers fork a log: whoever appends locks the log's head row, takes in what others
// have appended, inserts entries and the tiles that they fill, moves the head and commits, all in
// one transaction. A ledger that dies or hangs before the commit has done nothing, and its lock
// goes with its connection.
//
// When the connection is lost while a commit is under way, Sequence connects again, waits for the
// head and looks whether the entries are there; only when the database stays away for
// `retry_timeout` does it answer Unavailable without knowing. To append the same again is then
// safe with deduplication, which finds them; without it they may be in the log twice.
class PostgresLogStore : public LogStore {
 public:
  struct Options {
    std::shared_ptr<storage::Database> database;
    std::string name;    // tenants/{tenant}/logs/{log}
    std::string origin;  // the checkpoints' first line
    bool deduplicate = true;
    uint64_t tile_cache_bytes = 128 << 20;
    // How long Sequence goes on trying while the database is away.
    absl::Duration retry_timeout = absl::Seconds(10);
    // Integrate asks the database what others have done when it knows of nothing new itself, and
    // after this long in any case.
    absl::Duration refresh_interval = absl::Milliseconds(250);
    Tablespaces tablespaces;
    const base::Clock* clock = base::Clock::System();
  };

  // Makes the tables and the log when they are not there. FailedPrecondition when the log has
  // another origin; AlreadyExists when another log has this one; DataLoss, naming the table, when
  // entries or tiles do not have the root that the head row records.
  static absl::StatusOr<std::unique_ptr<PostgresLogStore>> Open(const Options& options);

  absl::StatusOr<std::vector<Placement>> Sequence(absl::Span<const NewEntry> entries) override;
  absl::Status Freeze() override;
  absl::StatusOr<TreeHead> Integrate() override;
  absl::Status Publish(const TreeHead& head, absl::string_view checkpoint,
                       absl::Time time) override;
  bool shared() const override { return true; }
  bool frozen() const override { return frozen_; }
  SharedBytes PublishedCheckpoint() const override;
  absl::Time PublishTime() const override;
  // Without deduplication too: the lowest index.
  absl::StatusOr<std::optional<uint64_t>> Find(const merkle::Hash& leaf_hash) const override;
  absl::StatusOr<std::vector<merkle::Hash>> ReadNodes(
      absl::Span<const merkle::NodeId> nodes) const override;
  absl::StatusOr<SharedBytes> ReadTile(const merkle::TileId& tile) const override;
  absl::StatusOr<SharedBytes> ReadEntryBundle(uint64_t bundle, uint32_t width) const override;

  // Commits that wrote something: one a Sequence call that had something new, Freeze or Publish.
  uint64_t synchronisations() const override { return synchronisations_; }

 private:
  // A state of the log: its edge, and when its newest entry was appended (microseconds).
  struct Tip {
    std::shared_ptr<const Edge> edge;
    int64_t last_timestamp = 0;
  };
  // What the head row says.
  struct Head {
    TreeHead tree;
    int64_t last_timestamp = 0;
    bool frozen = false;
  };
  // What a Sequence call appends, without repetitions.
  struct Batch;
  // A try at appending it.
  struct Attempt;
  // The newest entries of a bundle that were read.
  struct Bundle {
    SharedBytes bytes;
    uint32_t width = 0;
  };

  explicit PostgresLogStore(const Options& options);

  absl::Status FindLog();
  absl::StatusOr<Head> ParseHead(const storage::Rows& rows) const;
  Tip tip() const;
  void Adopt(const Tip& tip);
  void AdoptPublished(const storage::Row& row);
  absl::Status Refresh();
  absl::StatusOr<Tip> CatchUp(storage::Transaction& transaction, const Tip& known, const Head& head,
                              const storage::Row& new_hashes) const;
  absl::StatusOr<Edge> ReadEdge(storage::Transaction& transaction, uint64_t size) const;
  // How far behind a known tip may be for CatchUp to go by the leaf hashes that are new, and the
  // parameters that read them.
  static int64_t MaxCatchUp(const Tip& known);
  std::array<storage::Value, 4> NewHashesSince(const Tip& known) const;
  Batch MakeBatch(absl::Span<const NewEntry> entries) const;
  static std::vector<Placement> Placements(const Batch& batch, const Attempt& attempt);
  absl::Status Append(storage::Transaction& transaction, const Batch& batch,
                      Attempt* attempt) const;
  absl::Status Insert(storage::Transaction& transaction, const Batch& batch,
                      Attempt* attempt) const;
  // Rows that once written never change: from a replica, or when that has less than `count` of them
  // from the primary.
  absl::StatusOr<storage::Rows> ReadImmutable(absl::string_view statement, storage::Params params,
                                              size_t count) const;
  absl::StatusOr<bool> IsCommitted(const Attempt& attempt) const;
  absl::StatusOr<std::string> LoadTile(int level, uint64_t index) const;
  absl::StatusOr<Bundle> LoadEntries(uint64_t begin, uint32_t count) const;
  std::shared_ptr<const Edge> integrated() const;
  absl::Status Damaged(absl::string_view what) const;
  // What the database says is `head`, where it had `size` entries before.
  absl::Status OlderCopy(const Head& head, uint64_t size) const;

  const Options options_;
  storage::Database& database_;
  int64_t log_id_ = 0;
  PartitionedTime partitioned_;  // used by Sequence alone
  std::atomic<bool> frozen_{false};
  std::atomic<uint64_t> synchronisations_{0};
  absl::Time refreshed_ = absl::InfinitePast();  // used by Integrate alone

  mutable base::Mutex mutex_;
  Tip tip_ ABSL_GUARDED_BY(mutex_);  // the newest that this store knows
  // What readers see: Integrate moves it up to tip_.
  std::shared_ptr<const Edge> integrated_ ABSL_GUARDED_BY(mutex_);
  uint64_t published_size_ ABSL_GUARDED_BY(mutex_) = 0;
  SharedBytes checkpoint_ ABSL_GUARDED_BY(mutex_);
  absl::Time publish_time_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();

  const TileReader tiles_;
  mutable cache::LruCache<uint64_t, Bundle> bundles_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_POSTGRES_LOG_STORE_H_
