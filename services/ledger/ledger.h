// One transparency log: takes entries, orders them, and answers for its tree.
//
// Append = group commit. Callers queue; the sequencing thread takes all that wait, makes them
// durable behind one synchronisation and answers SEQUENCED; the integrating thread takes all that
// is sequenced into the tree, signs its checkpoint and answers INTEGRATED; the publisher has signed
// checkpoints cosigned, publishes them and answers COSIGNED. Each takes what has gathered while it
// was busy, so an idle log answers at once and a busy one grows its batches.
//
// Several ledgers may work on one log through a store that they share: each follows what the others
// have sequenced and published.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LEDGER_H_
#define COUNTERSIGN_SERVICES_LEDGER_LEDGER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/note/key.h"
#include "services/ledger/awaited_tree.h"
#include "services/ledger/cosigner.h"
#include "services/ledger/log_store.h"
#include "services/ledger/publisher.h"

namespace countersign::ledger {

inline constexpr size_t kMaxBatchEntries = 10000;  // a call

// Thread-safe.
class Ledger {
 public:
  // How far an entry has come; each level includes those before it.
  enum class Level { kSequenced, kIntegrated, kCosigned };

  struct Options {
    std::string origin;  // the checkpoint's first line (C2SP tlog-checkpoint)
    // Appends that wait to be sequenced; more are refused.
    size_t max_queued_entries = 65536;
    // Bytes of entries whose append is not answered yet; more are refused.
    size_t max_held_bytes = 256 << 20;
    // Appends on their way to integration or the quorum; more are refused.
    size_t max_waiting = 65536;
    // Entries that one synchronisation covers at most.
    size_t max_batch_bytes = 16 << 20;
    // While nobody waits for integration, it is done no more often than this, so that the threads
    // that take appends have the processor.
    absl::Duration integrate_interval = absl::Milliseconds(5);
    // While nobody waits for a cosignature, checkpoints are published no more often than this.
    absl::Duration publish_interval = absl::Milliseconds(100);
    // A published checkpoint older than this is cosigned and published again, so that monitors see
    // that the log lives; zero for never.
    absl::Duration republish_interval = absl::Hours(1);
    // How often a shared store is asked what other ledgers have done.
    absl::Duration follow_interval = absl::Milliseconds(100);
    // Until the next try when tiles could not be written.
    absl::Duration integrate_retry = absl::Seconds(1);
    // Until the next try when the quorum was not reached.
    absl::Duration cosign_retry = absl::Milliseconds(500);
    const base::Clock* clock = base::Clock::System();
  };

  struct Appended {
    std::vector<LogStore::Placement> placements;  // in the order of the entries
    std::vector<merkle::Hash> leaf_hashes;
    // A tree that holds every one of them; absent at kSequenced.
    std::optional<SignedTreeHead> tree;
  };
  using AppendDone = absl::AnyInvocable<void(absl::StatusOr<Appended>)>;

  // Starts the log's threads on `store`. `cosigner` may have no witnesses. DataLoss when the store
  // holds less than, or something other than, what its published checkpoint promised.
  static absl::StatusOr<std::unique_ptr<Ledger>> Start(const Options& options,
                                                       std::unique_ptr<LogStore> store,
                                                       std::unique_ptr<note::NoteSigner> signer,
                                                       std::unique_ptr<Cosigner> cosigner);

  // Stops, if Stop has not been called.
  ~Ledger();

  // Refuses new appends (Unavailable), answers all that wait, publishes nothing more.
  void Stop();

  // Appends `entries`, each 1 to 65,535 bytes, at most kMaxBatchEntries of them; their bytes must
  // live until `done`, which is called once, from any thread, when all are at `level`:
  //   InvalidArgument     no entry, too many, an empty or too long one; nothing was appended
  //   ResourceExhausted   queue or disk full (reasons QUEUE_FULL and DISK_FULL, with the time after
  //                       which to try again); nothing was appended
  //   FailedPrecondition  the log is frozen (reason LOG_FROZEN); nothing was appended
  //   DeadlineExceeded    they are in the log but did not reach `level` by `deadline`, or before
  //                       the ledger stopped, or because their tiles cannot be written; at once
  //                       when there is no deadline and the clock is behind the last checkpoint
  //   Unavailable         the ledger is stopping, or a disk fault; nothing was appended, unless the
  //                       message says that it may be (a lost commit): append again
  //   DataLoss            the disk failed so that the ledger must be restarted
  void Append(std::vector<absl::string_view> entries, Level level, absl::Time deadline,
              AppendDone done);

