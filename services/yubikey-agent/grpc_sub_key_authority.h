// The sign service as a SubKeyAuthority.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_GRPC_SUB_KEY_AUTHORITY_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_GRPC_SUB_KEY_AUTHORITY_H_

#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "services/yubikey-agent/sub_key_authority.h"

namespace grpc {
class Channel;
}

namespace countersign::yubikey {

// Thread-safe. Failures keep the sign service's status code and details; their message begins with
// "sign: ". To be destroyed when no call is under way.
class GrpcSubKeyAuthority final : public SubKeyAuthority {
 public:
  explicit GrpcSubKeyAuthority(std::shared_ptr<grpc::Channel> channel,
                               const base::Clock* clock = base::Clock::System());
  ~GrpcSubKeyAuthority() override;

  void Issue(Request request, absl::Time deadline,
             std::function<void(absl::StatusOr<Issued>)> done) override;
  void Revoke(const std::string& name, absl::Time deadline,
              std::function<void(absl::Status)> done) override;
  void Check(const std::string& name, absl::Time deadline,
             std::function<void(absl::StatusOr<State>)> done) override;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_GRPC_SUB_KEY_AUTHORITY_H_
