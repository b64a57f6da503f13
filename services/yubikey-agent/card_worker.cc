#include "services/yubikey-agent/card_worker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/runtime/error_details.h"
#include "services/yubikey-agent/card_session.h"

namespace countersign::yubikey {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr absl::Duration kMinRetry = absl::Milliseconds(50);
constexpr absl::Duration kMaxRetry = absl::Seconds(2);
// A card that is being pulled does not answer a few times either.
constexpr int kPatience = 5;
// Tries that must be left for a configured PIN: all that a card has from the factory.
constexpr int kConfiguredTries = 3;
constexpr absl::Duration kFailedRetry = absl::Seconds(30);
// Clocks step without telling: waits for them are cut into pieces.
constexpr absl::Duration kQueueTick = absl::Milliseconds(10);
constexpr absl::Duration kPinTick = absl::Seconds(1);

// Overwrites the stack below its caller, where libraries left copies of the PINs they passed on.
// AddressSanitizer would put the array elsewhere.
__attribute__((noinline, no_sanitize_address)) void WipeStack() {
  char stack[32 << 10];
  crypto::Wipe(stack, sizeof(stack));
}

absl::Duration Since(SteadyClock::time_point start) {
  return absl::FromChrono(SteadyClock::now() - start);
}

}  // namespace

absl::Status CardRemoved(absl::string_view why) {
  return runtime::AttachReason(absl::UnavailableError(why), kCardRemoved);
}

CardWorker::CardWorker(Options options)
    : options_(std::move(options)), pin_(options_.clock, options_.pin_idle) {
  info_.reader = options_.present.reader;
  thread_ = std::thread([this] { Run(); });
}

CardWorker::~CardWorker() {
  for (CardJobPtr& job : Remove()) job->leave(CardRemoved("the card is not used any more"));
  Join();
}

absl::Status CardWorker::Enqueue(CardJobPtr* job) {
  {
    base::MutexLock lock(&mutex_);
    if (removed_ || !serving_) {
      return CardRemoved(absl::StrCat("the card in ", options_.present.reader, " was removed"));
    }
    if (queue_.size() >= static_cast<size_t>(options_.queue_capacity)) {
      return runtime::AttachRetryAfter(
          runtime::AttachReason(
              absl::ResourceExhaustedError(absl::StrCat(queue_.size(), " jobs wait for card ",
                                                        info_.serial, " already; try again later")),
              kQueueFull),
          ExpectedWait());
    }
    (*job)->queued = SteadyClock::now();
    queue_.push_back(std::move(*job));
    wake_.NotifyAll();
  }
  options_.wake_timer();
  return absl::OkStatus();
}

absl::Duration CardWorker::ExpectedWait() const {
  const absl::Duration wait = average_ * static_cast<int64_t>(queue_.size()) / 2;
  return std::clamp(wait, absl::Milliseconds(50), absl::Seconds(10));
}

std::deque<CardJobPtr> CardWorker::Remove() {
  pin_.Forget();
  base::MutexLock lock(&mutex_);
  removed_ = true;
  serving_ = false;
  known_ = false;
  wake_.NotifyAll();
  return std::exchange(queue_, {});
}

void CardWorker::Join() {
  if (thread_.joinable()) thread_.join();
}

bool CardWorker::finished() const {
  base::MutexLock lock(&mutex_);
  return finished_;
}

bool CardWorker::serving() const {
  base::MutexLock lock(&mutex_);
  return serving_;
}

bool CardWorker::has_served() const {
  base::MutexLock lock(&mutex_);
  return has_served_;
}

bool CardWorker::known() const {
  base::MutexLock lock(&mutex_);
  return known_;
}

CardInfo CardWorker::info() const {
  const bool held = pin_.held();
  base::MutexLock lock(&mutex_);
  CardInfo info = info_;
  info.unlocked = held;
  info.queued = static_cast<int>(queue_.size()) + (running_ ? 1 : 0);
  return info;
}

int CardWorker::load() const {
  base::MutexLock lock(&mutex_);
  return static_cast<int>(queue_.size()) + (running_ ? 1 : 0);
}

bool CardWorker::unlocked() const {
  if (!pin_.held()) return false;
  base::MutexLock lock(&mutex_);
  return serving_ && info_.state == CardState::kReady;
}

