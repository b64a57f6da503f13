// One transparency log: takes entries, orders them, and answers for its tree.
//
// Append = group commit. Callers queue; the sequencing thread takes all that wait, makes them
// durable behind one synchronisation and answers SEQUENCED; the integrating thread takes all that
// is sequenced into the tree, signs its checkpoint and answers INTEGRATED; the publishing thread
// has the newest signed checkpoint cosigned, publishes it and answers COSIGNED. Each takes what has
// gathered while it was busy, so an idle log answers at once and a busy one grows its batches.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LEDGER_H_
#define COUNTERSIGN_SERVICES_LEDGER_LEDGER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/note/key.h"
#include "services/ledger/cosigner.h"
#include "services/ledger/log_store.h"

namespace countersign::ledger {

inline constexpr size_t kMaxBatchEntries = 10000;  // a call

// A signed tree head: the checkpoint is a C2SP signed note over it.
struct SignedTreeHead {
  TreeHead head;
  SharedBytes checkpoint;
};

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
    // Appends that wait for integration or the quorum; more are refused.
    size_t max_waiting = 65536;
    // Entries that one synchronisation covers at most.
    size_t max_batch_bytes = 16 << 20;
    // While nobody waits for integration, it is done no more often than this, so that the threads
    // that take appends have the processor.
    absl::Duration integrate_interval = absl::Milliseconds(5);
    // While nobody waits for a cosignature, checkpoints are published no more often than this.
    absl::Duration publish_interval = absl::Milliseconds(100);
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
  using AppendDone = std::function<void(absl::StatusOr<Appended>)>;

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
  //   ResourceExhausted   queue or disk full; nothing was appended
  //   DeadlineExceeded    they are in the log but did not reach `level` by `deadline`, or before
  //                       the ledger stopped, or because their tiles cannot be written
  //   Unavailable         the ledger is stopping, or a disk fault; nothing was appended
  //   DataLoss            the disk failed so that the ledger must be restarted
  void Append(std::vector<absl::string_view> entries, Level level, absl::Time deadline,
              AppendDone done);

  // The newest tree head that the log has signed, from the start and for the empty log too; and the
  // one that it has published, whose checkpoint is null until the first quorum.
  SignedTreeHead signed_head() const;
  SignedTreeHead published_head() const;

  // Proof that the entry at `index` is in the tree of `tree_size` (RFC 6962 section 2.1.1).
  // NotFound when index >= tree_size; OutOfRange when the tree is larger than the integrated one.
  absl::StatusOr<std::vector<merkle::Hash>> InclusionProof(uint64_t index,
                                                           uint64_t tree_size) const;

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
  std::vector<Cosigner::WitnessState> witnesses() const { return cosigner_->witnesses(); }

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
  absl::Status CheckPublished(const TreeHead& head) const;
  absl::StatusOr<SignedTreeHead> Sign(const TreeHead& head) const;
  void SequenceLoop();
  void SequenceBatch(std::vector<CallPtr> batch);
  void IntegrateLoop();
  void PublishLoop();
  absl::Status PublishOnce(const SignedTreeHead& tree);
  void Release(std::deque<CallPtr> ready, const SignedTreeHead& tree);
  static void Fail(std::deque<CallPtr> calls, const absl::Status& status);
  std::deque<CallPtr> TakeExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static std::deque<CallPtr> TakeReady(std::deque<CallPtr>* waiting, uint64_t size);

  const Options options_;
  const std::unique_ptr<LogStore> store_;
  const std::unique_ptr<note::NoteSigner> signer_;
  const std::unique_ptr<Cosigner> cosigner_;

  // Guards the queues and the heads. A call is in one queue at a time, and is answered by the
  // thread that took it out, with the mutex released.
  mutable base::Mutex mutex_;
  base::CondVar sequencer_wake_;
  base::CondVar integrator_wake_;
  base::CondVar publisher_wake_;
  std::deque<CallPtr> queued_ ABSL_GUARDED_BY(mutex_);
  size_t queued_entries_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t held_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of all calls not answered yet
  std::deque<CallPtr> waiting_integrated_ ABSL_GUARDED_BY(mutex_);
  std::deque<CallPtr> waiting_cosigned_ ABSL_GUARDED_BY(mutex_);
  uint64_t sequenced_size_ ABSL_GUARDED_BY(mutex_) = 0;
  bool integrator_idle_ ABSL_GUARDED_BY(mutex_) = false;  // sleeps until it is woken
  SignedTreeHead signed_ ABSL_GUARDED_BY(mutex_);
  SignedTreeHead published_ ABSL_GUARDED_BY(mutex_);
  std::string cosign_problem_ ABSL_GUARDED_BY(mutex_);  // why the last try missed the quorum
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);        // not OK once appends are refused
  // Whether the witnesses have been asked since the start, or have nothing of this log to show.
  // Until then nothing new is signed: they may hold a head that this store, restored from an old
  // copy, does not.
  bool confirmed_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread sequencer_;
  std::thread integrator_;
  std::thread publisher_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LEDGER_H_
