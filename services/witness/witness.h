// The witness: cosigns a log's checkpoint only when it extends the one cosigned before.
#ifndef COUNTERSIGN_SERVICES_WITNESS_WITNESS_H_
#define COUNTERSIGN_SERVICES_WITNESS_WITNESS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/note/add_checkpoint.h"
#include "libs/note/checkpoint.h"
#include "libs/note/cosignature.h"
#include "libs/note/signed_note.h"
#include "libs/storage/database.h"

namespace countersign::witness {

// A log that the witness watches.
struct WatchedLog {
  std::string origin;
  std::vector<std::string> vkeys;         // those it trusts for the origin
  uint64_t size = 0;                      // of the latest cosigned checkpoint
  std::optional<absl::Time> cosign_time;  // of it; nullopt when there is none
};

// What came of a checkpoint with which nothing was wrong.
struct AddCheckpointResult {
  // The witness stands at this size, not at the request's old_size; nothing was cosigned.
  std::optional<uint64_t> conflict_size;
  // Otherwise: the signature lines, each with its newline.
  std::string cosignatures;
};

// Thread-safe. All state is in the database, one row a log, so that several witnesses of one key
// may share one database. Methods block on it.
class Witness {
 public:
  struct Options {
    std::unique_ptr<note::CosignatureSigner> signer;
    const base::Clock* clock = base::Clock::System();
  };

  // How often AddCheckpoint ended how, since the start.
  struct Counts {
    std::atomic<uint64_t> cosigned{0};
    std::atomic<uint64_t> conflicts{0};
    std::atomic<uint64_t> refused{0};  // the request's fault, forks included
    std::atomic<uint64_t> forks{0};    // two roots at one size, both signed by the log
    std::atomic<uint64_t> failed{0};   // the witness's fault
    // Requests of any kind that TurnAway answered.
    std::atomic<uint64_t> turned_away{0};
  };

  // Brings the database's schema up to date. FailedPrecondition when the database belongs to
  // another witness: its records say nothing about what this key has cosigned.
  static absl::StatusOr<std::unique_ptr<Witness>> Open(std::unique_ptr<storage::Database> database,
                                                       Options options);

  // The rules of C2SP tlog-witness's add-checkpoint, in its order:
  //   InvalidArgument     malformed, or old_size above the checkpoint's size (400)
  //   NotFound            the origin is not watched (404)
  //   PermissionDenied    not signed by a trusted key, or a signature of one is wrong (403)
  //   a conflict          old_size is not the latest size; data, not an error (409)
  //   FailedPrecondition  not consistent with the latest checkpoint (422); ReasonOf says
  //                       ROOT_MISMATCH for two roots at one size, else PROOF_INVALID
  // and Unavailable (503) when the database failed or the clock went back. A cosignature is
  // returned only when the checkpoint is durable. After Unavailable it may be durable though
  // nothing was returned: ask again. At most one signature of each of the log's keys is kept.
  absl::StatusOr<AddCheckpointResult> AddCheckpoint(const note::AddCheckpointRequest& request);

  // The latest cosigned checkpoint: the log's verified signatures, then this witness's. NotFound
  // when the log is not watched or nothing of it was cosigned.
  absl::StatusOr<std::string> LatestCheckpoint(absl::string_view origin);
  // The same by the lower-case hexadecimal SHA-256 of the origin.
  absl::StatusOr<std::string> LatestCheckpointByHash(absl::string_view origin_hash);

  // Watches a log, for ever. `vkeys` are 1 to 16 verifier keys; an empty origin is the first one's
  // name. Idempotent. AlreadyExists when the origin is watched with other keys; InvalidArgument for
  // malformed keys or origins, and for a log that bears this witness's name or key.
  absl::StatusOr<WatchedLog> AddLog(absl::string_view origin,
                                    const std::vector<std::string>& vkeys);

  // AddLog for a list of keys as flags give them: those of one name are one log's.
  absl::Status AddLogsByKeyName(const std::vector<std::string>& vkeys);

  // At most `limit` logs, in order of their origins, from the first behind `after`.
  absl::StatusOr<std::vector<WatchedLog>> ListLogs(absl::string_view after, size_t limit);

  // Counts a request that was not let in because too many wait, and returns what answers it:
  // ResourceExhausted (429) with how long to wait before the next try.
  absl::Status TurnAway();

  const std::string& name() const { return signer_->name(); }
  std::string vkey() const { return signer_->vkey(); }
  const Counts& counts() const { return counts_; }

 private:
  // What is known of a log that never changes.
  struct Log {
    std::vector<note::NoteVerifier> keys;
  };

  Witness(std::unique_ptr<storage::Database> database, Options options);

  absl::StatusOr<AddCheckpointResult> Add(const note::AddCheckpointRequest& request);
  absl::Status Decide(storage::Transaction& transaction, const note::AddCheckpointRequest& request,
                      const note::Checkpoint& checkpoint, const note::SignedNote& note,
                      AddCheckpointResult* result, absl::Status* refusal) const;
  absl::StatusOr<std::shared_ptr<Log>> FindLog(const std::string& origin);
  absl::StatusOr<std::string> ReadCheckpoint(absl::string_view column, absl::string_view value);

  const std::unique_ptr<storage::Database> database_;
  const std::unique_ptr<note::CosignatureSigner> signer_;
  const base::Clock* const clock_;
  Counts counts_;

  base::Mutex mutex_;
  // By origin. Only logs that exist: those never change, while others may be added elsewhere.
  std::map<std::string, std::shared_ptr<Log>> logs_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::witness

#endif  // COUNTERSIGN_SERVICES_WITNESS_WITNESS_H_