absl::Duration CardWorker::Tick() {
  AnswerExpired(TakeExpired());
  if (pin_.ForgetIdle()) {
    {
      base::MutexLock lock(&mutex_);
      log_out_ = true;
      wake_.NotifyAll();
    }
    options_.changed();
  }
  absl::Duration next = pin_.IdleIn();
  if (next != absl::InfiniteDuration()) next = std::min(next, kPinTick);
  base::MutexLock lock(&mutex_);
  for (const CardJobPtr& job : queue_) {
    next = std::min({next, job->deadline.Left(*options_.clock), kQueueTick});
  }
  return next;
}

std::deque<CardJobPtr> CardWorker::TakeExpired() {
  std::deque<CardJobPtr> expired;
  base::MutexLock lock(&mutex_);
  for (auto job = queue_.begin(); job != queue_.end();) {
    if ((*job)->deadline.Passed(*options_.clock)) {
      expired.push_back(std::move(*job));
      job = queue_.erase(job);
    } else {
      ++job;
    }
  }
  return expired;
}

void CardWorker::AnswerExpired(std::deque<CardJobPtr> jobs) {
  if (jobs.empty()) return;
  options_.expired(static_cast<int>(jobs.size()));
  for (CardJobPtr& job : jobs) {
    job->done(absl::DeadlineExceededError(
        "the deadline passed while others used the card; the card has not seen the request"));
  }
}

CardJobPtr CardWorker::TakeJob() {
  AnswerExpired(TakeExpired());
  base::MutexLock lock(&mutex_);
  if (queue_.empty()) return nullptr;
  CardJobPtr job = std::move(queue_.front());
  queue_.pop_front();
  running_ = true;
  return job;
}

bool CardWorker::Sleep(absl::Duration duration) {
  base::MutexLock lock(&mutex_);
  const auto removed = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return removed_; };
  if (duration == absl::InfiniteDuration()) {
    wake_.Wait(&mutex_, removed);
  } else {
    wake_.WaitFor(&mutex_, duration, removed);
  }
  return removed_;
}

void CardWorker::Run() {
  absl::Duration retry = kMinRetry;
  int unanswered = 0;
  do {
    absl::StatusOr<std::unique_ptr<CardSession>> session = absl::UnavailableError("");
    if (auto transport = options_.readers->Connect(options_.present.reader); transport.ok()) {
      session = CardSession::Open(*std::move(transport), options_.pin_floor, &pin_);
    } else {
      session = std::move(transport).status();
    }
    if (session.ok()) {
      UnlockConfigured(session->get());
      bool serve;
      published_slots_ = 0;
      Publish(**session);
      {
        base::MutexLock lock(&mutex_);
        serve = !removed_;
        serving_ = serve;
        known_ = serve;
        has_served_ = has_served_ || serve;
      }
      if (serve) {
        retry = kMinRetry;
        base::Log(base::Severity::kInfo, "a card is there",
                  {{"card", absl::StrCat((*session)->serial())},
                   {"reader", options_.present.reader},
                   {"firmware", (*session)->version().ToString()}});
        options_.changed();
        if (pin_.held()) options_.wake_timer();
        Serve(session->get());
        base::Log(
            base::Severity::kInfo, "a card is gone",
            {{"card", absl::StrCat((*session)->serial())}, {"reader", options_.present.reader}});
        StopServing();
        session->reset();
      }
    } else if (absl::IsNotFound(session.status())) {
      // A card of another kind, unless it was a PIV card a moment ago.
      retry = has_served_ ? kFailedRetry : absl::InfiniteDuration();
    } else if (!absl::IsUnavailable(session.status())) {
      PublishFailure(session.status());
      retry = kFailedRetry;
    } else if (++unanswered == kPatience) {
      base::Log(base::Severity::kWarning, "a card cannot be opened; another program may have it",
                {{"reader", options_.present.reader},
                 {"error", std::string(session.status().message())}});
    }
    pin_.Forget();
    if (Sleep(retry)) break;
    retry = std::min(2 * retry, std::max(retry, kMaxRetry));
  } while (true);
  base::MutexLock lock(&mutex_);
  finished_ = true;
}

void CardWorker::UnlockConfigured(CardSession* session) {
  if (!options_.configured_pin) return;
  const std::optional<crypto::SecretBytes> pin = options_.configured_pin(session->serial());
  if (!pin.has_value()) return;
  // A service that is started again and again with a wrong PIN must not use the tries up.
  if (session->pin_tries().value_or(0) < kConfiguredTries) {
    base::Log(base::Severity::kWarning,
              "the configured PIN is not sent: too few tries are left; unlock the card by hand",
              {{"card", absl::StrCat(session->serial())}});
    return;
  }
  absl::Status status = session->Begin();
  if (status.ok()) {
    status = session->Unlock(*pin);
    session->End();
  }
  WipeStack();
  if (status.ok()) return;
  if (absl::IsPermissionDenied(status) || absl::IsInvalidArgument(status)) {
    options_.pin_refused(session->serial());
  }
  base::Log(base::Severity::kWarning, "the configured PIN does not unlock the card",
            {{"card", absl::StrCat(session->serial())}, {"error", std::string(status.message())}});
}

