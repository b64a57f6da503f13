// Calls to the YubiKey agent, and the session that a command has with it.
#ifndef COUNTERSIGN_CLI_YUBIKEY_SESSION_H_
#define COUNTERSIGN_CLI_YUBIKEY_SESSION_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/context.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "libs/crypto/secret.h"

namespace countersign::cli {

// How commands find the agent, and who they are to it.
struct AgentOptions {
  std::string address;  // empty: as endpoints.json or --endpoint says
  std::string caller = "admin";
  std::string key_file;  // of the API key; empty: DATA/yubikey-agent/admin.key for "admin"
};

// The agent's address.
absl::StatusOr<std::string> AgentAddress(Context& context, const AgentOptions& options);

// Calls `method` of one of the agent's services, with the session's token when there is one.
template <typename Stub, typename Request, typename Response>
absl::Status CallAgent(Context& context, const AgentOptions& options,
                       const crypto::SecretBytes* token,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const Request& request, Response* response);

// A session that lasts for one command. Not thread-safe.
class AgentSession {
 public:
  // Opens one for `operation` with the caller's API key. InvalidArgument when no key file is named
  // and the usual one is not there; PermissionDenied when others may read it; else as OpenSession
  // of the agent fails. `context` and `options` must outlive it.
  static absl::StatusOr<std::unique_ptr<AgentSession>> Open(Context* context,
                                                            const AgentOptions* options,
                                                            yubikey::v1::Operation operation);

  // Closes it; one that cannot be told so ends by itself.
  ~AgentSession();
  AgentSession(const AgentSession&) = delete;
  AgentSession& operator=(const AgentSession&) = delete;

  template <typename Stub, typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, Response* response) {
    return CallAgent(context_, options_, &token_, method, request, response);
  }

 private:
  AgentSession(Context* context, const AgentOptions* options, crypto::SecretBytes token);

  Context& context_;
  const AgentOptions& options_;
  crypto::SecretBytes token_;
};

// Opens a session for `operation` and makes one call in it.
template <typename Stub, typename Request, typename Response>
absl::Status CallInSession(Context& context, const AgentOptions& options,
                           yubikey::v1::Operation operation,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                           const Request& request, Response* response) {
  absl::StatusOr<std::unique_ptr<AgentSession>> session =
      AgentSession::Open(&context, &options, operation);
  if (!session.ok()) return session.status();
  return (*session)->Call(method, request, response);
}

// Puts `authorization: Bearer TOKEN` on a call.
void Authorize(const crypto::SecretBytes& token, grpc::ClientContext* call);

// Overwrites a secret that a message carried, when it goes out of scope.
class FieldWiper {
 public:
  explicit FieldWiper(std::string* field) : field_(*field) {}
  ~FieldWiper() { crypto::Wipe(field_.data(), field_.size()); }
  FieldWiper(const FieldWiper&) = delete;
  FieldWiper& operator=(const FieldWiper&) = delete;

 private:
  std::string& field_;
};

template <typename Stub, typename Request, typename Response>
absl::Status CallAgent(Context& context, const AgentOptions& options,
                       const crypto::SecretBytes* token,
                       grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                    Response*),
                       const Request& request, Response* response) {
  absl::StatusOr<std::string> address = AgentAddress(context, options);
  if (!address.ok()) return address.status();
  return context.Call(
      "yubikey-agent", *address,
      [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
        if (token != nullptr) Authorize(*token, call);
        Stub stub(channel);
        return (stub.*method)(call, request, response);
      });
}

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_YUBIKEY_SESSION_H_
