#include "services/sign/certificates/certificate_metrics.h"

#include "absl/strings/match.h"
#include "catch2/catch.hpp"

namespace countersign::sign {
namespace {

bool Has(const runtime::Metrics& metrics, absl::string_view line) {
  return absl::StrContains(metrics.Expose(), line);
}

TEST_CASE("Operations, queries, upstreams and queues have the names that dashboards ask for") {
  runtime::Metrics metrics;
  CertificateMetrics certificates(&metrics);
  certificates.Observe(CertificateOperation::kIssue, absl::StatusCode::kOk, absl::Milliseconds(3));
  certificates.Observe(CertificateOperation::kIssue, absl::StatusCode::kOk, absl::Milliseconds(3));
  certificates.Observe(CertificateOperation::kRevoke, absl::StatusCode::kNotFound,
                       absl::Milliseconds(3));
  certificates.Observe(CertificateOperation::kPublishCrl, static_cast<absl::StatusCode>(99),
                       absl::Milliseconds(3));
  certificates.Observe(CertificateQuery::kQueue, absl::Milliseconds(3));
  certificates.ObserveUpstream("order", absl::StatusCode::kUnavailable, absl::Milliseconds(3));
  certificates.QueueSize("issuance")->Set(7);
  CHECK(Has(metrics, "certificate_operations_total{operation=\"issue\",status=\"OK\"} 2"));
  CHECK(Has(metrics, "certificate_operations_total{operation=\"revoke\",status=\"NOT_FOUND\"} 1"));
  CHECK(
      Has(metrics, "certificate_operations_total{operation=\"publish_crl\",status=\"UNKNOWN\"} 1"));
  CHECK(Has(metrics,
            "certificate_operation_duration_seconds_count{operation=\"issue\",status=\"OK\"} 2"));
  CHECK(Has(metrics, "database_query_duration_seconds_count{query_type=\"queue\"} 1"));
  CHECK(Has(metrics, "database_query_duration_seconds_count{query_type=\"insert\"} 0"));
  CHECK(Has(metrics,
            "ca_request_duration_seconds_count{operation=\"order\",status=\"UNAVAILABLE\"} 1"));
  CHECK(Has(metrics, "certificate_queue_size{queue_type=\"issuance\"} 7"));
}

}  // namespace
}  // namespace countersign::sign
