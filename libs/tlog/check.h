// Checking a whole log: every hash of every tile, every entry, the root and its signature.
#ifndef COUNTERSIGN_LIBS_TLOG_CHECK_H_
#define COUNTERSIGN_LIBS_TLOG_CHECK_H_

#include <cstdint>
#include <functional>
#include <optional>

#include "absl/status/statusor.h"
#include "libs/tlog/damage.h"
#include "libs/tlog/log_trust.h"
#include "libs/tlog/tile_source.h"

namespace countersign::tlog {

// How far a long piece of work has come, in entries. Called on the thread that the work was asked
// for on.
using Progress = std::function<void(uint64_t done, uint64_t total)>;

struct CheckOptions {
  // Without a key or policy, signatures are not checked.
  LogTrust trust;
  // Readers and hashers; 0 for one a processor.
  int threads = 0;
  Progress progress;  // may be empty
};

struct CheckReport {
  // What the log was checked against. Absent when that itself is damaged.
  std::optional<SignedCheckpoint> checkpoint;
  // The first that is wrong, in this order: the checkpoint; the tiles of the right edge; then in
  // the order of the entries each tile, from the top, and each bundle below it.
  std::optional<Damage> damage;
};

// Reads the checkpoint and all of its tree once, streaming; memory does not grow with the log. What
// the log has beyond that checkpoint is not looked at, so it may go on growing. A missing file is
// damage; an error means that the source could not be read.
absl::StatusOr<CheckReport> Check(const TileSource& source, const CheckOptions& options);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_CHECK_H_
