// Metrics and access log of every gRPC call.
#ifndef COUNTERSIGN_LIBS_RUNTIME_OBSERVER_H_
#define COUNTERSIGN_LIBS_RUNTIME_OBSERVER_H_

#include <string>
#include <vector>

namespace grpc {
class ServerBuilder;
}

namespace countersign::runtime {

class Metrics;

enum class AccessLog { kNone, kErrors, kAll };

// Makes the server count the calls of the named services ("package.Service", found in the linked-in
// descriptors) as grpc_server_started_total, grpc_server_handled_total{grpc_code} and
// grpc_server_handling_seconds, and log them. Calls of other services (health, reflection) are not
// counted. `metrics` must outlive the server.
//
// Unary calls are counted when gRPC releases their context (call_context.h); streams, and unary
// methods whose handler does not end by FinishCall, by an interceptor, which costs a small call
// some 8 % of its time.
void ObserveCalls(const std::vector<std::string>& services, AccessLog access_log, Metrics* metrics,
                  grpc::ServerBuilder* builder);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_OBSERVER_H_
