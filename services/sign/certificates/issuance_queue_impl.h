// The inside of IssuanceQueue.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_QUEUE_IMPL_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_QUEUE_IMPL_H_

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/metrics.h"
#include "services/sign/certificates/issuance_queue.h"

namespace countersign::sign {

// Two threads: the dispatcher claims (issuance_dispatch.cc), the writer writes down what came of it
// and extends leases. Issuances are begun and ended by whatever thread an upstream answers on.
struct IssuanceQueue::Impl {
  // What one transaction claims or writes down, at most.
  static constexpr size_t kBatch = 100;

  explicit Impl(Options given);
  ~Impl() { Stop(); }

  struct Job {
    ClaimedIssuance claimed;
    std::shared_ptr<Upstream> upstream;
  };

  // Requests that share a limit: those of a renewal, or those of none.
  struct Lane {
    ResourceId renewal;
    int64_t concurrency = 0;
    int64_t ahead = 0;
    int64_t running = 0;
    std::deque<Job> ready;
    // Whether a claim may find something.
    bool more = true;
    // When it came.
    std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();

    int64_t Room() const {
      return concurrency + ahead - running - static_cast<int64_t>(ready.size());
    }
    bool WantsMore() const { return more && static_cast<int64_t>(ready.size()) <= ahead / 2; }
  };

  struct PendingEnqueue {
    EnqueueGroup group;
    bool done = false;
  };

  void Dispatch();
  bool LaneWantsMore() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What other processes changed, and what has become due.
  void Look();
  // `owned` was read after `since`.
  void SetLanes(const std::vector<RenewalStore::Owned>& owned,
                std::chrono::steady_clock::time_point since);
  std::shared_ptr<Lane> AddLane(const ResourceId& renewal, int64_t concurrency)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ClaimFor(const std::shared_ptr<Lane>& lane);
  void StartReady();
  void Begin(std::shared_ptr<Lane> lane, Job job);
  void Answered(const std::shared_ptr<Lane>& lane, const std::shared_ptr<const Job>& job,
                absl::Time begun, absl::StatusOr<Upstream::Issued> issued);
  void Finish(const Job& job, absl::StatusOr<std::string> certificate);
  void Write();
  // Writes one batch down, trying until it is or the queue stops.
  void WriteBatch(const std::vector<Completion>& batch);
  void Stop();

  void Enter() {
    base::MutexLock lock(&mutex_);
    ++active_;
  }
  void Leave() {
    base::MutexLock lock(&mutex_);
    --active_;
    changed_.NotifyAll();
  }

  const Options options;
  const std::string claim;

  base::Mutex mutex_;
  base::CondVar changed_;  // for the dispatcher and for Stop
  base::CondVar written_;  // for the writer
  std::shared_ptr<Lane> plain_ ABSL_GUARDED_BY(mutex_);
  std::map<ResourceId, std::shared_ptr<Lane>> renewals_ ABSL_GUARDED_BY(mutex_);
  std::set<ResourceId> resuming_ ABSL_GUARDED_BY(mutex_);
  // When what this process put off is due.
  std::multiset<absl::Time> due_ ABSL_GUARDED_BY(mutex_);
  bool look_ ABSL_GUARDED_BY(mutex_) = true;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool write_to_end_ ABSL_GUARDED_BY(mutex_) = false;
  // One thread begins what is ready, however deep the calls are in which others end.
  bool starting_ ABSL_GUARDED_BY(mutex_) = false;
  // Requests with an upstream or on their way to the writer, and calls that still use this object.
  int64_t active_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<Upstream*, std::pair<std::shared_ptr<Upstream>, int64_t>> in_use_
      ABSL_GUARDED_BY(mutex_);
  std::deque<Completion> completions_ ABSL_GUARDED_BY(mutex_);
  QueueStats stats_ ABSL_GUARDED_BY(mutex_);

  base::Mutex enqueue_mutex_;
  base::CondVar enqueued_;
  std::deque<PendingEnqueue*> pending_ ABSL_GUARDED_BY(enqueue_mutex_);
  bool enqueuing_ ABSL_GUARDED_BY(enqueue_mutex_) = false;

  // Of the dispatcher.
  std::string last_tenant_;
  bool recovered_ = false;

  struct Gauges {
    runtime::Gauge* size;
    runtime::Gauge* age;
  };
  std::optional<Gauges> plain_gauges_;
  std::optional<Gauges> renewal_gauges_;

  std::unique_ptr<base::ThreadPool> starter_ = std::make_unique<base::ThreadPool>(1);
  // Completes starts, which takes long.
  std::unique_ptr<base::ThreadPool> background_ = std::make_unique<base::ThreadPool>(1);
  std::thread dispatcher_;
  std::thread writer_;
};

// Says in the log that something is not done now.
void LogQueueFailure(absl::string_view what, const absl::Status& status);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_QUEUE_IMPL_H_
