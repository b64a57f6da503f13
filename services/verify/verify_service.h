// countersign.verify.v1.VerifyService over a Verifier and Attestations: translates, limits, and
// picks statuses.
#ifndef COUNTERSIGN_SERVICES_VERIFY_VERIFY_SERVICE_H_
#define COUNTERSIGN_SERVICES_VERIFY_VERIFY_SERVICE_H_

#include <atomic>
#include <functional>

#include "absl/status/status.h"
#include "countersign/verify/v1/verify.grpc.pb.h"
#include "libs/base/thread_pool.h"
#include "services/verify/attestations.h"
#include "services/verify/verifier.h"

namespace countersign::verify {

// Thread-safe. Signatures over little data are verified on gRPC's own threads, which takes
// microseconds; all else runs on the executor.
class VerifyService final : public ::countersign::verify::v1::VerifyService::CallbackService {
 public:
  // All outlive the service. More than `max_waiting` calls on the executor at once are refused
  // with RESOURCE_EXHAUSTED.
  VerifyService(Verifier* verifier, const Attestations* attestations, base::ThreadPool* executor,
                int max_waiting);

  grpc::ServerUnaryReactor* VerifySignature(
      grpc::CallbackServerContext* context,
      const ::countersign::verify::v1::VerifySignatureRequest* request,
      ::countersign::verify::v1::VerifySignatureResponse* response) override;
  grpc::ServerUnaryReactor* BatchVerifySignatures(
      grpc::CallbackServerContext* context,
      const ::countersign::verify::v1::BatchVerifySignaturesRequest* request,
      ::countersign::verify::v1::BatchVerifySignaturesResponse* response) override;
  grpc::ServerUnaryReactor* VerifyBundle(
      grpc::CallbackServerContext* context,
      const ::countersign::verify::v1::VerifyBundleRequest* request,
      ::countersign::verify::v1::VerifyBundleResponse* response) override;
  grpc::ServerUnaryReactor* VerifyTlogProof(
      grpc::CallbackServerContext* context,
      const ::countersign::verify::v1::VerifyTlogProofRequest* request,
      ::countersign::verify::v1::VerifyTlogProofResponse* response) override;
  grpc::ServerUnaryReactor* VerifyAttestation(
      grpc::CallbackServerContext* context,
      const ::countersign::verify::v1::VerifyAttestationRequest* request,
      ::countersign::verify::v1::VerifyAttestationResponse* response) override;

 private:
  grpc::ServerUnaryReactor* OnExecutor(grpc::CallbackServerContext* context,
                                       std::function<absl::Status()> function);

  Verifier* const verifier_;
  const Attestations* const attestations_;
  base::ThreadPool* const executor_;
  const int max_waiting_;
  std::atomic<int> waiting_{0};
};

}  // namespace countersign::verify

#endif  // COUNTERSIGN_SERVICES_VERIFY_VERIFY_SERVICE_H_
