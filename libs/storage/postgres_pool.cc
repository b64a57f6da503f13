#include "libs/storage/postgres_pool.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/storage/backoff.h"

namespace countersign::storage {
namespace {

// How often the idle are looked at.
constexpr absl::Duration kShortestNap = absl::Milliseconds(10);
constexpr absl::Duration kLongestNap = absl::Minutes(1);

// So that those which were opened together are not replaced together.
absl::Duration Jittered(absl::Duration duration) {
  thread_local std::minstd_rand random{std::random_device{}()};
  return duration * std::uniform_real_distribution<double>(0.9, 1.1)(random);
}

}  // namespace

PostgresPool::PostgresPool(std::string url, const DatabaseOptions& options)
    : url_(std::move(url)), options_(options), reaper_([this] { ReapIdle(); }) {}

absl::Status PostgresPool::AwaitTurn(absl::Time deadline) {
  base::MutexLock lock(&mutex_);
  if (closed_) return absl::FailedPreconditionError("database: closed");
  if (waiters_.empty() && in_use_ < options_.max_connections) {
    ++in_use_;
    return absl::OkStatus();
  }
  Waiter waiter;
  waiters_.push_back(&waiter);
  waiter.granted_or_closed.WaitFor(&mutex_, deadline - absl::Now(),
                                   [&] { return waiter.granted || closed_; });
  if (waiter.granted) return absl::OkStatus();
  waiters_.erase(std::find(waiters_.begin(), waiters_.end(), &waiter));
  if (closed_) {
    changed_.NotifyAll();
    return absl::FailedPreconditionError("database: closed");
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "database: all ", options_.max_connections, " connections of the pool stayed in use for ",
      absl::FormatDuration(options_.connect_timeout), ": raise max_connections or send less"));
}

// Hands the turn on to who waits longest.
void PostgresPool::EndTurn() {
  if (waiters_.empty() || closed_) {
    --in_use_;
    changed_.NotifyAll();
    return;
  }
  Waiter* const next = waiters_.front();
  waiters_.pop_front();
  next->granted = true;
  next->granted_or_closed.NotifyOne();
}

absl::StatusOr<PostgresPool::Pooled> PostgresPool::Connect() {
  ASSIGN_OR_RETURN(std::unique_ptr<PostgresConnection> connection,
                   PostgresConnection::Open(url_, options_.connect_timeout, options_.busy_timeout));
  return Pooled{std::move(connection), absl::Now() + Jittered(options_.max_lifetime)};
}

std::optional<PostgresPool::Pooled> PostgresPool::TakeIdle() {
  while (true) {
    // Closed outside of the lock when it is too old.
    Pooled pooled;
    {
      base::MutexLock lock(&mutex_);
      if (idle_.empty()) return std::nullopt;
      pooled = std::move(idle_.back());
      idle_.pop_back();
    }
    if (absl::Now() < pooled.expires) return pooled;
  }
}

bool PostgresPool::Doubtful(const Pooled& pooled) const {
  return pooled.suspect || absl::Now() - pooled.rested_since >= options_.check_after ||
         pooled.connection->Disturbed();
}

absl::StatusOr<PostgresPool::Lease> PostgresPool::Acquire(bool patient) {
  absl::Time deadline = absl::Now() + options_.connect_timeout;
  RETURN_IF_ERROR(AwaitTurn(deadline));
  deadline = absl::Now() + options_.connect_timeout;
  // A server that has gone without a word would cost a wait for each of its connections.
  bool all_answered = true;
  for (int attempt = 0;; ++attempt) {
    while (std::optional<Pooled> pooled = TakeIdle()) {
      if (Doubtful(*pooled)) {
        all_answered = all_answered && pooled->connection->Answers(deadline - absl::Now());
        if (!all_answered) continue;
      }
      return Lease(this, *std::move(pooled));
    }
    absl::StatusOr<Pooled> opened = Connect();
    if (opened.ok()) return Lease(this, *std::move(opened));
    // A server that restarts is back soon; one that has no connection left may have one soon.
    const bool may_change = patient && (absl::IsUnavailable(opened.status()) ||
                                        absl::IsResourceExhausted(opened.status()));
    base::MutexLock lock(&mutex_);
    if (!may_change || closed_ || absl::Now() >= deadline) {
      EndTurn();
      return opened.status();
    }
    mutex_.Unlock();
    options_.sleep(std::min(Backoff(attempt), absl::Milliseconds(100)));
    mutex_.Lock();
  }
}

void PostgresPool::Return(Pooled pooled) {
  // Closed outside of the lock.
  std::unique_ptr<PostgresConnection> spent;
  const absl::Time now = absl::Now();
  base::MutexLock lock(&mutex_);
  if (!pooled.connection->usable()) {
    // What ended it may have ended the others too, without a word.
    for (Pooled& other : idle_) other.suspect = true;
  }
  if (!pooled.connection->usable() || now >= pooled.expires || closed_) {
    spent = std::move(pooled.connection);
  } else {
    pooled.rested_since = now;
    pooled.suspect = false;
    idle_.push_back(std::move(pooled));
  }
  EndTurn();
}

void PostgresPool::ReapIdle() {
  base::MutexLock lock(&mutex_);
  while (!closed_) {
    const absl::Time now = absl::Now();
    std::vector<Pooled> spent;
    while (static_cast<int>(idle_.size()) + in_use_ > options_.min_connections && !idle_.empty() &&
           now - idle_.front().rested_since >= options_.idle_timeout) {
      spent.push_back(std::move(idle_.front()));
      idle_.pop_front();
    }
    if (!spent.empty()) {
      mutex_.Unlock();
      spent.clear();
      mutex_.Lock();
      continue;
    }
    changed_.WaitFor(&mutex_, std::clamp(options_.idle_timeout / 4, kShortestNap, kLongestNap),
                     [&] { return closed_; });
  }
}

PoolStats PostgresPool::stats() const {
  base::MutexLock lock(&mutex_);
  return {.in_use = in_use_,
          .idle = static_cast<int>(idle_.size()),
          .waiting = static_cast<int>(waiters_.size())};
}

void PostgresPool::Close() {
  {
    base::MutexLock lock(&mutex_);
    closed_ = true;
    changed_.NotifyAll();
    for (Waiter* waiter : waiters_) waiter->granted_or_closed.NotifyOne();
    changed_.Wait(&mutex_, [&] { return in_use_ == 0 && waiters_.empty(); });
    idle_.clear();
  }
  std::thread reaper;
  {
    base::MutexLock lock(&mutex_);
    reaper.swap(reaper_);
  }
  if (reaper.joinable()) reaper.join();
}

}  // namespace countersign::storage
