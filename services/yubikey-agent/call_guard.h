// Sessions of gRPC calls: the token and the transport identity that a call comes with.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALL_GUARD_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALL_GUARD_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "services/yubikey-agent/sessions.h"

namespace grpc {
class CallbackServerContext;
}

namespace countersign::yubikey {

// The token of `authorization: Bearer TOKEN`; empty when there is none.
absl::string_view TokenOf(const grpc::CallbackServerContext& context);

// Who is at the other end: "tls:" and the hex SHA-256 of the client's certificate, else "host:" and
// its address without the port.
std::string TransportIdentity(const grpc::CallbackServerContext& context);

// Sessions::Check for a call. Cheap enough for gRPC's own threads.
absl::Status Authorize(const grpc::CallbackServerContext& context, Sessions* sessions,
                       Operation operation, absl::string_view name);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CALL_GUARD_H_
