#include <algorithm>
#include <iterator>
#include <random>

#include "libs/runtime/error_details.h"
#include "services/sign/certificates/issuance_queue_impl.h"

namespace countersign::sign {
namespace {

// Up to a quarter more, so that what failed together is not tried again together.
absl::Duration WithJitter(absl::Duration delay) {
  thread_local std::minstd_rand random(std::random_device{}());
  return delay * std::uniform_real_distribution<>(1.0, 1.25)(random);
}

}  // namespace

bool IsPermanent(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kDataLoss:
      return true;
    default:
      return false;
  }
}

bool IssuanceQueue::Impl::LaneWantsMore() {
  if (plain_->WantsMore()) return true;
  return std::any_of(renewals_.begin(), renewals_.end(),
                     [](const auto& lane) { return lane.second->WantsMore(); });
}

void IssuanceQueue::Impl::Dispatch() {
  auto next_look = std::chrono::steady_clock::now();
  while (true) {
    bool look = false;
    {
      base::MutexLock lock(&mutex_);
      absl::Duration wait = absl::FromChrono(next_look - std::chrono::steady_clock::now());
      if (!due_.empty()) wait = std::min(wait, *due_.begin() - options.clock->Now());
      changed_.WaitFor(&mutex_, std::max(wait, absl::ZeroDuration()),
                       [this] { return stopping_ || look_ || LaneWantsMore(); });
      if (stopping_) return;
      if (!due_.empty() && *due_.begin() <= options.clock->Now()) {
        due_.erase(due_.begin(), due_.upper_bound(options.clock->Now()));
        plain_->more = true;
        for (auto& [name, lane] : renewals_) lane->more = true;
      }
      look = look_ || std::chrono::steady_clock::now() >= next_look;
      look_ = false;
    }
    if (look) {
      Look();
      next_look = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(options.poll);
    }
    std::vector<std::shared_ptr<Lane>> lanes;
    {
      base::MutexLock lock(&mutex_);
      if (plain_->WantsMore()) lanes.push_back(plain_);
      for (const auto& [name, lane] : renewals_) {
        if (lane->WantsMore()) lanes.push_back(lane);
      }
    }
    for (const std::shared_ptr<Lane>& lane : lanes) {
      ClaimFor(lane);
      // Elsewhere, so that the next claim does not wait for it.
      starter_->Schedule([this] { StartReady(); });
    }
  }
}

void IssuanceQueue::Impl::Look() {
  const absl::Time now = options.clock->Now();
  if (!recovered_ && options.alone) {
    const absl::Status status = options.issuances->Recover(now, &claim);
    if (!status.ok()) return LogQueueFailure("the issuance queue could not be recovered", status);
  }
  recovered_ = true;
  absl::StatusOr<QueueStats> stats = options.issuances->Stats(now);
  if (!stats.ok()) return LogQueueFailure("the issuance queue could not be read", stats.status());
  if (stats->expired) {
    const absl::Status status = options.issuances->Recover(now);
    if (!status.ok()) LogQueueFailure("lost claims could not be queued again", status);
  }
  const auto since = std::chrono::steady_clock::now();
  const auto owned = options.renewals->Acquire(claim, now, now + options.lease);
  if (owned.ok()) {
    SetLanes(*owned, since);
  } else {
    LogQueueFailure("renewals could not be read", owned.status());
  }
  const auto show = [now](const std::optional<Gauges>& gauges, int64_t size,
                          const std::optional<absl::Time>& oldest) {
    if (!gauges.has_value()) return;
    gauges->size->Set(static_cast<double>(size));
    gauges->age->Set(oldest.has_value() ? absl::ToDoubleSeconds(now - *oldest) : 0);
  };
  show(plain_gauges_, stats->waiting, stats->oldest);
  show(renewal_gauges_, stats->renewal_waiting, stats->renewal_oldest);
  base::MutexLock lock(&mutex_);
  if (stats->expired || (stats->due.has_value() && *stats->due <= now)) plain_->more = true;
  stats_ = *std::move(stats);
}

