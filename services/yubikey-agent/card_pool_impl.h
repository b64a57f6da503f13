// What CardPool is made of.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_POOL_IMPL_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_POOL_IMPL_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/card_readers.h"
#include "services/yubikey-agent/card_worker.h"
#include "services/yubikey-agent/deadline.h"
#include "services/yubikey-agent/key_index.h"

namespace countersign::yubikey {

// Thread-safe. Two threads beside the cards': one waits for insertions and removals, the other for
// deadlines and idle PINs.
//
// Locks are taken in the order mutex_, a worker's; none is held while a `done` or `changed` runs.
class CardPool::Impl {
 public:
  // A use of a key, which may find its card only after others have left it.
  struct Use {
    std::string operation;
    std::string name;
    Deadline deadline;
    // Whether a key will do: the reason when it does not.
    std::function<absl::Status(const KeyEntry&)> fits;
    std::function<absl::Status(piv::Applet&, const KeyEntry&)> body;
    std::function<void(const absl::Status&)> done;
  };
  // Something else that one card shall do.
  struct Task {
    uint32_t serial = 0;
    std::string operation;
    Deadline deadline;
    bool uses_pin = false;
    bool changes_card = false;
    std::function<absl::Status(CardSession&)> body;
    CardPool::Done done;
  };

  explicit Impl(Options options);
  ~Impl();

  std::shared_ptr<const KeyIndex> index() const;
  std::vector<CardInfo> Cards() const;
  CardCounters counters() const;
  std::shared_ptr<void> Watch(std::function<void()> changed);

  Deadline DeadlineAt(absl::Time at) const { return Deadline(*options_.clock, at); }
  void Start(std::shared_ptr<Use> use);
  void Start(std::shared_ptr<Task> task);
  // That a PIN of this card was set through the agent: a configured one may be right again.
  // The card's PIN is now `pin`, or the factory's (null): whether the configured one is another,
  // and not to be sent.
  void PinChanged(uint32_t serial, const crypto::SecretBytes* pin);

 private:
  struct Watcher;

  // `why` is null, or why the card that had it did not do it.
  void Dispatch(const std::shared_ptr<Use>& use, const absl::Status* why);
  void Dispatch(const std::shared_ptr<Task>& task, const absl::Status* why);
  bool Expired(const Deadline& deadline, const std::function<void(const absl::Status&)>& done);

  void WatchReaders();
  void RunTimer();
  void WakeTimer();
  std::shared_ptr<CardWorker> MakeWorker(const CardReaders::Present& present);
  // Makes the index anew and tells the watchers.
  void Changed();
  void JoinFinished();

  const Options options_;
  mutable base::Mutex mutex_;
  struct Inserted {
    CardReaders::Present present;
    std::shared_ptr<CardWorker> worker;
  };
  std::vector<Inserted> inserted_ ABSL_GUARDED_BY(mutex_);  // in order of insertion
  // Removed, their threads perhaps not at their end yet.
  std::vector<std::shared_ptr<CardWorker>> leaving_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const KeyIndex> index_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Watcher>> watchers_ ABSL_GUARDED_BY(mutex_);
  // Cards that have refused the PIN that is configured for them.
  std::set<uint32_t> refused_ ABSL_GUARDED_BY(mutex_);
  CardCounters counters_ ABSL_GUARDED_BY(mutex_);
  std::atomic<uint32_t> turn_{0};

  base::Mutex timer_mutex_;
  base::CondVar timer_wake_;
  bool timer_sleeps_ ABSL_GUARDED_BY(timer_mutex_) = false;
  bool timer_woken_ ABSL_GUARDED_BY(timer_mutex_) = false;
  bool timer_stops_ ABSL_GUARDED_BY(timer_mutex_) = false;
  std::atomic<bool> stopping_{false};
  std::thread readers_thread_;
  std::thread timer_thread_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_POOL_IMPL_H_
