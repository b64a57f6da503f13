#include "services/yubikey-agent/card_pool_impl.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/yubikey-agent/card_session.h"

namespace countersign::yubikey {
namespace {

constexpr absl::Duration kShortSleep = absl::Milliseconds(10);

}  // namespace

// Its mutex is held while `changed` runs, so that it does not run once the watch has ended.
struct CardPool::Impl::Watcher {
  base::Mutex mutex;
  std::function<void()> changed ABSL_GUARDED_BY(mutex);
};

CardPool::Impl::Impl(Options options)
    : options_(std::move(options)),
      index_(std::make_shared<KeyIndex>(
          std::vector<std::pair<std::shared_ptr<CardWorker>, CardInfo>>(), &options_.aliases)) {
  timer_thread_ = std::thread([this] { RunTimer(); });
  readers_thread_ = std::thread([this] { WatchReaders(); });
}

CardPool::Impl::~Impl() {
  stopping_ = true;
  options_.readers->Interrupt();
  readers_thread_.join();
  {
    base::MutexLock lock(&timer_mutex_);
    timer_stops_ = true;
    timer_wake_.NotifyAll();
  }
  timer_thread_.join();
  std::vector<std::shared_ptr<CardWorker>> workers;
  {
    base::MutexLock lock(&mutex_);
    for (Inserted& inserted : inserted_) workers.push_back(inserted.worker);
    workers.insert(workers.end(), leaving_.begin(), leaving_.end());
  }
  for (const auto& worker : workers) {
    for (CardJobPtr& job : worker->Remove()) job->done(CardRemoved("the agent is stopping"));
  }
  for (const auto& worker : workers) worker->Join();
}

std::shared_ptr<const KeyIndex> CardPool::Impl::index() const {
  base::MutexLock lock(&mutex_);
  return index_;
}

CardCounters CardPool::Impl::counters() const {
  base::MutexLock lock(&mutex_);
  return counters_;
}

std::vector<CardInfo> CardPool::Impl::Cards() const {
  std::vector<CardInfo> cards;
  base::MutexLock lock(&mutex_);
  for (const Inserted& inserted : inserted_) {
    if (!inserted.worker->known()) continue;
    CardInfo info = inserted.worker->info();
    const std::shared_ptr<CardWorker>* card = index_->Card(info.serial);
    // The same card in another reader, where it was before.
    if (info.serial != 0 && (card == nullptr || *card != inserted.worker)) continue;
    cards.push_back(std::move(info));
  }
  std::stable_sort(cards.begin(), cards.end(),
                   [](const CardInfo& a, const CardInfo& b) { return a.serial < b.serial; });
  return cards;
}

std::shared_ptr<void> CardPool::Impl::Watch(std::function<void()> changed) {
  auto watcher = std::make_shared<Watcher>();
  {
    base::MutexLock lock(&watcher->mutex);
    watcher->changed = std::move(changed);
  }
  {
    base::MutexLock lock(&mutex_);
    watchers_.push_back(watcher);
  }
  Watcher* const raw = watcher.get();
  return std::shared_ptr<void>(raw, [watcher](void*) {
    base::MutexLock lock(&watcher->mutex);
    watcher->changed = nullptr;
  });
}

void CardPool::Impl::Changed() {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    base::MutexLock lock(&mutex_);
    std::vector<std::pair<std::shared_ptr<CardWorker>, CardInfo>> cards;
    for (const Inserted& inserted : inserted_) {
      if (inserted.worker->serving()) cards.emplace_back(inserted.worker, inserted.worker->info());
    }
    index_ = std::make_shared<KeyIndex>(std::move(cards), &options_.aliases);
    for (auto watcher = watchers_.begin(); watcher != watchers_.end();) {
      if (auto alive = watcher->lock()) {
        watchers.push_back(std::move(alive));
        ++watcher;
      } else {
        watcher = watchers_.erase(watcher);
      }
    }
  }
  for (const auto& watcher : watchers) {
    base::MutexLock lock(&watcher->mutex);
    if (watcher->changed) watcher->changed();
  }
}