  // Lets the log take no more entries, for ever. Returns once what was accepted before is sequenced
  // and the end is durable; that is still integrated, published and served. Idempotent. On failure
  // the log takes entries again: the store's error, or Unavailable when the ledger is stopping.
  absl::Status Freeze();

  // Whether the log is frozen, by this ledger or by another.
  bool frozen() const { return store_->frozen(); }

  // The newest tree head that the log has signed, from the start and for the empty log too; and the
  // one that it has published, whose checkpoint is null until the first quorum.
  SignedTreeHead signed_head() const;
  SignedTreeHead published_head() const;

  // Proof that the entry at `index` is in the tree of `tree_size` (RFC 6962 section 2.1.1).
  // NotFound when index >= tree_size; OutOfRange when the tree is larger than the integrated one.
  absl::StatusOr<std::vector<merkle::Hash>> InclusionProof(uint64_t index,
                                                           uint64_t tree_size) const;

  // The same for many entries, in the order of `indexes`, which costs less than one by one.
  absl::StatusOr<std::vector<std::vector<merkle::Hash>>> InclusionProofs(
      absl::Span<const uint64_t> indexes, uint64_t tree_size) const;

  // Proof that the tree of `first` is a prefix of that of `second` (section 2.1.2). InvalidArgument
  // when first > second; OutOfRange when `second` is larger than the integrated tree.
  absl::StatusOr<std::vector<merkle::Hash>> ConsistencyProof(uint64_t first, uint64_t second) const;

  // Entries from `start` on: at most `count`, and no more than about `max_bytes` together but at
  // least one. Empty at or past the end of the integrated tree.
  absl::StatusOr<std::vector<std::string>> ReadEntries(uint64_t start, size_t count,
                                                       size_t max_bytes) const;

  // Entries that wait to be sequenced.
  size_t queued_entries() const;

  const LogStore& store() const { return *store_; }
  const std::string& origin() const { return options_.origin; }
  std::vector<Cosigner::WitnessState> witnesses() const { return publisher_.witnesses(); }

 private:
  // An append from its arrival to its answer.
  struct Call {
    std::vector<absl::string_view> entries;
    size_t bytes = 0;
    Level level;
    absl::Time deadline;
    AppendDone done;
    Appended result;
    uint64_t needed_size = 0;  // of a tree that holds all its entries
  };
  using CallPtr = std::unique_ptr<Call>;

  Ledger(const Options& options, std::unique_ptr<LogStore> store,
         std::unique_ptr<note::NoteSigner> signer, std::unique_ptr<Cosigner> cosigner);

  absl::Status Recover();
  absl::StatusOr<SignedTreeHead> Sign(const TreeHead& head) const;
  absl::Status RefuseAppend(const Call& call) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void SequenceLoop();
  void SequenceBatch(std::vector<CallPtr> batch);
  void FreezeStore();
  void Await(CallPtr call);
  void IntegrateLoop();
  bool WaitToIntegrate();
  absl::Status IntegrateOnce();
  absl::Status IntegrationFailed(const absl::Status& status);
  void Lose(const absl::Status& status);
  Publisher::Callbacks PublisherCallbacks();

  const Options options_;
  const std::unique_ptr<LogStore> store_;
  const std::unique_ptr<note::NoteSigner> signer_;

  // Guards the queue, and what the threads tell one another. A call is in one place at a time, and
  // is answered by the thread that took it out, with the mutex released.
  mutable base::Mutex mutex_;
  base::CondVar sequencer_wake_;
  base::CondVar integrator_wake_;
  base::CondVar freeze_done_;
  std::deque<CallPtr> queued_ ABSL_GUARDED_BY(mutex_);
  size_t queued_entries_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;          // of all calls not answered yet
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;             // calls for more than to be sequenced
  double entries_per_second_ ABSL_GUARDED_BY(mutex_) = 0;  // of the last batches
  uint64_t sequenced_size_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t signed_size_ ABSL_GUARDED_BY(mutex_) = 0;      // by this ledger
  uint64_t wanted_size_ ABSL_GUARDED_BY(mutex_) = 0;      // somebody waits for a signed tree of it
  bool integrator_idle_ ABSL_GUARDED_BY(mutex_) = false;  // sleeps until it is woken
  bool follow_now_ ABSL_GUARDED_BY(mutex_) = false;
  bool freezing_ ABSL_GUARDED_BY(mutex_) = false;  // from the call of Freeze until it is decided
  absl::Status freeze_status_ ABSL_GUARDED_BY(mutex_);  // of the last try
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);        // not OK once appends are refused
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  AwaitedTree signed_;
  Publisher publisher_;
  std::thread sequencer_;
  std::thread integrator_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LEDGER_H_
