// The health of the services behind the gateway, as one answer.
#ifndef COUNTERSIGN_SERVICES_GATEWAY_HEALTH_H_
#define COUNTERSIGN_SERVICES_GATEWAY_HEALTH_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "libs/http/message.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

struct HealthTarget {
  std::string name;
  std::shared_ptr<grpc::Channel> channel;
};

// Asks all targets at once (grpc.health.v1, the whole server), each for at most `timeout`, and
// answers 200 when all serve, else 503:
//   {"status":"NOT_SERVING","backends":[{"name":"sign","status":"SERVING"},
//                                       {"name":"ledger","status":"UNREACHABLE","detail":"…"}]}
http::Handler MakeHealthHandler(std::vector<HealthTarget> targets, absl::Duration timeout);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_HEALTH_H_
