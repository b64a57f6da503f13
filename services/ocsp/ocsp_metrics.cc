#include "services/ocsp/ocsp_metrics.h"

#include <string>

#include "services/ocsp/change_source.h"
#include "services/ocsp/live_signer.h"
#include "services/ocsp/resigner.h"

namespace countersign::ocsp {
namespace {

constexpr absl::string_view kQueryTypes[] = {"load", "poll", "directory", "crl"};

}  // namespace

OcspMetrics::OcspMetrics(runtime::Metrics* metrics) {
  const auto answers = [&](const char* outcome) {
    return metrics->AddCounter(
        "countersign_ocsp_requests_total",
        "OCSP requests answered, by how: from memory, signed on demand, or by "
        "an error.",
        {{"outcome", outcome}});
  };
  presigned_ = answers("presigned");
  live_ = answers("live");
  with_nonce_ = answers("live_nonce");
  const std::pair<pki::OcspError, const char*> errors[] = {
      {pki::OcspError::kMalformedRequest, "malformed_request"},
      {pki::OcspError::kInternalError, "internal_error"},
      {pki::OcspError::kTryLater, "try_later"},
      {pki::OcspError::kSigRequired, "sig_required"},
      {pki::OcspError::kUnauthorized, "unauthorized"},
  };
  for (const auto& [error, name] : errors) errors_[static_cast<size_t>(error)] = answers(name);
  for (size_t i = 0; i < queries_.size(); ++i) {
    queries_[i] = metrics->AddHistogram(
        "database_query_duration_seconds", "How long queries of the database took, by their type.",
        runtime::LatencyBounds(), {{"query_type", std::string(kQueryTypes[i])}});
  }
}

void OcspMetrics::Count(const Answer& answer) const {
  switch (answer.kind) {
    case Answer::Kind::kPresigned:
      return presigned_->Increment();
    case Answer::Kind::kLive:
      return (answer.nonce ? with_nonce_ : live_)->Increment();
    case Answer::Kind::kError:
      return errors_[static_cast<size_t>(answer.error)]->Increment();
    case Answer::Kind::kNeedsSigning:
      return;
  }
}

void OcspMetrics::ObserveQuery(absl::string_view type, absl::Duration took) const {
  for (size_t i = 0; i < queries_.size(); ++i) {
    if (kQueryTypes[i] == type) queries_[i]->Observe(absl::ToDoubleSeconds(took));
  }
}

void ExportState(const Responses& responses, const ChangeSource& source, const LiveSigner& live,
                 const Resigner& resigner, runtime::Metrics* metrics) {
  metrics->AddGaugeFunction("countersign_ocsp_records", "Certificates answered for from memory.",
                            [&] { return static_cast<double>(responses.index().size()); });
  metrics->AddGaugeFunction("countersign_ocsp_memory_bytes", "Bytes of the records in memory.",
                            [&] { return static_cast<double>(responses.index().memory_bytes()); });
  metrics->AddGaugeFunction("countersign_ocsp_authorities", "Authorities answered for.", [&] {
    return static_cast<double>(responses.directory()->authorities().size());
  });
  metrics->AddGaugeFunction("countersign_ocsp_change_number", "The last change in memory.",
                            [&] { return static_cast<double>(responses.change_number()); });
  metrics->AddGaugeFunction(
      "countersign_ocsp_sync_timestamp_seconds",
      "When the database was last asked and answered, in seconds since 1970.",
      [&] { return static_cast<double>(absl::ToUnixMicros(responses.sync_time())) / 1e6; });
  metrics->AddGaugeFunction("countersign_ocsp_live_queue_size",
                            "Requests that wait for a signature or are being signed.",
                            [&] { return static_cast<double>(live.depth()); });
  metrics->AddCounterFunction("countersign_ocsp_database_queries_total",
                              "Queries of the database, whatever came of them.",
                              [&] { return static_cast<double>(source.queries()); });
  metrics->AddCounterFunction("countersign_ocsp_sync_failures_total",
                              "Times that the database could not be read.",
                              [&] { return static_cast<double>(source.failures()); });
  metrics->AddCounterFunction("countersign_ocsp_resigned_total",
                              "Records signed anew, for both hashes each.",
                              [&] { return static_cast<double>(resigner.resigned()); });
  metrics->AddCounterFunction("countersign_ocsp_resign_failures_total",
                              "Records that could not be signed anew.",
                              [&] { return static_cast<double>(resigner.failed()); });
}

}  // namespace countersign::ocsp
