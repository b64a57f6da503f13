#include "libs/tlog/follower.h"

#include <algorithm>
#include <utility>

#include "libs/base/status_macros.h"
#include "libs/tlog/growth.h"
#include "libs/tlog/ordered_parallel.h"

namespace countersign::tlog {

using merkle::kTileWidth;
using BundlePtr = std::shared_ptr<const VerifiedBundle>;

Follower::Follower(Options options) : options_(std::move(options)), pool_(options_.fetches) {}

Follower::Follower(Options options, Cursor cursor) : Follower(std::move(options)) {
  next_ = cursor.next;
  checkpoint_ = std::move(cursor.checkpoint);
}

absl::StatusOr<uint64_t> Follower::Advance() {
  ASSIGN_OR_RETURN(const std::string note, options_.source->ReadCheckpoint());
  if (tiles_ == nullptr || note != checkpoint_->note) {
    ASSIGN_OR_RETURN(SignedCheckpoint seen, options_.trust.Open(note));
    ASSIGN_OR_RETURN(tiles_,
                     OpenGrown(checkpoint_, seen, *options_.source, {.source = options_.source}));
    checkpoint_ = std::move(seen);
  }
  return checkpoint_->checkpoint.size;
}

absl::Status Follower::Deliver(
    const std::function<absl::Status(const EntryBatch& batch)>& deliver) {
  if (tiles_ == nullptr || next_ >= tiles_->size()) return absl::OkStatus();
  return OrderedParallel<BundlePtr>(
      &pool_, next_ / kTileWidth, tiles_->bundles(), 2 * static_cast<size_t>(options_.fetches),
      [this](uint64_t index) { return tiles_->Bundle(index); },
      [&](uint64_t index, BundlePtr bundle) {
        // Only the first bundle may begin before next_.
        const size_t skip = static_cast<size_t>(next_ - index * kTileWidth);
        EntryBatch batch;
        batch.first = next_;
        batch.entries = absl::MakeConstSpan(bundle->entries).subspan(skip);
        batch.leaf_hashes = absl::MakeConstSpan(*bundle->leaf_hashes).subspan(skip);
        batch.after = {next_ + batch.entries.size(), *checkpoint_};
        RETURN_IF_ERROR(deliver(batch));
        next_ = batch.after.next;
        return absl::OkStatus();
      });
}

}  // namespace countersign::tlog
