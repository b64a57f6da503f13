#include "services/sign/certificates/certificate_metrics.h"

#include <string>

namespace countersign::sign {
namespace {

constexpr std::array<const char*, kCertificateOperations> kOperationNames = {
    "issue",   "batch_issue", "renew",  "get",       "list",       "revoke",
    "release", "bulk_update", "import", "authority", "publish_crl"};
constexpr std::array<const char*, kCertificateQueries> kQueryNames = {
    "insert", "lookup", "list", "change_status", "bulk_update", "revoked", "authority", "queue"};

std::string CodeName(int code) {
  return absl::StatusCodeToString(static_cast<absl::StatusCode>(code));
}

}  // namespace

CertificateMetrics::CertificateMetrics(runtime::Metrics* metrics) : metrics_(metrics) {
  for (int i = 0; i < kCertificateQueries; ++i) {
    queries_[i] = metrics_->AddHistogram(
        "database_query_duration_seconds", "Time that database work for certificates takes.",
        runtime::LatencyBounds(), {{"query_type", kQueryNames[i]}});
  }
}

void CertificateMetrics::Observe(CertificateOperation operation, absl::StatusCode code,
                                 absl::Duration duration) {
  int number = static_cast<int>(code);
  if (number < 0 || number >= kCodes) number = static_cast<int>(absl::StatusCode::kUnknown);
  Series& series = operations_[static_cast<int>(operation) * kCodes + number];
  runtime::Histogram* histogram = series.duration.load(std::memory_order_acquire);
  runtime::Counter* counter = series.count.load(std::memory_order_acquire);
  // Two that come here at once are given the same handles.
  if (histogram == nullptr || counter == nullptr) {
    const runtime::Labels labels = {{"operation", kOperationNames[static_cast<int>(operation)]},
                                    {"status", CodeName(number)}};
    histogram = metrics_->AddHistogram("certificate_operation_duration_seconds",
                                       "Time that an operation on certificates takes.",
                                       runtime::LatencyBounds(), labels);
    counter =
        metrics_->AddCounter("certificate_operations_total", "Operations on certificates.", labels);
    series.duration.store(histogram, std::memory_order_release);
    series.count.store(counter, std::memory_order_release);
  }
  histogram->Observe(absl::ToDoubleSeconds(duration));
  counter->Increment();
}

void CertificateMetrics::Observe(CertificateQuery query, absl::Duration duration) {
  queries_[static_cast<int>(query)]->Observe(absl::ToDoubleSeconds(duration));
}

void CertificateMetrics::ObserveUpstream(const char* operation, absl::StatusCode code,
                                         absl::Duration duration) {
  metrics_
      ->AddHistogram("ca_request_duration_seconds",
                     "Time that a request to an upstream authority takes.",
                     runtime::LatencyBounds(),
                     {{"operation", operation}, {"status", absl::StatusCodeToString(code)}})
      ->Observe(absl::ToDoubleSeconds(duration));
}

runtime::Gauge* CertificateMetrics::QueueSize(const char* queue_type) {
  return metrics_->AddGauge("certificate_queue_size", "Requests that wait in a queue.",
                            {{"queue_type", queue_type}});
}

}  // namespace countersign::sign
