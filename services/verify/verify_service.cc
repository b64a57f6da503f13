#include "services/verify/verify_service.h"

#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/call.h"
#include "libs/runtime/error_details.h"
#include "services/verify/translate.h"

namespace countersign::verify {
namespace {

constexpr int kMaxBatch = 10'000;
// Parsing and hashing as much takes no longer than verifying.
constexpr size_t kInlineBytes = 16 << 10;

}  // namespace

VerifyService::VerifyService(Verifier* verifier, const Attestations* attestations,
                             base::ThreadPool* executor, int max_waiting)
    : verifier_(verifier),
      attestations_(attestations),
      executor_(executor),
      max_waiting_(max_waiting) {}

grpc::ServerUnaryReactor* VerifyService::OnExecutor(grpc::CallbackServerContext* context,
                                                    std::function<absl::Status()> function) {
  // Given back when the executor drops the last copy of the closure, however the call ends.
  struct Place {
    explicit Place(std::atomic<int>* count) : count(count) {}
    ~Place() { count->fetch_sub(1, std::memory_order_relaxed); }
    std::atomic<int>* count;
  };
  const int before = waiting_.fetch_add(1, std::memory_order_relaxed);
  auto place = std::make_shared<Place>(&waiting_);
  if (before >= max_waiting_) {
    return runtime::FinishUnary(
        context, runtime::AttachRetryAfter(
                     runtime::AttachReason(absl::ResourceExhaustedError(absl::StrCat(
                                               "more than ", max_waiting_,
                                               " verifications wait: try again in a moment")),
                                           "TOO_MUCH_WAITING"),
                     absl::Milliseconds(100)));
  }
  return runtime::RunUnary(
      context, executor_,
      [place = std::move(place), function = std::move(function)] { return function(); });
}

grpc::ServerUnaryReactor* VerifyService::VerifySignature(grpc::CallbackServerContext* context,
                                                         const v1::VerifySignatureRequest* request,
                                                         v1::VerifySignatureResponse* response) {
  const absl::StatusOr<SignatureCheck> check = FromProto(request->check());
  if (!check.ok()) return runtime::FinishUnary(context, check.status());
  const auto verify = [this, check = *check, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const bool verified, verifier_->VerifySignature(check));
    *response->mutable_verdict() = ToProto(verified);
    return absl::OkStatus();
  };
  const size_t bytes = check->key.size() + check->payload.size() + check->signature.size();
  if (bytes <= kInlineBytes) return runtime::FinishUnary(context, verify());
  return OnExecutor(context, verify);
}

grpc::ServerUnaryReactor* VerifyService::BatchVerifySignatures(
    grpc::CallbackServerContext* context, const v1::BatchVerifySignaturesRequest* request,
    v1::BatchVerifySignaturesResponse* response) {
  if (request->checks().empty() || request->checks_size() > kMaxBatch) {
    return runtime::FinishUnary(
        context, runtime::AttachReason(
                     absl::InvalidArgumentError(absl::StrCat(
                         "checks: 1 to ", kMaxBatch, " items, not ", request->checks_size())),
                     "BATCH_SIZE"));
  }
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    std::vector<SignatureCheck> checks;
    std::vector<int> positions;
    checks.reserve(static_cast<size_t>(request->checks_size()));
    response->mutable_results()->Reserve(request->checks_size());
    for (int i = 0; i < request->checks_size(); ++i) {
      v1::SignatureResult* result = response->add_results();
      absl::StatusOr<SignatureCheck> check = FromProto(request->checks(i));
      if (check.ok()) {
        checks.push_back(*check);
        positions.push_back(i);
      } else {
        *result->mutable_error() = ToItemError(check.status());
      }
    }
    const std::vector<absl::StatusOr<bool>> verdicts = verifier_->VerifySignatures(checks);
    for (size_t i = 0; i < verdicts.size(); ++i) {
      v1::SignatureResult* result = response->mutable_results(positions[i]);
      if (verdicts[i].ok()) {
        *result->mutable_verdict() = ToProto(*verdicts[i]);
      } else {
        *result->mutable_error() = ToItemError(verdicts[i].status());
      }
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* VerifyService::VerifyBundle(grpc::CallbackServerContext* context,
                                                      const v1::VerifyBundleRequest* request,
                                                      v1::VerifyBundleResponse* response) {
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const bundle::ArtifactDigest artifact,
                     ArtifactOf(request->artifact_digests(),
                                request->has_artifact() ? &request->artifact() : nullptr));
    ASSIGN_OR_RETURN(const bundle::Verdict verdict,
                     verifier_->VerifyBundle(request->bundle(), artifact, request->trust_file()));
    *response->mutable_verdict() = ToProto(verdict);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* VerifyService::VerifyTlogProof(grpc::CallbackServerContext* context,
                                                         const v1::VerifyTlogProofRequest* request,
                                                         v1::VerifyTlogProofResponse* response) {
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const bundle::ArtifactDigest artifact,
                     ArtifactOf(request->artifact_digests(),
                                request->has_artifact() ? &request->artifact() : nullptr));
    ASSIGN_OR_RETURN(const bundle::Verdict verdict,
                     verifier_->VerifyTlogProof(request->proof(), artifact, request->trust_file()));
    *response->mutable_verdict() = ToProto(verdict);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* VerifyService::VerifyAttestation(
    grpc::CallbackServerContext* context, const v1::VerifyAttestationRequest* request,
    v1::VerifyAttestationResponse* response) {
  return OnExecutor(context, [this, request, response]() -> absl::Status {
    ASSIGN_OR_RETURN(const AttestationVerdict verdict, attestations_->Verify(FromProto(*request)));
    *response->mutable_verdict() = ToProto(verdict);
    return absl::OkStatus();
  });
}

}  // namespace countersign::verify
