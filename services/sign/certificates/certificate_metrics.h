// The metrics of certificates: how long operations, queries and upstream authorities take.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_METRICS_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_METRICS_H_

#include <array>
#include <atomic>
#include <chrono>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/runtime/metrics.h"

namespace countersign::sign {

// What certificate_operation_duration_seconds{operation,status} and
// certificate_operations_total{operation,status} tell apart.
enum class CertificateOperation {
  kIssue,
  kBatchIssue,
  kRenew,
  kGet,
  kList,
  kRevoke,
  kRelease,
  kBulkUpdate,
  kImport,
  kAuthority,  // everything of AuthorityService but CRLs
  kPublishCrl,
};
inline constexpr int kCertificateOperations = 11;

// What database_query_duration_seconds{query_type} tells apart.
enum class CertificateQuery {
  kInsert,
  kLookup,
  kList,
  kChangeStatus,
  kBulkUpdate,
  kRevoked,
  kAuthority,
  kQueue,
};
inline constexpr int kCertificateQueries = 8;

// Thread-safe; an observation takes no lock once its series was seen. The `status` of a series is
// the name of a gRPC code: "OK", "INVALID_ARGUMENT".
class CertificateMetrics {
 public:
  // `metrics` must outlive it.
  explicit CertificateMetrics(runtime::Metrics* metrics);

  void Observe(CertificateOperation operation, absl::StatusCode code, absl::Duration duration);
  void Observe(CertificateQuery query, absl::Duration duration);
  // ca_request_duration_seconds{operation,status}: one request to an upstream authority.
  // `operation` is one of a few words in the code, such as "order".
  void ObserveUpstream(const char* operation, absl::StatusCode code, absl::Duration duration);

  // certificate_queue_size{queue_type}.
  runtime::Gauge* QueueSize(const char* queue_type);

 private:
  static constexpr int kCodes = 17;
  struct Series {
    std::atomic<runtime::Histogram*> duration{nullptr};
    std::atomic<runtime::Counter*> count{nullptr};
  };

  runtime::Metrics* const metrics_;
  std::array<Series, kCertificateOperations * kCodes> operations_;
  std::array<runtime::Histogram*, kCertificateQueries> queries_;
};

// How long since it was made, by a clock that never goes back.
class Stopwatch {
 public:
  absl::Duration Elapsed() const {
    return absl::FromChrono(std::chrono::steady_clock::now() - start_);
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_METRICS_H_
