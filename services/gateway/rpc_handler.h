// HTTP handlers that make RPCs.
#ifndef COUNTERSIGN_SERVICES_GATEWAY_RPC_HANDLER_H_
#define COUNTERSIGN_SERVICES_GATEWAY_RPC_HANDLER_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/http/message.h"
#include "services/gateway/routes.h"

namespace grpc {
class Channel;
}

namespace countersign::gateway {

// The request id that every request has once it is inside the gateway.
inline constexpr char kRequestIdField[] = "X-Request-Id";

// A handler of the route over `channel`. It does not block: the answer is given on a gRPC thread.
// The call's deadline is the earliest of the client's (a Grpc-Timeout field such as "500m" or
// "10S", as gRPC writes it), the HTTP server's and `timeout` from now. The request id and W3C trace
// context travel with the call.
absl::StatusOr<http::Handler> MakeRpcHandler(const RpcRoute& route,
                                             std::shared_ptr<grpc::Channel> channel,
                                             absl::Duration timeout);

// One unary call in bytes, with the request's id, trace context and deadline. Unlike the generated
// stubs it needs no type, so that one table can drive all. `done` is called on a gRPC thread.
void CallRpc(const http::Request& request, std::shared_ptr<grpc::Channel> channel,
             const std::string& rpc_path, const std::string& message, absl::Duration timeout,
             std::function<void(absl::StatusOr<std::string>)> done);

// A failure as clients may see it. What gRPC itself says when it cannot reach a service names inner
// addresses: that is logged, and told in words of the gateway's own. What the service said stays.
absl::Status ForClients(const absl::Status& status, absl::string_view backend);

// How long a Grpc-Timeout field gives; InfiniteDuration without one, InvalidArgument for nonsense.
absl::StatusOr<absl::Duration> ParseGrpcTimeout(absl::string_view text);

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_RPC_HANDLER_H_