std::shared_ptr<CardWorker> CardPool::Impl::MakeWorker(const CardReaders::Present& present) {
  CardWorker::Options options;
  options.readers = options_.readers;
  options.present = present;
  options.clock = options_.clock;
  options.queue_capacity = options_.queue_capacity;
  options.pin_floor = options_.pin_floor;
  options.pin_idle = options_.pin_idle;
  if (options_.configured_pin) {
    options.configured_pin = [this](uint32_t serial) -> std::optional<crypto::SecretBytes> {
      {
        base::MutexLock lock(&mutex_);
        if (refused_.count(serial) > 0) return std::nullopt;
      }
      return options_.configured_pin(serial);
    };
  }
  options.pin_refused = [this](uint32_t serial) {
    base::MutexLock lock(&mutex_);
    refused_.insert(serial);
  };
  options.changed = [this] { Changed(); };
  options.ran = [this](absl::string_view operation, const absl::Status& status,
                       absl::Duration on_card, absl::Duration queued) {
    {
      base::MutexLock lock(&mutex_);
      ++counters_.operations;
      if (!status.ok()) ++counters_.failures;
    }
    if (options_.on_operation) options_.on_operation(operation, status.ok(), on_card, queued);
  };
  options.expired = [this](int jobs) {
    base::MutexLock lock(&mutex_);
    counters_.expired += jobs;
  };
  options.wake_timer = [this] { WakeTimer(); };
  return std::make_shared<CardWorker>(std::move(options));
}

void CardPool::Impl::PinChanged(uint32_t serial, const crypto::SecretBytes* pin) {
  bool configured = false;
  if (pin != nullptr && options_.configured_pin) {
    const std::optional<crypto::SecretBytes> given = options_.configured_pin(serial);
    configured = given.has_value() && given->Expose(crypto::SecretAccess::Grant()) ==
                                          pin->Expose(crypto::SecretAccess::Grant());
  }
  base::MutexLock lock(&mutex_);
  if (configured) {
    refused_.erase(serial);
  } else {
    refused_.insert(serial);
  }
}

void CardPool::Impl::WatchReaders() {
  std::vector<CardReaders::Present> known;
  while (!stopping_) {
    std::vector<CardReaders::Present> present = options_.readers->WaitForChange(known);
    if (stopping_) return;
    std::vector<std::shared_ptr<CardWorker>> removed;
    {
      base::MutexLock lock(&mutex_);
      for (auto inserted = inserted_.begin(); inserted != inserted_.end();) {
        if (std::find(present.begin(), present.end(), inserted->present) != present.end()) {
          ++inserted;
          continue;
        }
        removed.push_back(inserted->worker);
        leaving_.push_back(inserted->worker);
        inserted = inserted_.erase(inserted);
      }
      for (const CardReaders::Present& card : present) {
        if (std::find(known.begin(), known.end(), card) == known.end()) {
          inserted_.push_back({card, MakeWorker(card)});
        }
      }
    }
    std::vector<CardJobPtr> jobs;
    for (const auto& worker : removed) {
      for (CardJobPtr& job : worker->Remove()) jobs.push_back(std::move(job));
      if (!worker->has_served()) continue;
      base::MutexLock lock(&mutex_);
      ++counters_.removals;
    }
    if (!removed.empty()) Changed();
    for (CardJobPtr& job : jobs) job->leave(CardRemoved("the card was removed"));
    known = std::move(present);
    JoinFinished();
  }
}

void CardPool::Impl::JoinFinished() {
  std::vector<std::shared_ptr<CardWorker>> finished;
  {
    base::MutexLock lock(&mutex_);
    const auto done = std::partition(leaving_.begin(), leaving_.end(),
                                     [](const auto& worker) { return !worker->finished(); });
    finished.assign(done, leaving_.end());
    leaving_.erase(done, leaving_.end());
  }
  for (const auto& worker : finished) worker->Join();
}

void CardPool::Impl::RunTimer() {
  for (;;) {
    std::vector<std::shared_ptr<CardWorker>> workers;
    {
      base::MutexLock lock(&mutex_);
      for (const Inserted& inserted : inserted_) workers.push_back(inserted.worker);
    }
    absl::Duration next = absl::InfiniteDuration();
    for (const auto& worker : workers) next = std::min(next, worker->Tick());
    workers.clear();
    base::MutexLock lock(&timer_mutex_);
    const auto woken = [this]()
                           ABSL_NO_THREAD_SAFETY_ANALYSIS { return timer_woken_ || timer_stops_; };
    timer_sleeps_ = next > kShortSleep;
    if (next == absl::InfiniteDuration()) {
      timer_wake_.Wait(&timer_mutex_, woken);
    } else {
      timer_wake_.WaitFor(&timer_mutex_, next, woken);
    }
    timer_sleeps_ = false;
    timer_woken_ = false;
    if (timer_stops_) return;
  }
}

