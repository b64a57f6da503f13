#include "services/sign/certificates/authority_service.h"

#include <grpcpp/grpcpp.h>

#include "libs/base/status_macros.h"
#include "libs/runtime/call.h"

namespace countersign::sign {

template <typename Object, typename Request, typename Response>
grpc::ServerUnaryReactor* AuthorityService::Run(
    grpc::CallbackServerContext* context, const Request* request, Response* reply, Object* object,
    absl::StatusOr<Response> (Object::*method)(const Request&)) {
  return runtime::RunUnary(context, options_.executor,
                           [this, request, reply, object, method]() -> absl::Status {
                             const Stopwatch watch;
                             absl::StatusOr<Response> response = (object->*method)(*request);
                             if (options_.metrics != nullptr) {
                               options_.metrics->Observe(CertificateOperation::kAuthority,
                                                         response.status().code(), watch.Elapsed());
                             }
                             RETURN_IF_ERROR(response.status());
                             reply->Swap(&*response);
                             return absl::OkStatus();
                           });
}

grpc::ServerUnaryReactor* AuthorityService::CreateAuthority(
    grpc::CallbackServerContext* context, const v1::CreateAuthorityRequest* request,
    v1::CreateAuthorityResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::CreateAuthority);
}

grpc::ServerUnaryReactor* AuthorityService::ImportAuthority(
    grpc::CallbackServerContext* context, const v1::ImportAuthorityRequest* request,
    v1::ImportAuthorityResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::ImportAuthority);
}

grpc::ServerUnaryReactor* AuthorityService::GetAuthority(grpc::CallbackServerContext* context,
                                                         const v1::GetAuthorityRequest* request,
                                                         v1::GetAuthorityResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::GetAuthority);
}

grpc::ServerUnaryReactor* AuthorityService::ListAuthorities(
    grpc::CallbackServerContext* context, const v1::ListAuthoritiesRequest* request,
    v1::ListAuthoritiesResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::ListAuthorities);
}

grpc::ServerUnaryReactor* AuthorityService::UpdateAuthority(
    grpc::CallbackServerContext* context, const v1::UpdateAuthorityRequest* request,
    v1::UpdateAuthorityResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::UpdateAuthority);
}

grpc::ServerUnaryReactor* AuthorityService::CrossSignAuthority(
    grpc::CallbackServerContext* context, const v1::CrossSignAuthorityRequest* request,
    v1::CrossSignAuthorityResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::CrossSignAuthority);
}

grpc::ServerUnaryReactor* AuthorityService::ExportAuthority(
    grpc::CallbackServerContext* context, const v1::ExportAuthorityRequest* request,
    v1::ExportAuthorityResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::ExportAuthority);
}

grpc::ServerUnaryReactor* AuthorityService::RotateOcspSigner(
    grpc::CallbackServerContext* context, const v1::RotateOcspSignerRequest* request,
    v1::RotateOcspSignerResponse* reply) {
  return Run(context, request, reply, options_.authorities, &Authorities::RotateOcspSigner);
}

grpc::ServerUnaryReactor* AuthorityService::GetCrl(grpc::CallbackServerContext* context,
                                                   const v1::GetCrlRequest* request,
                                                   v1::GetCrlResponse* reply) {
  return Run(context, request, reply, options_.crls, &CrlPublisher::GetCrl);
}

grpc::ServerUnaryReactor* AuthorityService::PublishCrls(grpc::CallbackServerContext* context,
                                                        const v1::PublishCrlsRequest* request,
                                                        v1::PublishCrlsResponse* reply) {
  return Run(context, request, reply, options_.crls, &CrlPublisher::PublishCrls);
}

}  // namespace countersign::sign
