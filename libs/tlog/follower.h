// Reading a log's entries in order as they are published, verified.
#ifndef COUNTERSIGN_LIBS_TLOG_FOLLOWER_H_
#define COUNTERSIGN_LIBS_TLOG_FOLLOWER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/base/thread_pool.h"
#include "libs/tlog/cursor.h"
#include "libs/tlog/log_trust.h"
#include "libs/tlog/tile_source.h"
#include "libs/tlog/verified_tiles.h"

namespace countersign::tlog {

// Entries that stand one behind the other in the log.
struct EntryBatch {
  uint64_t first = 0;
  absl::Span<const absl::string_view> entries;
  absl::Span<const merkle::Hash> leaf_hashes;
  // Where to go on once these are dealt with.
  Cursor after;
};

// Not thread-safe.
class Follower {
 public:
  struct Options {
    const TileSource* source = nullptr;  // must outlive the follower
    LogTrust trust;
    int fetches = 4;  // bundles read at once
  };

  // From the log's first entry, or from where a cursor stands.
  explicit Follower(Options options);
  Follower(Options options, Cursor cursor);

  // Reads the log's newest checkpoint, which must have grown from the last one. Returns its size.
  // Errors: those of the source, of LogTrust::Open and of OpenGrown; the follower stays as it was.
  absl::StatusOr<uint64_t> Advance();

  // Hands every entry below the last checkpoint's size that was not handed out before to
  // `deliver`, in order, each verified against that checkpoint. An error of `deliver` ends it and
  // is returned; the batch counts as not delivered.
  absl::Status Deliver(const std::function<absl::Status(const EntryBatch& batch)>& deliver);

  // The index of the next entry to deliver.
  uint64_t next() const { return next_; }
  // Goes on from another entry instead; it may lie ahead of the log.
  void SkipTo(uint64_t next) { next_ = next; }

 private:
  const Options options_;
  base::ThreadPool pool_;
  uint64_t next_ = 0;
  std::optional<SignedCheckpoint> checkpoint_;
  std::unique_ptr<VerifiedTiles> tiles_;  // of checkpoint_; null before Advance
};

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_FOLLOWER_H_
