#include "cli/yubikey_session.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "cli/secret_input.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using crypto::SecretAccess;
using crypto::SecretBytes;
using Stub = pb::SessionService::Stub;

absl::StatusOr<SecretBytes> ReadApiKey(const Context& context, const AgentOptions& options) {
  if (!options.key_file.empty()) return ReadSecretLine(options.key_file);
  const std::string usual = absl::StrCat(context.data, "/yubikey-agent/admin.key");
  if (options.caller == "admin" && base::FileExists(usual)) return ReadSecretLine(usual);
  return absl::InvalidArgumentError(
      absl::StrCat("the agent wants to know who calls: name the file with the API key of \"",
                   options.caller, "\" by --yubikey-key FILE or COUNTERSIGN_YUBIKEY_KEY_FILE",
                   options.caller == "admin" ? absl::StrCat("; there is none at ", usual) : ""));
}

}  // namespace

absl::StatusOr<std::string> AgentAddress(Context& context, const AgentOptions& options) {
  if (!options.address.empty()) return options.address;
  ASSIGN_OR_RETURN(const Endpoints endpoints, context.GetEndpoints());
  return endpoints.yubikey_agent;
}

void Authorize(const SecretBytes& token, grpc::ClientContext* call) {
  std::string value = absl::StrCat("Bearer ", token.Expose(SecretAccess::Grant()));
  const FieldWiper wiper(&value);
  call->AddMetadata("authorization", value);
}

AgentSession::AgentSession(Context* context, const AgentOptions* options, SecretBytes token)
    : context_(*context), options_(*options), token_(std::move(token)) {}

absl::StatusOr<std::unique_ptr<AgentSession>> AgentSession::Open(Context* context,
                                                                 const AgentOptions* options,
                                                                 pb::Operation operation) {
  ASSIGN_OR_RETURN(const SecretBytes api_key, ReadApiKey(*context, *options));
  pb::OpenSessionRequest request;
  request.set_caller(options->caller);
  const absl::string_view exposed = api_key.Expose(SecretAccess::Grant());
  request.mutable_api_key()->set_api_key(exposed.data(), exposed.size());
  const FieldWiper key_wiper(request.mutable_api_key()->mutable_api_key());
  request.mutable_scope()->add_operations(operation);
  pb::OpenSessionResponse response;
  RETURN_IF_ERROR(CallAgent(*context, *options, nullptr, &Stub::OpenSession, request, &response));
  const FieldWiper token_wiper(response.mutable_token());
  return absl::WrapUnique(new AgentSession(context, options, SecretBytes(response.token())));
}

AgentSession::~AgentSession() {
  pb::CloseSessionResponse response;
  CallAgent(context_, options_, &token_, &Stub::CloseSession, pb::CloseSessionRequest(), &response)
      .IgnoreError();
}

}  // namespace countersign::cli
