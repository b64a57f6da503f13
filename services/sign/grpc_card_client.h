// The YubiKey agent as a CardClient.
#ifndef COUNTERSIGN_SERVICES_SIGN_GRPC_CARD_CLIENT_H_
#define COUNTERSIGN_SERVICES_SIGN_GRPC_CARD_CLIENT_H_

#include <memory>
#include <string>

#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "services/sign/agent_session.h"
#include "services/sign/card_client.h"

namespace countersign::sign {

// Thread-safe. A call that the agent refuses for its session is made once more with a new one: an
// agent that was started anew knows none of the old. Failures are as of FromAgent.
class GrpcCardClient : public CardClient {
 public:
  // A call takes at most `options.timeout`, and no longer than the call it is for; making a key two
  // minutes.
  explicit GrpcCardClient(AgentSession::Options options);
  ~GrpcCardClient() override;

  absl::StatusOr<CardKey> Describe(const std::string& key) override;
  absl::StatusOr<CardKey> Generate(const std::string& slot, crypto::Algorithm algorithm) override;
  void Sign(const std::string& key, crypto::Algorithm algorithm, std::string digest, Call call,
            SignDone done) override;

 private:
  struct Operation;

  void Start(std::shared_ptr<Operation> operation);
  void Send(std::shared_ptr<Operation> operation);

  const std::string caller_;
  const absl::Duration timeout_;
  const std::unique_ptr<yubikey::v1::KeyService::Stub> keys_;
  const std::unique_ptr<yubikey::v1::CardService::Stub> cards_;
  AgentSession session_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_GRPC_CARD_CLIENT_H_
