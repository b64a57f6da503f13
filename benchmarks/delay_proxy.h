// An HTTP proxy on loopback that holds each request back before it forwards it: a distant server.
#ifndef COUNTERSIGN_BENCHMARKS_DELAY_PROXY_H_
#define COUNTERSIGN_BENCHMARKS_DELAY_PROXY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "libs/http/client.h"
#include "libs/http/server.h"

namespace countersign::bench {

// Runs functions later, on one thread of its own. Thread-safe. What is not due when it is destroyed
// is not run.
class Timer {
 public:
  Timer();
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // `function` must not block.
  void After(absl::Duration delay, std::function<void()> function);

 private:
  void Work();

  base::Mutex mutex_;
  base::CondVar changed_;
  std::multimap<absl::Time, std::function<void()>> due_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

class DelayProxy {
 public:
  // Forwards to `upstream` ("http://host:port"), each request after `delay`, any number at once.
  // `timer` must outlive the proxy.
  static absl::StatusOr<std::unique_ptr<DelayProxy>> Start(const std::string& upstream,
                                                           absl::Duration delay, Timer* timer);
  // Ends what is under way.
  ~DelayProxy();
  DelayProxy(const DelayProxy&) = delete;
  DelayProxy& operator=(const DelayProxy&) = delete;

  // "http://host:port".
  std::string url() const;

  // How long each request took since the last call, delay included, from its arrival to its answer.
  std::vector<double> TakeLatenciesMs();

 private:
  struct State;
  explicit DelayProxy(std::shared_ptr<State> state) : state_(std::move(state)) {}

  const std::shared_ptr<State> state_;
  std::unique_ptr<http::Server> server_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_DELAY_PROXY_H_
