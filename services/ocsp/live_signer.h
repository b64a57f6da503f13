// Answers that have to be signed now: a bounded queue before as many threads as there are cores.
#ifndef COUNTERSIGN_SERVICES_OCSP_LIVE_SIGNER_H_
#define COUNTERSIGN_SERVICES_OCSP_LIVE_SIGNER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "libs/base/thread_pool.h"
#include "services/ocsp/responder.h"

namespace countersign::ocsp {

// Thread-safe.
class LiveSigner {
 public:
  struct Options {
    const Responder* responder;
    int threads = 1;
    // Requests that wait or are being signed, at most.
    int max_queue = 1024;
  };

  // What `options` points to must outlive it.
  explicit LiveSigner(const Options& options);
  // Answers what is queued.
  ~LiveSigner() = default;

  using Done = std::function<void(const Answer& answer, std::string response)>;
  // Calls `done` once with the response: on a thread of its own, or at once, with tryLater, when
  // the queue is full.
  void Submit(absl::string_view request, Done done);

  int depth() const { return depth_; }

 private:
  const Options options_;
  std::atomic<int> depth_{0};
  base::ThreadPool pool_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_LIVE_SIGNER_H_
