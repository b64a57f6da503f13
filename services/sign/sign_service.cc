#include "services/sign/sign_service.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/call.h"
#include "services/sign/encryption.h"
#include "services/sign/errors.h"
#include "services/sign/jobs.h"
#include "services/sign/stream_sign_reactor.h"

namespace countersign::sign {

template <typename Request, typename Response>
grpc::ServerUnaryReactor* SignService::OnStore(
    grpc::CallbackServerContext* context, const Request* request, Response* reply,
    absl::StatusOr<Response> (KeyStore::*method)(const Request&)) {
  return runtime::RunUnary(context, executor_, [this, request, reply, method]() -> absl::Status {
    ASSIGN_OR_RETURN(*reply, (store_->*method)(*request));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SignService::CreateKey(grpc::CallbackServerContext* context,
                                                 const v1::CreateKeyRequest* request,
                                                 v1::CreateKeyResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::CreateKey);
}

grpc::ServerUnaryReactor* SignService::GetKey(grpc::CallbackServerContext* context,
                                              const v1::GetKeyRequest* request,
                                              v1::GetKeyResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::GetKey);
}

grpc::ServerUnaryReactor* SignService::ListKeys(grpc::CallbackServerContext* context,
                                                const v1::ListKeysRequest* request,
                                                v1::ListKeysResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::ListKeys);
}

grpc::ServerUnaryReactor* SignService::UpdateKey(grpc::CallbackServerContext* context,
                                                 const v1::UpdateKeyRequest* request,
                                                 v1::UpdateKeyResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::UpdateKey);
}

grpc::ServerUnaryReactor* SignService::RotateKey(grpc::CallbackServerContext* context,
                                                 const v1::RotateKeyRequest* request,
                                                 v1::RotateKeyResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::RotateKey);
}

grpc::ServerUnaryReactor* SignService::GetKeyVersion(grpc::CallbackServerContext* context,
                                                     const v1::GetKeyVersionRequest* request,
                                                     v1::GetKeyVersionResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::GetKeyVersion);
}

grpc::ServerUnaryReactor* SignService::ListKeyVersions(grpc::CallbackServerContext* context,
                                                       const v1::ListKeyVersionsRequest* request,
                                                       v1::ListKeyVersionsResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::ListKeyVersions);
}

grpc::ServerUnaryReactor* SignService::DisableKeyVersion(
    grpc::CallbackServerContext* context, const v1::DisableKeyVersionRequest* request,
    v1::DisableKeyVersionResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::DisableKeyVersion);
}

grpc::ServerUnaryReactor* SignService::EnableKeyVersion(grpc::CallbackServerContext* context,
                                                        const v1::EnableKeyVersionRequest* request,
                                                        v1::EnableKeyVersionResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::EnableKeyVersion);
}

grpc::ServerUnaryReactor* SignService::DestroyKeyVersion(
    grpc::CallbackServerContext* context, const v1::DestroyKeyVersionRequest* request,
    v1::DestroyKeyVersionResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::DestroyKeyVersion);
}

grpc::ServerUnaryReactor* SignService::GetPublicKey(grpc::CallbackServerContext* context,
                                                    const v1::GetPublicKeyRequest* request,
                                                    v1::GetPublicKeyResponse* reply) {
  return OnStore(context, request, reply, &KeyStore::GetPublicKey);
}

grpc::ServerUnaryReactor* SignService::Sign(grpc::CallbackServerContext* context,
                                            const v1::SignRequest* request,
                                            v1::SignResponse* reply) {
  absl::StatusOr<SigningJob> job = MakeJob(*request, context);
  if (!job.ok()) return runtime::FinishUnary(context, job.status());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  signing_->Sign(*std::move(job),
                 [context, reactor, reply](absl::StatusOr<std::vector<v1::Signature>> signatures) {
                   if (signatures.ok()) reply->mutable_signature()->Swap(&signatures->front());
                   runtime::FinishCall(context, reactor, signatures.status());
                 });
  return reactor;
}

grpc::ServerUnaryReactor* SignService::BatchSign(grpc::CallbackServerContext* context,
                                                 const v1::BatchSignRequest* request,
                                                 v1::BatchSignResponse* reply) {
  absl::StatusOr<SigningJob> job = MakeJob(*request, context);
  if (!job.ok()) return runtime::FinishUnary(context, job.status());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  signing_->Sign(*std::move(job),
                 [context, reactor, reply](absl::StatusOr<std::vector<v1::Signature>> signatures) {
                   if (signatures.ok()) {
                     reply->mutable_signatures()->Reserve(static_cast<int>(signatures->size()));
                     for (v1::Signature& signature : *signatures) {
                       reply->add_signatures()->Swap(&signature);
                     }
                   }
                   runtime::FinishCall(context, reactor, signatures.status());
                 });
  return reactor;
}

grpc::ServerBidiReactor<v1::StreamSignRequest, v1::StreamSignResponse>* SignService::StreamSign(
    grpc::CallbackServerContext* context) {
  return StartStreamSign(signing_, context);
}

grpc::ServerUnaryReactor* SignService::Encrypt(grpc::CallbackServerContext* context,
                                               const v1::EncryptRequest* request,
                                               v1::EncryptResponse* reply) {
  return runtime::RunUnary(context, executor_, [this, request, reply]() -> absl::Status {
    ASSIGN_OR_RETURN(*reply, sign::Encrypt(*keys_, *request));
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* SignService::Decrypt(grpc::CallbackServerContext* context,
                                               const v1::DecryptRequest* request,
                                               v1::DecryptResponse* reply) {
  return runtime::RunUnary(context, executor_, [this, request, reply]() -> absl::Status {
    ASSIGN_OR_RETURN(*reply, sign::Decrypt(*keys_, *request));
    return absl::OkStatus();
  });
}

}  // namespace countersign::sign
