// The newest tree head of a kind (signed, or published), and those who wait for it to grow.
#ifndef COUNTERSIGN_SERVICES_LEDGER_AWAITED_TREE_H_
#define COUNTERSIGN_SERVICES_LEDGER_AWAITED_TREE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/ledger/log_store.h"

namespace countersign::ledger {

// A signed tree head: the checkpoint is a C2SP signed note over it.
struct SignedTreeHead {
  TreeHead head;
  SharedBytes checkpoint;  // null before the first
};

// A thread of its own answers those whose deadline passes, whatever the others are stuck in.
//
// Thread-safe. Answers are given with no lock held, by whichever thread brings them about; they
// must not block.
class AwaitedTree {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<SignedTreeHead>)>;

  // Whoever's deadline passes is told `late` (DeadlineExceeded), and the problem when there is one.
  AwaitedTree(std::string late, const base::Clock* clock);
  // Answers all that still wait with Unavailable.
  ~AwaitedTree();

  // Calls `done` once: with the first tree of at least `size` entries, at once when it is there.
  void Await(uint64_t size, absl::Time deadline, Done done);

  // Puts `tree` in place and answers those who waited for it, unless the one there is larger.
  void Set(SignedTreeHead tree);

  // Why the tree does not grow at present; nothing when empty.
  void SetProblem(std::string problem);

  // Answers those who wait for a tree larger than `size`.
  void FailAbove(uint64_t size, const absl::Status& status);
  // Answers those who would wait for ever.
  void FailWithoutDeadline(const absl::Status& status);
  // Answers all that wait now or later; the first call counts.
  void Close(const absl::Status& status);

  SignedTreeHead tree() const;
  // Whether somebody waits for a tree larger than `above` but not larger than `up_to`.
  bool AwaitedBetween(uint64_t above, uint64_t up_to) const;

 private:
  struct Waiter {
    absl::Time deadline;
    uint64_t number;
    Done done;
  };
  using Waiters = std::multimap<uint64_t, Waiter>;  // by the size that they wait for

  void Run();
  void Take(Waiters::iterator waiter, std::vector<Done>* out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void Answer(std::vector<Done> waiters, const absl::StatusOr<SignedTreeHead>& answer);

  const std::string late_;
  const base::Clock* const clock_;

  // Guards the tree and the waiters, so that nobody begins to wait for a tree that is there.
  mutable base::Mutex mutex_;
  base::CondVar earlier_;  // a deadline has become the earliest
  SignedTreeHead tree_ ABSL_GUARDED_BY(mutex_);
  std::string problem_ ABSL_GUARDED_BY(mutex_);
  absl::Status closed_ ABSL_GUARDED_BY(mutex_);  // not OK once closed
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 0;
  Waiters waiters_ ABSL_GUARDED_BY(mutex_);
  // Every waiter, by deadline and number.
  std::map<std::pair<absl::Time, uint64_t>, Waiters::iterator> deadlines_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_AWAITED_TREE_H_
