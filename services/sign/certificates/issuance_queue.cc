#include "services/sign/certificates/issuance_queue.h"

#include <algorithm>
#include <utility>

#include "libs/base/log.h"
#include "libs/crypto/random.h"
#include "services/sign/certificates/issuance_queue_impl.h"

namespace countersign::sign {
namespace {

// Issuances that one transaction of Enqueue takes, about.
constexpr size_t kEnqueueBatch = 1000;
// Claimed ahead of the workers.
constexpr int64_t kAhead = 100;
constexpr absl::Duration kMaxWriteWait = absl::Seconds(2);

}  // namespace

void LogQueueFailure(absl::string_view what, const absl::Status& status) {
  base::Log(base::Severity::kWarning, what, {{"error", std::string(status.message())}});
}

IssuanceQueue::Impl::Impl(Options given)
    : options(std::move(given)),
      claim(options.claim.empty() ? crypto::RandomUuid() : options.claim),
      plain_(std::make_shared<Lane>()) {
  plain_->concurrency = options.workers;
  plain_->ahead = kAhead;
  if (options.metrics != nullptr) {
    const auto add = [&](const char* type) {
      return Gauges{options.metrics->AddGauge("certificate_queue_size",
                                              "Issuances that wait for a worker or their next try.",
                                              {{"queue_type", type}}),
                    options.metrics->AddGauge("certificate_queue_oldest_seconds",
                                              "How long the oldest of them has waited.",
                                              {{"queue_type", type}})};
    };
    plain_gauges_ = add("issuance");
    renewal_gauges_ = add("renewal");
  }
  dispatcher_ = std::thread([this] { Dispatch(); });
  writer_ = std::thread([this] { Write(); });
}

void IssuanceQueue::Impl::Write() {
  const auto third = absl::ToChronoNanoseconds(options.lease / 3);
  auto next_extension = std::chrono::steady_clock::now() + third;
  while (true) {
    std::vector<Completion> batch;
    {
      base::MutexLock lock(&mutex_);
      written_.WaitFor(&mutex_,
                       std::max(absl::FromChrono(next_extension - std::chrono::steady_clock::now()),
                                absl::ZeroDuration()),
                       [this] { return write_to_end_ || !completions_.empty(); });
      if (write_to_end_ && completions_.empty()) return;
      while (!completions_.empty() && batch.size() < kBatch) {
        batch.push_back(std::move(completions_.front()));
        completions_.pop_front();
      }
    }
    if (!batch.empty()) WriteBatch(batch);
    if (std::chrono::steady_clock::now() < next_extension) continue;
    next_extension = std::chrono::steady_clock::now() + third;
    const absl::Status status =
        options.issuances->ExtendLeases(claim, options.clock->Now() + options.lease);
    if (!status.ok()) LogQueueFailure("the leases of claims could not be extended", status);
  }
}

void IssuanceQueue::Impl::WriteBatch(const std::vector<Completion>& batch) {
  absl::Duration wait = absl::Milliseconds(50);
  absl::StatusOr<std::vector<ResourceId>> done;
  while (true) {
    done = options.issuances->Complete(claim, batch, options.clock->Now());
    if (done.ok()) break;
    LogQueueFailure("what became of issuances could not be written down", done.status());
    base::MutexLock lock(&mutex_);
    // Their leases end, and they are tried again under the same request ids.
    if (written_.WaitFor(&mutex_, wait, [this] { return write_to_end_; })) return;
    wait = std::min(wait * 2, kMaxWriteWait);
  }
  std::set<ResourceId> renewals;
  for (const Completion& completion : batch) {
    if (options.on_issuance_change != nullptr) options.on_issuance_change(completion.name);
    if (!completion.renewal.empty()) {
      renewals.insert({completion.name.tenant, completion.renewal});
    }
  }
  if (options.on_renewal_change != nullptr) {
    for (const ResourceId& renewal : renewals) options.on_renewal_change(renewal);
  }
  base::MutexLock lock(&mutex_);
  for (const Completion& completion : batch) {
    if (completion.state == v1::ISSUANCE_STATE_WAITING) due_.insert(completion.due);
  }
  for (const ResourceId& renewal : *done) renewals_.erase(renewal);
  changed_.NotifyAll();
}

void IssuanceQueue::Impl::Stop() {
  {
    base::MutexLock lock(&mutex_);
    if (stopping_) return;
    stopping_ = true;
    changed_.NotifyAll();
  }
  dispatcher_.join();
  starter_.reset();
  background_.reset();
  std::vector<std::shared_ptr<Upstream>> upstreams;
  {
    base::MutexLock lock(&mutex_);
    const auto give_back = [this](Lane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      for (const Job& job : lane.ready) {
        completions_.push_back({.name = job.claimed.name,
                                .renewal = job.claimed.renewal,
                                .state = v1::ISSUANCE_STATE_QUEUED});
      }
      lane.ready.clear();
    };
    give_back(*plain_);
    for (auto& [name, lane] : renewals_) give_back(*lane);
    written_.NotifyOne();
    const auto idle = [this] { return active_ == 0; };
    if (!changed_.WaitFor(&mutex_, options.stop_grace, idle)) {
      for (auto& [raw, use] : in_use_) upstreams.push_back(use.first);
    }
  }
  for (const auto& upstream : upstreams) upstream->Cancel();
  {
    base::MutexLock lock(&mutex_);
    changed_.Wait(&mutex_, [this] { return active_ == 0; });
    write_to_end_ = true;
    written_.NotifyOne();
  }
  writer_.join();
  const absl::Status released = options.renewals->Release(claim);
  if (!released.ok()) LogQueueFailure("renewals could not be released", released);
}

IssuanceQueue::IssuanceQueue(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}

IssuanceQueue::~IssuanceQueue() = default;

absl::StatusOr<std::vector<v1::Issuance>> IssuanceQueue::Enqueue(
    std::vector<NewIssuance> issuances) {
  Impl& impl = *impl_;
  Impl::PendingEnqueue pending;
  pending.group.issuances = std::move(issuances);
  {
    base::MutexLock lock(&impl.enqueue_mutex_);
    impl.pending_.push_back(&pending);
    // Whoever finds nobody at it writes for all that wait.
    while (true) {
      impl.enqueued_.Wait(&impl.enqueue_mutex_, [&] { return pending.done || !impl.enqueuing_; });
      if (pending.done) break;
      impl.enqueuing_ = true;
      std::vector<Impl::PendingEnqueue*> together;
      std::vector<EnqueueGroup*> groups;
      size_t size = 0;
      while (!impl.pending_.empty() && size < kEnqueueBatch) {
        together.push_back(impl.pending_.front());
        groups.push_back(&together.back()->group);
        size += groups.back()->issuances.size();
        impl.pending_.pop_front();
      }
      impl.enqueue_mutex_.Unlock();
      const absl::Status status =
          impl.options.issuances->Enqueue(groups, impl.options.clock->Now());
      impl.enqueue_mutex_.Lock();
      impl.enqueuing_ = false;
      for (Impl::PendingEnqueue* one : together) {
        if (!status.ok()) one->group.result = status;
        one->done = true;
      }
      impl.enqueued_.NotifyAll();
    }
  }
  if (pending.group.result.ok()) {
    base::MutexLock lock(&impl.mutex_);
    impl.plain_->more = true;
    impl.changed_.NotifyAll();
  }
  return std::move(pending.group.result);
}

void IssuanceQueue::Started(const ResourceId& renewal, int64_t concurrency) {
  base::MutexLock lock(&impl_->mutex_);
  impl_->AddLane(renewal, concurrency);
  impl_->changed_.NotifyAll();
}

void IssuanceQueue::Wake() {
  base::MutexLock lock(&impl_->mutex_);
  impl_->look_ = true;
  impl_->changed_.NotifyAll();
}

QueueStats IssuanceQueue::stats() const {
  base::MutexLock lock(&impl_->mutex_);
  return impl_->stats_;
}

int IssuanceQueue::workers() const { return impl_->options.workers; }

void IssuanceQueue::Stop() { impl_->Stop(); }

}  // namespace countersign::sign
