// LogStore on a folder: a journal that makes entries durable, and the public tile layout (C2SP
// tlog-tiles) as files that any web server can serve. Byte formats: FORMAT.md.
#ifndef COUNTERSIGN_SERVICES_LEDGER_FILE_LOG_STORE_H_
#define COUNTERSIGN_SERVICES_LEDGER_FILE_LOG_STORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/base/file.h"
#include "libs/base/mutex.h"
#include "libs/cache/lru_cache.h"
#include "services/ledger/dedup_index.h"
#include "services/ledger/edge.h"
#include "services/ledger/journal.h"
#include "services/ledger/log_store.h"
#include "services/ledger/tile_reader.h"

namespace countersign::ledger {

// How a crash at any instruction is survived: Sequence answers after the journal's synchronisation.
// Tiles are written without one and stay replayable: only after a "settling" that synchronised them
// does the state file's mark move, and only journal segments below the mark are deleted. Opening
// replays the journal from the mark, which rewrites the same bytes to the same tiles.
class FileLogStore : public LogStore {
 public:
  struct Options {
    std::string directory;
    bool deduplicate = true;
    // Settle after this many bytes of entries; opening replays about this much at most.
    uint64_t settle_bytes = 64 << 20;
    uint64_t journal_segment_bytes = 32 << 20;
    uint64_t tile_cache_bytes = 128 << 20;
  };

  // Locks the folder (FailedPrecondition when another process holds it), checks it and replays the
  // journal; then everything sequenced is integrated. The time this takes does not grow with the
  // log. DataLoss, naming the file, when the folder lacks something that it must hold.
  static absl::StatusOr<std::unique_ptr<FileLogStore>> Open(const Options& options);

  ~FileLogStore() override;

  absl::StatusOr<std::vector<Placement>> Sequence(absl::Span<const NewEntry> entries) override;
  absl::StatusOr<TreeHead> Integrate() override;
  absl::Status Freeze() override;
  absl::Status Publish(const TreeHead& head, absl::string_view checkpoint,
                       absl::Time time) override;
  bool shared() const override { return false; }
  bool frozen() const override { return frozen_; }
  SharedBytes PublishedCheckpoint() const override;
  absl::Time PublishTime() const override;
  absl::StatusOr<std::optional<uint64_t>> Find(const merkle::Hash& leaf_hash) const override;
  absl::StatusOr<std::vector<merkle::Hash>> ReadNodes(
      absl::Span<const merkle::NodeId> nodes) const override;
  absl::StatusOr<SharedBytes> ReadTile(const merkle::TileId& tile) const override;
  absl::StatusOr<SharedBytes> ReadEntryBundle(uint64_t bundle, uint32_t width) const override;

  // Of the journal: one a Sequence call, and two a new segment.
  uint64_t synchronisations() const override { return journal_->synchronisations(); }

 private:
  // Entries that are durable and wait to be integrated.
  struct Sequenced {
    std::vector<merkle::Hash> leaf_hashes;
    std::string framed;  // (u16 length, bytes) each
  };

  explicit FileLogStore(const Options& options);

  absl::Status OpenFileSystem();
  absl::Status ReadState(TreeHead* mark) const;
  absl::Status WriteState(const TreeHead& mark);
  absl::Status ReadEdge(const TreeHead& mark);
  absl::Status RebuildDedup(uint64_t mark);
  absl::Status ReplayJournal(uint64_t mark);
  absl::Status Grow(Edge* edge, const Sequenced& batch);
  absl::Status WriteFullTile(Edge* edge, const ClosedTile& tile);
  absl::Status WritePublicFile(const std::string& path, absl::string_view bytes);
  void RemovePartials();
  // Makes good the partial tiles of earlier checkpoints, which a power cut may have torn.
  absl::Status RepairPartials();
  std::shared_ptr<const Edge> edge() const;
  absl::StatusOr<std::string> LoadTile(int level, uint64_t index) const;
  std::string PublicPath(absl::string_view path) const;
  std::string FrozenPath() const;
  void SettleLoop();
  absl::Status Settle();

  const Options options_;
  std::unique_ptr<base::DirectoryLock> lock_;
  std::unique_ptr<Journal> journal_;   // used by the sequencing thread, and by settling to drop
  std::unique_ptr<DedupIndex> dedup_;  // null when deduplication is off

  base::Mutex pending_mutex_;
  Sequenced pending_ ABSL_GUARDED_BY(pending_mutex_);
  Sequenced integrating_;            // taken from pending_; kept until its tiles are written
  std::vector<std::string> closed_;  // tiles that have become full in this integration
  std::atomic<bool> frozen_{false};
  absl::Status broken_;  // of the sequencing thread: not OK once the journal is ahead of pending_

  // Replaced as a whole by Integrate, so that readers see one tree.
  mutable base::Mutex edge_mutex_;
  std::shared_ptr<const Edge> edge_ ABSL_GUARDED_BY(edge_mutex_);

  mutable base::Mutex checkpoint_mutex_;
  SharedBytes checkpoint_ ABSL_GUARDED_BY(checkpoint_mutex_);
  absl::Time publish_time_ ABSL_GUARDED_BY(checkpoint_mutex_) = absl::InfinitePast();

  // Held while partial tiles are written, and while those of tiles that have become full, as edge_
  // says by then, are removed: so none is left behind.
  base::Mutex partials_mutex_;

  const TileReader tiles_;
  mutable cache::LruCache<uint64_t, SharedBytes> bundles_;

  // Settling runs on a thread of its own, so that its synchronisations delay nobody.
  base::Mutex settle_mutex_;
  base::CondVar settle_wake_;
  uint64_t unsettled_bytes_ ABSL_GUARDED_BY(settle_mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(settle_mutex_) = false;
  TreeHead mark_;               // used by the settling thread, as is the next
  absl::Status settle_broken_;  // not OK once a synchronisation has failed
  int directory_fd_ = -1;
  std::thread settler_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_FILE_LOG_STORE_H_
