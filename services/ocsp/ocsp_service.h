// countersign.ocsp.v1.OcspService: translates, and picks statuses.
#ifndef COUNTERSIGN_SERVICES_OCSP_OCSP_SERVICE_H_
#define COUNTERSIGN_SERVICES_OCSP_OCSP_SERVICE_H_

#include "countersign/ocsp/v1/ocsp.grpc.pb.h"
#include "services/ocsp/change_source.h"
#include "services/ocsp/live_signer.h"
#include "services/ocsp/ocsp_metrics.h"
#include "services/ocsp/responder.h"
#include "services/ocsp/responses.h"

namespace countersign::ocsp {

// Thread-safe. Nothing blocks: answers from memory are given on gRPC's threads, others when they
// are signed or read.
class OcspService final : public v1::OcspService::CallbackService {
 public:
  struct Options {
    const Responses* responses;
    const Responder* responder;
    LiveSigner* live;
    ChangeSource* source;
    const OcspMetrics* metrics;
  };

  // What `options` points to must outlive it.
  explicit OcspService(const Options& options) : options_(options) {}

  grpc::ServerUnaryReactor* Respond(grpc::CallbackServerContext* context,
                                    const v1::RespondRequest* request,
                                    v1::RespondResponse* response) override;
  grpc::ServerUnaryReactor* GetCertificateStatus(
      grpc::CallbackServerContext* context, const v1::GetCertificateStatusRequest* request,
      v1::GetCertificateStatusResponse* response) override;
  grpc::ServerUnaryReactor* Refresh(grpc::CallbackServerContext* context,
                                    const v1::RefreshRequest* request,
                                    v1::RefreshResponse* response) override;
  grpc::ServerUnaryReactor* GetResponder(grpc::CallbackServerContext* context,
                                         const v1::GetResponderRequest* request,
                                         v1::GetResponderResponse* response) override;

 private:
  const Options options_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_OCSP_SERVICE_H_