void CardPool::Impl::WakeTimer() {
  base::MutexLock lock(&timer_mutex_);
  if (timer_woken_) return;
  timer_woken_ = true;
  // It need not be woken for each job when it is about to look at the queues anyway.
  if (timer_sleeps_) timer_wake_.NotifyAll();
}

bool CardPool::Impl::Expired(const Deadline& deadline,
                             const std::function<void(const absl::Status&)>& done) {
  if (!deadline.Passed(*options_.clock)) return false;
  {
    base::MutexLock lock(&mutex_);
    ++counters_.expired;
  }
  done(absl::DeadlineExceededError("the deadline is over; no card has seen the request"));
  return true;
}

void CardPool::Impl::Start(std::shared_ptr<Use> use) { Dispatch(use, nullptr); }

void CardPool::Impl::Start(std::shared_ptr<Task> task) { Dispatch(task, nullptr); }

void CardPool::Impl::Dispatch(const std::shared_ptr<Use>& use, const absl::Status* why) {
  if (Expired(use->deadline, use->done)) return;
  const std::shared_ptr<const KeyIndex> index = this->index();
  const auto resolved = index->Resolve(use->name);
  if (!resolved.ok()) return use->done(why != nullptr ? *why : resolved.status());
  struct Candidate {
    const KeyEntry* entry;
    bool able;
    int load;
  };
  std::vector<Candidate> candidates;
  absl::Status refusal;
  for (const KeyEntry* entry : *resolved) {
    if (const absl::Status fits = use->fits(*entry); !fits.ok()) {
      refusal = fits;
      continue;
    }
    candidates.push_back(
        {entry, !entry->uses_pin || entry->worker->unlocked(), entry->worker->load()});
  }
  if (candidates.empty()) return use->done(refusal);
  // Equal queues take turns.
  std::rotate(candidates.begin(), candidates.begin() + turn_++ % candidates.size(),
              candidates.end());
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return a.able != b.able ? a.able : a.load < b.load;
                   });
  absl::Status status;
  for (const Candidate& candidate : candidates) {
    const KeyEntry* entry = candidate.entry;
    auto job = std::make_unique<CardJob>(CardJob{use->operation, use->deadline});
    job->uses_pin = entry->uses_pin;
    // The index holds the entry.
    job->run = [use, index, entry](CardSession& session) {
      return session.UseKey(
          entry->place.slot, entry->place.spki_der,
          [&use, entry](piv::Applet& applet) { return use->body(applet, *entry); });
    };
    job->done = use->done;
    job->leave = [this, use](const absl::Status& why) { Dispatch(use, &why); };
    const absl::Status queued = entry->worker->Enqueue(&job);
    if (queued.ok()) {
      if (why == nullptr) return;
      base::MutexLock lock(&mutex_);
      ++counters_.moved;
      return;
    }
    // That a queue is full says more than that another card has just gone.
    if (status.ok() || absl::IsResourceExhausted(queued)) status = queued;
    // Behind those that are able are cards that would only fail.
    if (absl::IsResourceExhausted(queued) && candidate.able) {
      const Candidate* next = &candidate + 1;
      if (next == candidates.data() + candidates.size() || !next->able) break;
    }
  }
  if (absl::IsResourceExhausted(status)) {
    base::MutexLock lock(&mutex_);
    ++counters_.refused;
  }
  use->done(status);
}

void CardPool::Impl::Dispatch(const std::shared_ptr<Task>& task, const absl::Status* why) {
  if (Expired(task->deadline, task->done)) return;
  const std::shared_ptr<const KeyIndex> index = this->index();
  const std::shared_ptr<CardWorker>* card = index->Card(task->serial);
  if (card == nullptr) {
    return task->done(
        why != nullptr ? *why
                       : absl::NotFoundError(absl::StrCat("card ", task->serial, " is not here")));
  }
  auto job = std::make_unique<CardJob>(CardJob{task->operation, task->deadline});
  job->uses_pin = task->uses_pin;
  job->changes_card = task->changes_card;
  job->run = task->body;
  job->done = task->done;
  job->leave = [this, task](const absl::Status& why) { Dispatch(task, &why); };
  const absl::Status queued = (*card)->Enqueue(&job);
  if (queued.ok()) return;
  if (absl::IsResourceExhausted(queued)) {
    base::MutexLock lock(&mutex_);
    ++counters_.refused;
  }
  task->done(queued);
}

}  // namespace countersign::yubikey
