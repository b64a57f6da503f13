// Has the log's checkpoints cosigned, and publishes them.
//
// A round asks the witnesses about one head. Rounds overlap: while somebody waits for a head that
// no round covers, the next starts a fraction of a round's time after the last, so that nobody
// waits for another round to end first. A larger head serves whoever waits for a smaller one, so
// what is published only grows, whichever round ends first.
//
// On a store that other ledgers share, what they have published counts as published here.
#ifndef COUNTERSIGN_SERVICES_LEDGER_PUBLISHER_H_
#define COUNTERSIGN_SERVICES_LEDGER_PUBLISHER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/note/key.h"
#include "services/ledger/awaited_tree.h"
#include "services/ledger/cosigner.h"
#include "services/ledger/log_store.h"

namespace countersign::ledger {

// Thread-safe.
class Publisher {
 public:
  struct Options {
    std::string origin;
    // While nobody waits, rounds start no more often than this.
    absl::Duration publish_interval = absl::Milliseconds(100);
    // A published checkpoint older than this is cosigned and published again; zero for never.
    absl::Duration republish_interval = absl::Hours(1);
    // Until the next try when the quorum was not reached.
    absl::Duration retry = absl::Milliseconds(500);
    size_t max_rounds = 16;  // under way at once
    const base::Clock* clock = base::Clock::System();
  };

  // What the publisher asks of its ledger; called with no lock held.
  struct Callbacks {
    Cosigner::ProofFn proof;
    // confirmed() has become true.
    std::function<void()> confirmed;
    // The store should be integrated soon: another ledger has published more than is known here.
    std::function<void()> follow;
    // Another ledger has published this tree, which is a signed one for that; just before it is
    // published here.
    std::function<void(const SignedTreeHead&)> adopted;
    // Nothing may be signed any more (DataLoss).
    std::function<void(const absl::Status&)> lost;
  };

  // `store` must outlive the publisher.
  Publisher(const Options& options, LogStore* store, note::NoteVerifier log_key,
            std::unique_ptr<Cosigner> cosigner, Callbacks callbacks);
  ~Publisher();

  // What a checkpoint that the store shows as published says, of a store that holds the tree
  // `head`.
  //   DataLoss            the store does not hold the checkpoint's tree, or the log did not sign it
  //   FailedPrecondition  it is the checkpoint of another log
  absl::StatusOr<SignedTreeHead> CheckPublished(const SharedBytes& checkpoint,
                                                const TreeHead& head) const;

  // Starts from `tree`, the published head signed again (of the empty tree when `published` has no
  // checkpoint); the store holds `integrated`. The published checkpoint is put in place again
  // unless others share it. Called first.
  absl::Status Start(const SignedTreeHead& tree, const SignedTreeHead& published,
                     const TreeHead& integrated);

  // Ends the rounds and the publishing. Who waits goes on waiting.
  void Stop();

  // A newer signed head to publish.
  void Offer(const SignedTreeHead& tree);

  // Calls `done` with the first published tree of at least `size` entries.
  void Await(uint64_t size, absl::Time deadline, AwaitedTree::Done done);

  // Takes over what another ledger has published. Called after each integration of a shared store,
  // with its result. DataLoss when that is not of this tree.
  absl::Status Follow(const TreeHead& integrated);

  // Publishes nothing more, and answers all that wait with `status`.
  void Lose(const absl::Status& status);

  // OK unless the clock is behind the time of the published checkpoint, which says that one of the
  // two is wrong: then nothing is to be signed (Unavailable).
  absl::Status CheckClock() const;

  // Whether the witnesses have been asked since the start, or have nothing of this log to show.
  // Until then nothing new is to be signed: they may hold a head that this store, restored from an
  // old copy, does not.
  bool confirmed() const { return confirmed_; }

  AwaitedTree& published() { return published_; }
  const AwaitedTree& published() const { return published_; }
  std::vector<Cosigner::WitnessState> witnesses() const { return cosigner_->witnesses(); }

 private:
  struct Round {
    TreeHead head;
    bool repeat = false;  // of the head that is published already
    absl::Duration started;
  };
  struct Result {
    uint64_t round;
    absl::StatusOr<std::string> cosigned;
  };
  // A size on a shared store that is not integrated here, and the follows_ when it was named first.
  struct Beyond {
    uint64_t size;
    uint64_t follows;
  };

  void Run();
  absl::Duration UntilNextRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool RepublishDue(const SignedTreeHead& published) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartRound();
  // Else says so to who waits.
  bool ClockIsRight();
  absl::Status Handle(std::vector<Result> results);
  absl::Status Publish(const Round& round, const std::string& cosigned);
  void Retry(const Round& round, const absl::Status& status);
  // Whether the log does not hold the tree of `size`, which somebody named, although the store has
  // been integrated anew since.
  bool CertainlyMissing(uint64_t size, std::optional<Beyond>* named) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Adopt();
  absl::StatusOr<std::vector<merkle::Hash>> Prove(uint64_t first, uint64_t second);

  const Options options_;
  LogStore* const store_;
  const note::NoteVerifier log_key_;
  const Callbacks callbacks_;

  AwaitedTree published_;
  std::atomic<bool> confirmed_{false};

  // Guards the rounds. published_ has a lock of its own, taken after this one.
  base::Mutex mutex_;
  base::CondVar wake_;
  SignedTreeHead signed_ ABSL_GUARDED_BY(mutex_);             // the newest
  std::map<uint64_t, Round> rounds_ ABSL_GUARDED_BY(mutex_);  // under way, by number
  std::vector<Result> results_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_round_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration last_start_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
  absl::Duration typical_round_ ABSL_GUARDED_BY(mutex_);
  // No head up to retry_size_ is tried again before retry_at_.
  absl::Duration retry_at_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
  uint64_t retry_size_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string problem_ ABSL_GUARDED_BY(mutex_);  // logged last
  bool clock_behind_ ABSL_GUARDED_BY(mutex_) = false;
  bool poked_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status lost_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t follows_ ABSL_GUARDED_BY(mutex_) = 0;  // Follow calls
  uint64_t integrated_size_ ABSL_GUARDED_BY(mutex_) = 0;
  // Named by a witness, and published by another ledger.
  std::optional<Beyond> named_beyond_ ABSL_GUARDED_BY(mutex_);
  std::optional<Beyond> published_beyond_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
  // Last, so that it is gone, and its callbacks with it, before anything that they use.
  const std::unique_ptr<Cosigner> cosigner_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_PUBLISHER_H_
