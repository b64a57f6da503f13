// What every gRPC call passes through: metrics, request id and access log.
#ifndef COUNTERSIGN_LIBS_RUNTIME_OBSERVER_H_
#define COUNTERSIGN_LIBS_RUNTIME_OBSERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace grpc {
namespace experimental {
class ServerInterceptorFactoryInterface;
}
}  // namespace grpc

namespace countersign::runtime {

class Metrics;

enum class AccessLog { kNone, kErrors, kAll };

// The interceptor factory for a server of the named services ("package.Service"). Their methods,
// found in the linked-in descriptors, are counted as grpc_server_started_total,
// grpc_server_handled_total{grpc_code} and grpc_server_handling_seconds; calls of other services
// (health, reflection) pass untouched. A call without a valid x-request-id gets one, which the
// handler sees in its client metadata; a failed call returns the id in use in its trailing metadata.
// `metrics` must outlive the server.
std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallObserver(
    const std::vector<std::string>& services, AccessLog access_log, Metrics* metrics);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_OBSERVER_H_
