// countersign.yubikey.v1.KeyService over the pool.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_KEY_SERVICE_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_KEY_SERVICE_H_

#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/sessions.h"

namespace countersign::yubikey {

class KeyService final : public v1::KeyService::CallbackService {
 public:
  // Both must outlive it.
  KeyService(CardPool* pool, Sessions* sessions) : pool_(pool), sessions_(sessions) {}

  grpc::ServerUnaryReactor* ListKeys(grpc::CallbackServerContext* context,
                                     const v1::ListKeysRequest* request,
                                     v1::ListKeysResponse* response) override;
  grpc::ServerUnaryReactor* GetKey(grpc::CallbackServerContext* context,
                                   const v1::GetKeyRequest* request,
                                   v1::GetKeyResponse* response) override;
  grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context,
                                 const v1::SignRequest* request,
                                 v1::SignResponse* response) override;
  grpc::ServerUnaryReactor* Decrypt(grpc::CallbackServerContext* context,
                                    const v1::DecryptRequest* request,
                                    v1::DecryptResponse* response) override;
  grpc::ServerUnaryReactor* Agree(grpc::CallbackServerContext* context,
                                  const v1::AgreeRequest* request,
                                  v1::AgreeResponse* response) override;

 private:
  // What the name means, when the call's session covers it.
  absl::StatusOr<CardKey> Find(const grpc::CallbackServerContext& context, Operation operation,
                               const std::string& name);

  CardPool* const pool_;
  Sessions* const sessions_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_KEY_SERVICE_H_
