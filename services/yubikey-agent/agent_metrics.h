// What is counted of the agent.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_AGENT_METRICS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_AGENT_METRICS_H_

#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "libs/runtime/metrics.h"

namespace countersign::yubikey {

class CardPool;
class Sessions;

// Operations of cards by kind: how many, how long on the card, how long in its queue. Thread-safe.
class OperationMetrics {
 public:
  // `metrics` must outlive it.
  explicit OperationMetrics(runtime::Metrics* metrics) : metrics_(metrics) {}

  void Observe(absl::string_view operation, bool ok, absl::Duration on_card, absl::Duration queued);

 private:
  struct Handles {
    runtime::Counter* done;
    runtime::Counter* failed;
    runtime::Histogram* on_card;
    runtime::Histogram* queued;
  };

  const Handles& Of(absl::string_view operation);

  runtime::Metrics* const metrics_;
  base::Mutex mutex_;
  std::map<std::string, Handles, std::less<>> handles_ ABSL_GUARDED_BY(mutex_);
};

// Gauges and counters that are read at each scrape; all must outlive `metrics`.
void ExportState(const CardPool* pool, const Sessions* sessions, runtime::Metrics* metrics);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_AGENT_METRICS_H_
