// What is counted of an OCSP responder.
#ifndef COUNTERSIGN_SERVICES_OCSP_OCSP_METRICS_H_
#define COUNTERSIGN_SERVICES_OCSP_OCSP_METRICS_H_

#include <array>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/runtime/metrics.h"
#include "services/ocsp/responder.h"

namespace countersign::ocsp {

class ChangeSource;
class LiveSigner;
class Resigner;

// Thread-safe.
class OcspMetrics {
 public:
  // `metrics` must outlive it.
  explicit OcspMetrics(runtime::Metrics* metrics);

  // One answer that left.
  void Count(const Answer& answer) const;
  // One query of the database: "load", "poll", "directory" or "crl".
  void ObserveQuery(absl::string_view type, absl::Duration took) const;

 private:
  runtime::Counter* presigned_;
  runtime::Counter* live_;
  runtime::Counter* with_nonce_;
  std::array<runtime::Counter*, 8> errors_{};
  std::array<runtime::Histogram*, 4> queries_{};
};

// Gauges and counters that are read at each scrape; all must outlive `metrics`.
void ExportState(const Responses& responses, const ChangeSource& source, const LiveSigner& live,
                 const Resigner& resigner, runtime::Metrics* metrics);

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_OCSP_METRICS_H_
