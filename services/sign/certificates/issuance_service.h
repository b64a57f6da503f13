// The contract's IssuanceService over the queue, renewals and upstream authorities.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_SERVICE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_SERVICE_H_

#include "countersign/sign/v1/issuance_service.grpc.pb.h"
#include "services/sign/certificates/issuance_queue.h"
#include "services/sign/certificates/renewals.h"
#include "services/sign/certificates/upstreams.h"
#include "services/sign/certificates/watches.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// Thread-safe. Calls run on the executor; watching takes no thread.
class IssuanceService final : public v1::IssuanceService::CallbackService {
 public:
  struct Options {
    IssuanceStore* store;
    IssuanceQueue* queue;
    Renewals* renewals;
    Upstreams* upstreams;
    Watches<v1::Issuance>* issuance_watches;
    Watches<v1::Renewal>* renewal_watches;
    base::ThreadPool* executor;
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive every call.
  explicit IssuanceService(const Options& options) : options_(options) {}

  grpc::ServerUnaryReactor* EnqueueIssuance(grpc::CallbackServerContext* context,
                                            const v1::EnqueueIssuanceRequest* request,
                                            v1::EnqueueIssuanceResponse* reply) override;
  grpc::ServerUnaryReactor* BatchEnqueueIssuances(
      grpc::CallbackServerContext* context, const v1::BatchEnqueueIssuancesRequest* request,
      v1::BatchEnqueueIssuancesResponse* reply) override;
  grpc::ServerUnaryReactor* GetIssuance(grpc::CallbackServerContext* context,
                                        const v1::GetIssuanceRequest* request,
                                        v1::GetIssuanceResponse* reply) override;
  grpc::ServerUnaryReactor* ListIssuances(grpc::CallbackServerContext* context,
                                          const v1::ListIssuancesRequest* request,
                                          v1::ListIssuancesResponse* reply) override;
  grpc::ServerWriteReactor<v1::WatchIssuanceResponse>* WatchIssuance(
      grpc::CallbackServerContext* context, const v1::WatchIssuanceRequest* request) override;
  grpc::ServerUnaryReactor* CancelIssuance(grpc::CallbackServerContext* context,
                                           const v1::CancelIssuanceRequest* request,
                                           v1::CancelIssuanceResponse* reply) override;
  grpc::ServerUnaryReactor* RetryIssuance(grpc::CallbackServerContext* context,
                                          const v1::RetryIssuanceRequest* request,
                                          v1::RetryIssuanceResponse* reply) override;
  grpc::ServerUnaryReactor* StartRenewal(grpc::CallbackServerContext* context,
                                         const v1::StartRenewalRequest* request,
                                         v1::StartRenewalResponse* reply) override;
  grpc::ServerUnaryReactor* GetRenewal(grpc::CallbackServerContext* context,
                                       const v1::GetRenewalRequest* request,
                                       v1::GetRenewalResponse* reply) override;
  grpc::ServerWriteReactor<v1::WatchRenewalResponse>* WatchRenewal(
      grpc::CallbackServerContext* context, const v1::WatchRenewalRequest* request) override;
  grpc::ServerUnaryReactor* RetryRenewal(grpc::CallbackServerContext* context,
                                         const v1::RetryRenewalRequest* request,
                                         v1::RetryRenewalResponse* reply) override;
  grpc::ServerUnaryReactor* GetQueue(grpc::CallbackServerContext* context,
                                     const v1::GetQueueRequest* request,
                                     v1::GetQueueResponse* reply) override;
  grpc::ServerUnaryReactor* CreateUpstream(grpc::CallbackServerContext* context,
                                           const v1::CreateUpstreamRequest* request,
                                           v1::CreateUpstreamResponse* reply) override;
  grpc::ServerUnaryReactor* ListUpstreams(grpc::CallbackServerContext* context,
                                          const v1::ListUpstreamsRequest* request,
                                          v1::ListUpstreamsResponse* reply) override;
  grpc::ServerUnaryReactor* DeleteUpstream(grpc::CallbackServerContext* context,
                                           const v1::DeleteUpstreamRequest* request,
                                           v1::DeleteUpstreamResponse* reply) override;

 private:
  template <typename Request, typename Response, typename Domain>
  grpc::ServerUnaryReactor* On(grpc::CallbackServerContext* context, Domain* domain,
                               const Request* request, Response* reply,
                               absl::StatusOr<Response> (Domain::*method)(const Request&));

  const Options options_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_SERVICE_H_