void CardWorker::Serve(CardSession* session) {
  while (!session->lost()) {
    {
      base::MutexLock lock(&mutex_);
      wake_.Wait(&mutex_, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        return removed_ || log_out_ || !queue_.empty();
      });
      if (removed_) return;
    }
    if (!session->Begin().ok()) return;
    bool log_out;
    {
      base::MutexLock lock(&mutex_);
      log_out = std::exchange(log_out_, false);
    }
    if (log_out && !pin_.held()) session->LogOut();
    CardJobPtr job = TakeJob();
    if (job == nullptr) {
      session->End();
      continue;
    }
    RunJob(session, job.get());
  }
}

void CardWorker::RunJob(CardSession* session, CardJob* job) {
  const SteadyClock::time_point started = SteadyClock::now();
  const CardState state_before = session->state();
  const bool held_before = pin_.held();
  absl::Status status = job->run(*session);
  const absl::Duration on_card = Since(started);
  if (!session->lost() && job->changes_card) {
    if (const absl::Status read = session->ReadSlots(); !read.ok() && !session->lost()) {
      base::Log(
          base::Severity::kWarning, "a card's slots cannot be read",
          {{"card", absl::StrCat(session->serial())}, {"error", std::string(read.message())}});
    }
  }
  session->End();
  WipeStack();
  if (session->lost() && !status.ok()) {
    status = CardRemoved(absl::StrCat("card ", session->serial(),
                                      " was removed while it was used: ", status.message()));
  }
  {
    base::MutexLock lock(&mutex_);
    running_ = false;
    average_ = average_ == absl::ZeroDuration() ? on_card : (7 * average_ + on_card) / 8;
  }
  const bool news = Publish(*session);
  const bool held = pin_.held();
  if (news || held_before != held) options_.changed();
  if (held && !held_before) options_.wake_timer();
  options_.ran(job->operation, status, on_card, absl::FromChrono(started - job->queued));
  job->done(status);
  if (state_before != CardState::kLocked) LeaveLocked(*session);
}

void CardWorker::LeaveLocked(const CardSession& session) {
  if (session.state() != CardState::kLocked) return;
  std::deque<CardJobPtr> leaving;
  {
    base::MutexLock lock(&mutex_);
    for (auto job = queue_.begin(); job != queue_.end();) {
      if ((*job)->uses_pin) {
        leaving.push_back(std::move(*job));
        job = queue_.erase(job);
      } else {
        ++job;
      }
    }
  }
  const absl::Status why =
      runtime::AttachReason(absl::FailedPreconditionError(session.detail()), kCardLocked);
  for (CardJobPtr& job : leaving) job->leave(why);
}

bool CardWorker::Publish(const CardSession& session) {
  base::MutexLock lock(&mutex_);
  bool news = info_.state != session.state() || info_.detail != session.detail() ||
              info_.pin_tries != session.pin_tries() || info_.serial != session.serial();
  info_.serial = session.serial();
  info_.version = session.version();
  info_.state = session.state();
  info_.detail = session.detail();
  info_.pin_tries = session.pin_tries();
  if (news || published_slots_ != session.slots_revision()) {
    published_slots_ = session.slots_revision();
    info_.slots = session.slots();
    news = true;
  }
  return news;
}

void CardWorker::PublishFailure(const absl::Status& status) {
  {
    base::MutexLock lock(&mutex_);
    if (removed_) return;
    known_ = true;
    info_ = CardInfo();
    info_.reader = options_.present.reader;
    info_.state = CardState::kFailed;
    info_.detail = std::string(status.message());
  }
  options_.changed();
}

void CardWorker::StopServing() {
  std::deque<CardJobPtr> leaving;
  {
    base::MutexLock lock(&mutex_);
    serving_ = false;
    known_ = false;
    log_out_ = false;
    leaving = std::exchange(queue_, {});
  }
  pin_.Forget();
  // Before the jobs leave, so that they do not come back.
  options_.changed();
  for (CardJobPtr& job : leaving) {
    job->leave(CardRemoved(absl::StrCat("the card in ", options_.present.reader, " was removed")));
  }
}

}  // namespace countersign::yubikey
