// That a log only grows: each checkpoint's tree is the beginning of the next one's.
#ifndef COUNTERSIGN_LIBS_TLOG_GROWTH_H_
#define COUNTERSIGN_LIBS_TLOG_GROWTH_H_

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/tlog/log_trust.h"
#include "libs/tlog/tile_source.h"
#include "libs/tlog/verified_tiles.h"

namespace countersign::tlog {

// The tiles of `seen`'s tree, once they show that the tree of `known` is its beginning. Fails with
// - DataLoss when it is not: the log has forked, and ForkOf has both notes for evidence;
// - FailedPrecondition when `seen` is smaller, and as far as the tiles of `known` tell it is an
//   earlier checkpoint of the same tree: the log went back, or something in front of it is stale;
// - InvalidArgument when they are of different logs;
// - the errors of VerifiedTiles, for a tree that `options` does not have.
// `accept` is not called before the growth is shown. `known_source` has the tree of `known`.
absl::StatusOr<std::unique_ptr<VerifiedTiles>> OpenGrown(
    const std::optional<SignedCheckpoint>& known, const SignedCheckpoint& seen,
    const TileSource& known_source, VerifiedTiles::Options options);

// Two notes of one log, neither of which can have grown into the other.
struct Fork {
  std::string known;
  std::string seen;
};
std::optional<Fork> ForkOf(const absl::Status& status);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_GROWTH_H_