std::shared_ptr<IssuanceQueue::Impl::Lane> IssuanceQueue::Impl::AddLane(const ResourceId& renewal,
                                                                        int64_t concurrency) {
  std::shared_ptr<Lane>& lane = renewals_[renewal];
  if (lane == nullptr) lane = std::make_shared<Lane>();
  lane->renewal = renewal;
  lane->concurrency = concurrency;
  lane->ahead = concurrency;
  lane->more = true;
  return lane;
}

void IssuanceQueue::Impl::SetLanes(const std::vector<RenewalStore::Owned>& owned,
                                   std::chrono::steady_clock::time_point since) {
  base::MutexLock lock(&mutex_);
  std::set<ResourceId> names;
  for (const RenewalStore::Owned& renewal : owned) {
    names.insert(renewal.name);
    AddLane(renewal.name, renewal.concurrency);
    if (renewal.started || options.resume_start == nullptr ||
        !resuming_.insert(renewal.name).second) {
      continue;
    }
    background_->Schedule([this, name = renewal.name] {
      const absl::Status status = options.resume_start(name);
      if (!status.ok()) LogQueueFailure("a renewal could not be started to the end", status);
      base::MutexLock resumed(&mutex_);
      resuming_.erase(name);
    });
  }
  // Done, or lost to another process.
  for (auto it = renewals_.begin(); it != renewals_.end();) {
    if (names.count(it->first) != 0 || it->second->begin > since) {
      ++it;
      continue;
    }
    for (Job& job : it->second->ready) {
      completions_.push_back({.name = job.claimed.name,
                              .renewal = job.claimed.renewal,
                              .state = v1::ISSUANCE_STATE_QUEUED});
    }
    it->second->ready.clear();
    it = renewals_.erase(it);
  }
  written_.NotifyOne();
}

void IssuanceQueue::Impl::ClaimFor(const std::shared_ptr<Lane>& lane) {
  int64_t count;
  {
    base::MutexLock lock(&mutex_);
    count = std::min<int64_t>(kBatch, lane->Room());
    if (count <= 0) return;
    lane->more = false;
  }
  const absl::Time now = options.clock->Now();
  const absl::Time end = now + options.lease;
  absl::StatusOr<std::vector<ClaimedIssuance>> claimed =
      lane->renewal.id.empty()
          ? options.issuances->Claim(claim, count, &last_tenant_, now, end)
          : options.issuances->ClaimOfRenewal(lane->renewal, claim, count, now, end);
  if (!claimed.ok()) return LogQueueFailure("issuances could not be claimed", claimed.status());
  std::vector<Job> jobs;
  for (ClaimedIssuance& issuance : *claimed) {
    if (options.on_issuance_change != nullptr) options.on_issuance_change(issuance.name);
    Job job;
    job.claimed = std::move(issuance);
    absl::Status failure = job.claimed.request.status();
    if (failure.ok()) {
      auto upstream = options.find_upstream({job.claimed.name.tenant, job.claimed.upstream});
      failure = upstream.status();
      if (failure.ok()) job.upstream = *std::move(upstream);
    }
    if (failure.ok()) {
      jobs.push_back(std::move(job));
    } else {
      Enter();
      Finish(job, failure);
    }
  }
  base::MutexLock lock(&mutex_);
  if (static_cast<int64_t>(claimed->size()) == count) lane->more = true;
  std::move(jobs.begin(), jobs.end(), std::back_inserter(lane->ready));
}

void IssuanceQueue::Impl::StartReady() {
  {
    base::MutexLock lock(&mutex_);
    if (starting_) return;
    starting_ = true;
  }
  while (true) {
    std::shared_ptr<Lane> next;
    Job job;
    {
      base::MutexLock lock(&mutex_);
      const auto can_start = [](const std::shared_ptr<Lane>& lane) {
        return !lane->ready.empty() && lane->running < lane->concurrency;
      };
      if (!stopping_) {
        if (can_start(plain_)) next = plain_;
        for (auto it = renewals_.begin(); next == nullptr && it != renewals_.end(); ++it) {
          if (can_start(it->second)) next = it->second;
        }
      }
      if (next == nullptr) {
        starting_ = false;
        return;
      }
      job = std::move(next->ready.front());
      next->ready.pop_front();
      ++next->running;
      ++active_;
      auto& use = in_use_[job.upstream.get()];
      use.first = job.upstream;
      ++use.second;
      if (next->WantsMore()) changed_.NotifyAll();
    }
    Begin(std::move(next), std::move(job));
  }
}

