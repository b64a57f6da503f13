// The contract's SubKeyService over SubKeys.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_SERVICE_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_SERVICE_H_

#include "countersign/yubikey/v1/sub_key_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "services/yubikey-agent/sessions.h"
#include "services/yubikey-agent/sub_keys.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::yubikey {

// Thread-safe. A few signatures over little are made on gRPC's own thread (17 µs each), many or
// much on the executor.
class SubKeyService final : public v1::SubKeyService::CallbackService {
 public:
  // All must outlive every call.
  SubKeyService(SubKeys* sub_keys, Sessions* sessions, base::ThreadPool* executor,
                const base::Clock* clock = base::Clock::System())
      : sub_keys_(sub_keys), sessions_(sessions), executor_(executor), clock_(clock) {}

  grpc::ServerUnaryReactor* CreateSubKey(grpc::CallbackServerContext* context,
                                         const v1::CreateSubKeyRequest* request,
                                         v1::CreateSubKeyResponse* response) override;
  grpc::ServerUnaryReactor* GetSubKey(grpc::CallbackServerContext* context,
                                      const v1::GetSubKeyRequest* request,
                                      v1::GetSubKeyResponse* response) override;
  grpc::ServerUnaryReactor* ListSubKeys(grpc::CallbackServerContext* context,
                                        const v1::ListSubKeysRequest* request,
                                        v1::ListSubKeysResponse* response) override;
  grpc::ServerUnaryReactor* RevokeSubKey(grpc::CallbackServerContext* context,
                                         const v1::RevokeSubKeyRequest* request,
                                         v1::RevokeSubKeyResponse* response) override;
  grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context,
                                 const v1::SubKeyServiceSignRequest* request,
                                 v1::SubKeyServiceSignResponse* response) override;
  grpc::ServerUnaryReactor* BatchSign(grpc::CallbackServerContext* context,
                                      const v1::SubKeyServiceBatchSignRequest* request,
                                      v1::SubKeyServiceBatchSignResponse* response) override;
  grpc::ServerUnaryReactor* Decrypt(grpc::CallbackServerContext* context,
                                    const v1::SubKeyServiceDecryptRequest* request,
                                    v1::SubKeyServiceDecryptResponse* response) override;

 private:
  // When a certification is given up: with the call, or after a minute.
  absl::Time Deadline(const grpc::CallbackServerContext& context) const;

  SubKeys* const sub_keys_;
  Sessions* const sessions_;
  base::ThreadPool* const executor_;
  const base::Clock* const clock_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEY_SERVICE_H_
