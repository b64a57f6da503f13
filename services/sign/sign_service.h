// The contract's SignService over the domain: translates, and keeps blocking work off gRPC's
// threads.
#ifndef COUNTERSIGN_SERVICES_SIGN_SIGN_SERVICE_H_
#define COUNTERSIGN_SERVICES_SIGN_SIGN_SERVICE_H_

#include <functional>

#include "countersign/sign/v1/sign.grpc.pb.h"
#include "services/sign/key_ring.h"
#include "services/sign/key_store.h"
#include "services/sign/signing.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// Thread-safe. Sign by a cached Ed25519 or P-256 key in memory, not logged, is answered on gRPC's
// own thread (it takes some 12 µs); everything else runs on the executor. By a key on a card no
// thread waits.
class SignService final : public v1::SignService::CallbackService {
 public:
  // All must outlive every call.
  SignService(KeyStore* store, KeyRing* keys, Signing* signing, base::ThreadPool* executor)
      : store_(store), keys_(keys), signing_(signing), executor_(executor) {}

  grpc::ServerUnaryReactor* CreateKey(grpc::CallbackServerContext* context,
                                      const v1::CreateKeyRequest* request,
                                      v1::CreateKeyResponse* reply) override;
  grpc::ServerUnaryReactor* GetKey(grpc::CallbackServerContext* context,
                                   const v1::GetKeyRequest* request,
                                   v1::GetKeyResponse* reply) override;
  grpc::ServerUnaryReactor* ListKeys(grpc::CallbackServerContext* context,
                                     const v1::ListKeysRequest* request,
                                     v1::ListKeysResponse* reply) override;
  grpc::ServerUnaryReactor* UpdateKey(grpc::CallbackServerContext* context,
                                      const v1::UpdateKeyRequest* request,
                                      v1::UpdateKeyResponse* reply) override;
  grpc::ServerUnaryReactor* RotateKey(grpc::CallbackServerContext* context,
                                      const v1::RotateKeyRequest* request,
                                      v1::RotateKeyResponse* reply) override;
  grpc::ServerUnaryReactor* GetKeyVersion(grpc::CallbackServerContext* context,
                                          const v1::GetKeyVersionRequest* request,
                                          v1::GetKeyVersionResponse* reply) override;
  grpc::ServerUnaryReactor* ListKeyVersions(grpc::CallbackServerContext* context,
                                            const v1::ListKeyVersionsRequest* request,
                                            v1::ListKeyVersionsResponse* reply) override;
  grpc::ServerUnaryReactor* DisableKeyVersion(grpc::CallbackServerContext* context,
                                              const v1::DisableKeyVersionRequest* request,
                                              v1::DisableKeyVersionResponse* reply) override;
  grpc::ServerUnaryReactor* EnableKeyVersion(grpc::CallbackServerContext* context,
                                             const v1::EnableKeyVersionRequest* request,
                                             v1::EnableKeyVersionResponse* reply) override;
  grpc::ServerUnaryReactor* DestroyKeyVersion(grpc::CallbackServerContext* context,
                                              const v1::DestroyKeyVersionRequest* request,
                                              v1::DestroyKeyVersionResponse* reply) override;
  grpc::ServerUnaryReactor* GetPublicKey(grpc::CallbackServerContext* context,
                                         const v1::GetPublicKeyRequest* request,
                                         v1::GetPublicKeyResponse* reply) override;
  grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context,
                                 const v1::SignRequest* request, v1::SignResponse* reply) override;
  grpc::ServerUnaryReactor* BatchSign(grpc::CallbackServerContext* context,
                                      const v1::BatchSignRequest* request,
                                      v1::BatchSignResponse* reply) override;
  grpc::ServerBidiReactor<v1::StreamSignRequest, v1::StreamSignResponse>* StreamSign(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* Encrypt(grpc::CallbackServerContext* context,
                                    const v1::EncryptRequest* request,
                                    v1::EncryptResponse* reply) override;
  grpc::ServerUnaryReactor* Decrypt(grpc::CallbackServerContext* context,
                                    const v1::DecryptRequest* request,
                                    v1::DecryptResponse* reply) override;

 private:
  // Runs a method of the store on the executor.
  template <typename Request, typename Response>
  grpc::ServerUnaryReactor* OnStore(grpc::CallbackServerContext* context, const Request* request,
                                    Response* reply,
                                    absl::StatusOr<Response> (KeyStore::*method)(const Request&));

  KeyStore* const store_;
  KeyRing* const keys_;
  Signing* const signing_;
  base::ThreadPool* const executor_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_SIGN_SERVICE_H_
