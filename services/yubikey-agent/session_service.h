// The contract's SessionService over callers, challenges and sessions.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SESSION_SERVICE_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SESSION_SERVICE_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/crypto/secret.h"
#include "services/yubikey-agent/callers.h"
#include "services/yubikey-agent/challenges.h"
#include "services/yubikey-agent/sessions.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::yubikey {

// Thread-safe. Proofs are checked on the executor; the rest is answered on gRPC's own thread.
class SessionService final : public v1::SessionService::CallbackService {
 public:
  // All that is pointed to must outlive every call.
  struct Options {
    Callers* callers;
    Challenges* challenges;
    Sessions* sessions;
    // CardPool::Unlock.
    std::function<void(uint32_t serial, crypto::SecretBytes pin, absl::Time deadline,
                       std::function<void(absl::Status)> done)>
        unlock;
    base::ThreadPool* executor;
    const base::Clock* clock = base::Clock::System();
  };

  explicit SessionService(Options options) : options_(std::move(options)) {}

  grpc::ServerUnaryReactor* CreateChallenge(grpc::CallbackServerContext* context,
                                            const v1::CreateChallengeRequest* request,
                                            v1::CreateChallengeResponse* response) override;
  grpc::ServerUnaryReactor* OpenSession(grpc::CallbackServerContext* context,
                                        const v1::OpenSessionRequest* request,
                                        v1::OpenSessionResponse* response) override;
  grpc::ServerUnaryReactor* GetSession(grpc::CallbackServerContext* context,
                                       const v1::GetSessionRequest* request,
                                       v1::GetSessionResponse* response) override;
  grpc::ServerUnaryReactor* CloseSession(grpc::CallbackServerContext* context,
                                         const v1::CloseSessionRequest* request,
                                         v1::CloseSessionResponse* response) override;
  grpc::ServerUnaryReactor* RevokeSessions(grpc::CallbackServerContext* context,
                                           const v1::RevokeSessionsRequest* request,
                                           v1::RevokeSessionsResponse* response) override;

 private:
  // A session that may be opened once its PIN, if any, has gone well.
  struct Opening {
    std::shared_ptr<const Caller> caller;
    Session session;
    uint32_t card = 0;  // to unlock; 0: none
  };

  absl::StatusOr<std::shared_ptr<const Caller>> Prove(const v1::OpenSessionRequest& request,
                                                      absl::string_view transport) const;
  absl::StatusOr<Opening> Prepare(const grpc::CallbackServerContext& context,
                                  const v1::OpenSessionRequest& request) const;
  absl::Status Open(Opening opening, v1::OpenSessionResponse* response) const;

  const Options options_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SESSION_SERVICE_H_
