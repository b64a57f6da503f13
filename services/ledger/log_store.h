// Where a log's entries, tiles and checkpoint live: the seam below the Ledger.
//
// FileLogStore keeps them in a folder of one process. A store on a shared database makes the same
// promises, so that several ledgers may append to one log.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LOG_STORE_H_
#define COUNTERSIGN_SERVICES_LEDGER_LOG_STORE_H_

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
#include "libs/merkle/hash.h"
#include "libs/merkle/node.h"
#include "libs/merkle/tile.h"

namespace countersign::ledger {

// Size and root of a log's Merkle tree (RFC 6962 section 2.1).
struct TreeHead {
  uint64_t size = 0;
  merkle::Hash root = merkle::EmptyRoot();

  bool operator==(const TreeHead&) const = default;
};

// Bytes shared by the cache and everyone who serves them.
using SharedBytes = std::shared_ptr<const std::string>;

class LogStore {
 public:
  struct NewEntry {
    merkle::Hash leaf_hash;
    absl::string_view bytes;  // at most 65,535
  };

  struct Placement {
    uint64_t index = 0;
    bool duplicate = false;  // the log had the entry already, at `index`
  };

  virtual ~LogStore() = default;

  // Gives every entry its index, in order, and returns when all are durable. An entry that the log
  // has already keeps its old index. All or nothing: on failure none is in the log, unless the
  // status is DataLoss, which says that the store must be reopened, or Unavailable and its message
  // that they may be there: a database's answer to the commit was lost. FailedPrecondition once the
  // log is frozen. One call at a time.
  virtual absl::StatusOr<std::vector<Placement>> Sequence(absl::Span<const NewEntry> entries) = 0;

  // Lets the log take no more entries, for ever; durable when it returns OK. Idempotent.
  // One call at a time, and none beside Sequence.
  virtual absl::Status Freeze() = 0;

  // Takes everything sequenced into the tree and returns its head, which never shrinks. On a shared
  // store that is also what other ledgers have sequenced, and PublishedCheckpoint and frozen follow
  // what they have done. One call at a time; may run beside Sequence.
  virtual absl::StatusOr<TreeHead> Integrate() = 0;

  // Makes `checkpoint`, a signed note over `head`, the published one, with every tile that a reader
  // of it may ask for, and notes `time` as that of its publication. `head` is one that Integrate
  // returned, no smaller than the published one. Where another ledger on a shared
  // store has published a larger tree meanwhile, that stays, and PublishedCheckpoint shows it.
  // One call at a time; may run beside the others.
  virtual absl::Status Publish(const TreeHead& head, absl::string_view checkpoint,
                               absl::Time time) = 0;

  // Whether ledgers of other processes may work on the same log, so that Integrate is worth calling
  // though nothing was sequenced here. Thread-safe, as all below.
  virtual bool shared() const = 0;

  virtual bool frozen() const = 0;

  // How often it has waited for entries to be durable since it was opened: one a Sequence call that
  // had something new, and a few more.
  virtual uint64_t synchronisations() const = 0;

  // The published checkpoint, or empty bytes before the first.
  virtual SharedBytes PublishedCheckpoint() const = 0;

  // When it was published, to the second at least, by the clock of the ledger that did;
  // InfinitePast before the first.
  virtual absl::Time PublishTime() const = 0;

  // The index of the entry with this leaf hash, when the log has it.
  virtual absl::StatusOr<std::optional<uint64_t>> Find(const merkle::Hash& leaf_hash) const = 0;

  // The hashes of perfect subtrees within the integrated tree, in the order asked for.
  // OutOfRange for one that is not complete yet.
  virtual absl::StatusOr<std::vector<merkle::Hash>> ReadNodes(
      absl::Span<const merkle::NodeId> nodes) const = 0;

  // The hashes of a tile, 32 bytes each, as tlog-tiles serves them. `tile.width` may be any width
  // up to what is integrated. NotFound beyond.
  virtual absl::StatusOr<SharedBytes> ReadTile(const merkle::TileId& tile) const = 0;

  // `width` entries from index 256 * `bundle` on, each with its u16 length before it. NotFound
  // beyond the integrated tree.
  virtual absl::StatusOr<SharedBytes> ReadEntryBundle(uint64_t bundle, uint32_t width) const = 0;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LOG_STORE_H_