void IssuanceQueue::Impl::Begin(std::shared_ptr<Lane> lane, Job job) {
  const auto kept = std::make_shared<Job>(std::move(job));
  const ResourceId name = kept->claimed.name;
  kept->claimed.request->set_request_id(
      UuidOf(FormatResourceName(name.tenant, kIssuances, name.id)));
  Upstream::Task task;
  task.request = *kept->claimed.request;
  task.progress = std::move(kept->claimed.progress);
  task.save_progress = [this, name](const std::string& progress) {
    return options.issuances->SaveProgress(name, claim, progress);
  };
  kept->upstream->Issue(std::move(task), [this, lane = std::move(lane), kept, begun = absl::Now()](
                                             absl::StatusOr<Upstream::Issued> issued) {
    Answered(lane, kept, begun, std::move(issued));
  });
}

void IssuanceQueue::Impl::Answered(const std::shared_ptr<Lane>& lane,
                                   const std::shared_ptr<const Job>& job, absl::Time begun,
                                   absl::StatusOr<Upstream::Issued> issued) {
  // This call goes on when the request is done with, and Stop has to wait for it.
  Enter();
  if (options.metrics != nullptr) {
    options.metrics
        ->AddHistogram("ca_request_duration_seconds",
                       "How long authorities took to issue what the queue asked of them.",
                       runtime::LatencyBounds(),
                       {{"operation", std::string(job->upstream->kind())},
                        {"status", absl::StatusCodeToString(issued.status().code())}})
        ->Observe(absl::ToDoubleSeconds(absl::Now() - begun));
  }
  {
    base::MutexLock lock(&mutex_);
    --lane->running;
    const auto use = in_use_.find(job->upstream.get());
    if (--use->second.second == 0) in_use_.erase(use);
  }
  // The place goes to the next one before this one's certificate is written down.
  StartReady();
  if (!issued.ok()) {
    Finish(*job, issued.status());
  } else if (!issued->certificate.empty()) {
    Finish(*job, std::move(issued->certificate));
  } else {
    options.track(job->claimed.name.tenant, *job->claimed.request, *std::move(issued),
                  [this, job](absl::StatusOr<std::string> certificate) {
                    Finish(*job, std::move(certificate));
                  });
  }
  Leave();
}

// Ends one of those that are active.
void IssuanceQueue::Impl::Finish(const Job& job, absl::StatusOr<std::string> certificate) {
  const ClaimedIssuance& claimed = job.claimed;
  Completion completion;
  completion.name = claimed.name;
  completion.renewal = claimed.renewal;
  base::MutexLock lock(&mutex_);
  if (certificate.ok()) {
    completion.state = v1::ISSUANCE_STATE_SUCCEEDED;
    completion.certificate = *std::move(certificate);
  } else if (stopping_ && absl::IsCancelled(certificate.status())) {
    completion.state = v1::ISSUANCE_STATE_QUEUED;
  } else {
    completion.error = ToItemError(certificate.status());
    if (IsPermanent(certificate.status()) || claimed.tries >= claimed.max_tries) {
      completion.state = v1::ISSUANCE_STATE_FAILED;
    } else {
      completion.state = v1::ISSUANCE_STATE_WAITING;
      const absl::Duration asked =
          runtime::RetryAfterOf(certificate.status()).value_or(absl::ZeroDuration());
      completion.due =
          options.clock->Now() +
          std::max(asked, WithJitter(options.backoff *
                                     static_cast<double>(int64_t{1} << (claimed.tries - 1))));
    }
  }
  completions_.push_back(std::move(completion));
  written_.NotifyOne();
  --active_;
  changed_.NotifyAll();
}

}  // namespace countersign::sign
