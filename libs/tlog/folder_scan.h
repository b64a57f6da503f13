// What a log's folder holds besides the tree of its checkpoint.
#ifndef COUNTERSIGN_LIBS_TLOG_FOLDER_SCAN_H_
#define COUNTERSIGN_LIBS_TLOG_FOLDER_SCAN_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "libs/note/checkpoint.h"
#include "libs/tlog/damage.h"

namespace countersign::tlog {

// Files of one kind: how many, and the first of them that was met, below the folder.
struct FoundFiles {
  uint64_t count = 0;
  std::string first;
};

struct FolderScan {
  // Not a file of a log at all.
  FoundFiles unknown;
  // Tiles and bundles that the checkpoint's tree does not have, or not in that width: written ahead
  // of the next checkpoint, or strays.
  FoundFiles ahead;
  // What a crash left of files on their way into place (`*.tmp.*`, a mirror's staging folder).
  FoundFiles leftovers;
  // The first partial tile or bundle of an earlier checkpoint that is not the beginning of the
  // present one.
  std::optional<Damage> damage;
};

// Walks the folder of a log that Check found clean at `checkpoint`. Files may come and go
// meanwhile.
absl::StatusOr<FolderScan> ScanFolder(const std::string& folder,
                                      const note::Checkpoint& checkpoint);

}  // namespace countersign::tlog

#endif  // COUNTERSIGN_LIBS_TLOG_FOLDER_SCAN_H_
