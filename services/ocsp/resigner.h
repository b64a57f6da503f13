// Signs records anew before they grow old (RFC 9919 section 3.2.4), in memory.
//
// A record is due when half of its life is over, when its signer is no longer the one in use, or
// when it is not signed. Shards of the index are rewritten one by one on all cores, each swapped in
// at once, so that a run over everything needs little more memory than there is in use. Shards come
// due one after the other: the first an eighth of a life before the last. Every replica does this
// for itself; nothing is written to the database.
#ifndef COUNTERSIGN_SERVICES_OCSP_RESIGNER_H_
#define COUNTERSIGN_SERVICES_OCSP_RESIGNER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/base/thread_pool.h"
#include "services/ocsp/responses.h"

namespace countersign::ocsp {

// Thread-safe.
class Resigner {
 public:
  struct Options {
    Responses* responses;
    int threads = 1;
    const base::Clock* clock = base::Clock::System();
    // How often is looked for what is due.
    absl::Duration interval = absl::Seconds(1);
  };

  // What `options` points to must outlive it.
  explicit Resigner(const Options& options);
  ~Resigner();
  Resigner(const Resigner&) = delete;
  Resigner& operator=(const Resigner&) = delete;

  // From now on looks for what is due, on a thread of its own, at a low priority: requests go
  // first.
  void Start();

  struct Outcome {
    int64_t seen = 0;
    int64_t resigned = 0;
    int64_t dropped = 0;
    int64_t failed = 0;
  };
  // Signs what is due now, or everything, and drops what is long expired; returns when it is done.
  Outcome RunOnce(bool everything);

  // Since the start.
  int64_t resigned() const { return resigned_; }
  int64_t failed() const { return failed_; }

 private:
  struct Run;

  void Work();
  void RewriteShard(size_t shard, const Run& run, Outcome* outcome);

  const Options options_;
  std::atomic<int64_t> resigned_{0};
  std::atomic<int64_t> failed_{0};

  // One run at a time.
  base::Mutex run_mutex_;
  std::unique_ptr<base::ThreadPool> pool_ ABSL_GUARDED_BY(run_mutex_);
  // Which signers were in use at the last run, and when a shard may be tried again.
  std::vector<std::pair<int64_t, uint32_t>> signers_ ABSL_GUARDED_BY(run_mutex_);
  std::array<int64_t, ResponseIndex::kShards> not_before_ ABSL_GUARDED_BY(run_mutex_){};

  base::Mutex mutex_;
  base::CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_RESIGNER_H_
