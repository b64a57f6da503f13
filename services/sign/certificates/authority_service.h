// The contract's AuthorityService over Authorities and CrlPublisher.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_SERVICE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_SERVICE_H_

#include "countersign/sign/v1/authority_service.grpc.pb.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/certificate_metrics.h"
#include "services/sign/certificates/crl_publisher.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// Thread-safe. Every method runs on the executor.
class AuthorityService final : public v1::AuthorityService::CallbackService {
 public:
  struct Options {
    Authorities* authorities;
    CrlPublisher* crls;
    base::ThreadPool* executor;
    CertificateMetrics* metrics = nullptr;  // null for none
  };

  // What `options` points to must outlive every call.
  explicit AuthorityService(const Options& options) : options_(options) {}

  grpc::ServerUnaryReactor* CreateAuthority(grpc::CallbackServerContext* context,
                                            const v1::CreateAuthorityRequest* request,
                                            v1::CreateAuthorityResponse* reply) override;
  grpc::ServerUnaryReactor* ImportAuthority(grpc::CallbackServerContext* context,
                                            const v1::ImportAuthorityRequest* request,
                                            v1::ImportAuthorityResponse* reply) override;
  grpc::ServerUnaryReactor* GetAuthority(grpc::CallbackServerContext* context,
                                         const v1::GetAuthorityRequest* request,
                                         v1::GetAuthorityResponse* reply) override;
  grpc::ServerUnaryReactor* ListAuthorities(grpc::CallbackServerContext* context,
                                            const v1::ListAuthoritiesRequest* request,
                                            v1::ListAuthoritiesResponse* reply) override;
  grpc::ServerUnaryReactor* UpdateAuthority(grpc::CallbackServerContext* context,
                                            const v1::UpdateAuthorityRequest* request,
                                            v1::UpdateAuthorityResponse* reply) override;
  grpc::ServerUnaryReactor* CrossSignAuthority(grpc::CallbackServerContext* context,
                                               const v1::CrossSignAuthorityRequest* request,
                                               v1::CrossSignAuthorityResponse* reply) override;
  grpc::ServerUnaryReactor* ExportAuthority(grpc::CallbackServerContext* context,
                                            const v1::ExportAuthorityRequest* request,
                                            v1::ExportAuthorityResponse* reply) override;
  grpc::ServerUnaryReactor* RotateOcspSigner(grpc::CallbackServerContext* context,
                                             const v1::RotateOcspSignerRequest* request,
                                             v1::RotateOcspSignerResponse* reply) override;
  grpc::ServerUnaryReactor* GetCrl(grpc::CallbackServerContext* context,
                                   const v1::GetCrlRequest* request,
                                   v1::GetCrlResponse* reply) override;
  grpc::ServerUnaryReactor* PublishCrls(grpc::CallbackServerContext* context,
                                        const v1::PublishCrlsRequest* request,
                                        v1::PublishCrlsResponse* reply) override;

 private:
  // Runs `method` of `object` on the executor, and answers with what it returns.
  template <typename Object, typename Request, typename Response>
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context, const Request* request,
                                Response* reply, Object* object,
                                absl::StatusOr<Response> (Object::*method)(const Request&));

  const Options options_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_SERVICE_H_
