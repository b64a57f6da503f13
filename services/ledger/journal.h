// The ledger's write-ahead journal: entries in sequence order, one record and one synchronisation a
// batch. Byte format: FORMAT.md, "Journal".
#ifndef COUNTERSIGN_SERVICES_LEDGER_JOURNAL_H_
#define COUNTERSIGN_SERVICES_LEDGER_JOURNAL_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace countersign::ledger {

// A folder of segment files, each named by the index of its first entry. Not thread-safe: one
// thread appends; DropBefore may be called by another thread, but not two at once.
class Journal {
 public:
  // Called once for each entry found, in order.
  using EntryFn = std::function<absl::Status(uint64_t index, absl::string_view entry)>;

  struct Options {
    // A segment that has grown past this many bytes is closed and a new one begun.
    uint64_t segment_bytes = 64 << 20;
    // Small records are written into room made ahead, this many zero bytes at a time, because
    // synchronising a file that does not grow is quicker. 0: none.
    uint64_t room_bytes = 256 << 10;
    // The log is known to have had every entry below this index. Checked before anything is
    // changed.
    uint64_t must_reach = 0;
  };

  // Opens the journal in `directory` (made when missing) and hands every entry from index `from` on
  // to `replay`. A record torn by a crash, at the very end of the last segment, was never
  // acknowledged and is cut off.
  //
  // DataLoss, naming file and offset, when the folder lacks entries it must hold: a damaged record
  // with whole ones behind it, a gap between segments, or a first segment that begins after `from`.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& directory,
                                                       const Options& options, uint64_t from,
                                                       const EntryFn& replay);

  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Appends `entries` (each at most 65,535 bytes), which take the indexes from next_index() on, and
  // returns when they are durable: one write, one fdatasync.
  //
  // A failed write is undone, so that a later call may succeed (disk space freed, say):
  // ResourceExhausted or Unavailable. After a failed synchronisation, or an undo that failed, what
  // is on the disk is unknown: this and every later call answer DataLoss until the process restarts
  // and reads it back.
  absl::Status Append(absl::Span<const absl::string_view> entries);

  // Deletes the segments all of whose entries have an index below `index`. Never the last segment.
  absl::Status DropBefore(uint64_t index);

  // The index that the next entry gets.
  uint64_t next_index() const { return next_index_; }

  // Synchronisations so far (fdatasync and fsync), counted for the metrics and the benchmarks.
  uint64_t synchronisations() const { return synchronisations_.load(std::memory_order_relaxed); }

 private:
  Journal(std::string directory, const Options& options)
      : directory_(std::move(directory)), options_(options) {}

  absl::Status CheckReach() const;
  absl::Status StartSegment();
  void CloseSegment();
  // Writes buffer_ where the next record goes; undone when it fails.
  absl::Status WriteBuffer();
  absl::Status ReplaySegment(uint64_t first_index, bool last, uint64_t from, const EntryFn& replay);
  absl::Status WriteAll(int fd, absl::string_view bytes) const;
  std::string SegmentPath(uint64_t first_index) const;
  absl::Status Fail(const absl::Status& status);

  const std::string directory_;
  const Options options_;
  int fd_ = -1;            // of the segment that is appended to
  std::string marker_;     // what its records begin with
  uint64_t fd_bytes_ = 0;  // where its next record goes
  uint64_t room_end_ = 0;  // its length: zeros from fd_bytes_ on
  uint64_t next_index_ = 0;
  std::string buffer_;   // the record being built; kept for its capacity
  absl::Status broken_;  // not OK once what is on the disk is unknown
  std::atomic<uint64_t> synchronisations_{0};
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_JOURNAL_H_
