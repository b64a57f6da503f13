// The thread that owns a card, and the queue in front of it.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_WORKER_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_WORKER_H_

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/secret.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/card_readers.h"
#include "services/yubikey-agent/deadline.h"
#include "services/yubikey-agent/pin_keeper.h"

namespace countersign::yubikey {

class CardSession;

// What a card is asked to do. One of `done` and `leave` is called, once.
struct CardJob {
  std::string operation;
  Deadline deadline;
  // It is of no use to wait for this card once its PIN is locked.
  bool uses_pin = false;
  bool changes_card = false;
  // On the card's thread, in a transaction.
  std::function<absl::Status(CardSession&)> run;
  std::function<void(const absl::Status&)> done;
  // The card will not do it, and has not seen it; the status says why.
  std::function<void(const absl::Status&)> leave;
  std::chrono::steady_clock::time_point queued;  // by Enqueue
};
using CardJobPtr = std::unique_ptr<CardJob>;

// One insertion of a card. Thread-safe. Opens the card on its own thread, again and again while it
// is there and the way to it breaks, and serves the queue meanwhile.
//
// A job stays in the queue until the transaction has begun in which it runs: until then its
// deadline takes it out, so that the card never sees it, and a removal sends it elsewhere.
class CardWorker {
 public:
  struct Options {
    CardReaders* readers;
    CardReaders::Present present;
    const base::Clock* clock;
    int queue_capacity;
    int pin_floor;
    absl::Duration pin_idle;
    // A PIN to unlock the card with when it is opened; told when the card refused it.
    std::function<std::optional<crypto::SecretBytes>(uint32_t serial)> configured_pin;
    std::function<void(uint32_t serial)> pin_refused;
    // What info() says has changed, or serving() has. On the card's thread, without a lock.
    std::function<void()> changed;
    // As CardPool::Options::on_operation.
    std::function<void(absl::string_view operation, const absl::Status& status,
                       absl::Duration on_card, absl::Duration queued)>
        ran;
    // So many jobs were answered that their deadline was over.
    std::function<void(int jobs)> expired;
    // The queue has a job with this deadline, or a PIN is held: Tick wants to be called.
    std::function<void()> wake_timer;
  };

  explicit CardWorker(Options options);
  ~CardWorker();
  CardWorker(const CardWorker&) = delete;
  CardWorker& operator=(const CardWorker&) = delete;

  // Takes `*job` when it returns OK. ResourceExhausted with reason QUEUE_FULL; Unavailable with
  // reason CARD_REMOVED.
  absl::Status Enqueue(CardJobPtr* job);
  // The card was pulled: the PIN is forgotten, and what waits is handed back. What runs fails by
  // itself.
  std::deque<CardJobPtr> Remove();
  // Waits for the thread, after Remove.
  void Join();
  // Join would return at once.
  bool finished() const;

  // Answers the jobs whose deadline is over and forgets an idle PIN. Returns how long it is until
  // it should be called again; infinite when there is nothing to wait for.
  absl::Duration Tick();

  // It answers as a card that the agent can use.
  bool serving() const;
  bool has_served() const;
  // It is one to show: it serves, or failed.
  bool known() const;
  CardInfo info() const;
  // The jobs that wait or run.
  int load() const;
  // It can use a key that wants the PIN.
  bool unlocked() const;

 private:
  void Run();
  void UnlockConfigured(CardSession* session);
  // Until the card is removed or lost.
  void Serve(CardSession* session);
  void RunJob(CardSession* session, CardJob* job);
  // The first job whose deadline is not over.
  CardJobPtr TakeJob();
  std::deque<CardJobPtr> TakeExpired();
  void AnswerExpired(std::deque<CardJobPtr> jobs);
  // True when it is news.
  bool Publish(const CardSession& session);
  // Hands back what is of no use to wait here.
  void LeaveLocked(const CardSession& session);
  void PublishFailure(const absl::Status& status);
  void StopServing();
  // True when removed.
  bool Sleep(absl::Duration duration);
  absl::Duration ExpectedWait() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  PinKeeper pin_;
  mutable base::Mutex mutex_;
  base::CondVar wake_;
  std::deque<CardJobPtr> queue_ ABSL_GUARDED_BY(mutex_);
  bool removed_ ABSL_GUARDED_BY(mutex_) = false;
  bool serving_ ABSL_GUARDED_BY(mutex_) = false;
  bool has_served_ ABSL_GUARDED_BY(mutex_) = false;
  bool known_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool running_ ABSL_GUARDED_BY(mutex_) = false;
  bool log_out_ ABSL_GUARDED_BY(mutex_) = false;  // the keeper forgot the PIN, the card has not
  CardInfo info_ ABSL_GUARDED_BY(mutex_);
  absl::Duration average_ ABSL_GUARDED_BY(mutex_);  // of a job on the card
  int published_slots_ = 0;                         // the session's revision; the card's thread's
  std::thread thread_;
};

// Why work was not done by a card that was there.
absl::Status CardRemoved(absl::string_view why);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_WORKER_H_
