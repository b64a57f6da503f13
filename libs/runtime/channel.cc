#include "libs/runtime/channel.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/call.h"
#include "libs/runtime/request_id.h"

namespace countersign::runtime {
namespace {

// The services that take PINs are called once: each try may cost a card one of its few.
constexpr char kServiceConfig[] = R"({
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [{}],
    "waitForReady": false,
    "retryPolicy": {
      "maxAttempts": 4,
      "initialBackoff": "0.1s",
      "maxBackoff": "2s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }, {
    "name": [
      {"service": "countersign.yubikey.v1.CardService"},
      {"service": "countersign.yubikey.v1.SessionService"}
    ],
    "waitForReady": false
  }],
  "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1}
})";

std::chrono::system_clock::time_point After(absl::Duration timeout) {
  // gRPC overflows on far deadlines.
  timeout = std::clamp(timeout, absl::ZeroDuration(), absl::Hours(24 * 365));
  return std::chrono::system_clock::now() +
         std::chrono::microseconds(absl::ToInt64Microseconds(timeout));
}

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(absl::string_view address,
                                                           const ClientTls& tls) {
  if (address.empty()) return absl::InvalidArgumentError("a service's address is empty");
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(kServiceConfig);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 64 << 20);
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (tls.enabled()) {
    if (tls.cert_file.empty() != tls.key_file.empty()) {
      return absl::InvalidArgumentError(
          "a client certificate needs its key: give both files or neither");
    }
    grpc::SslCredentialsOptions options;
    if (!tls.ca_file.empty()) {
      ASSIGN_OR_RETURN(options.pem_root_certs, base::ReadFile(tls.ca_file));
    }
    if (!tls.cert_file.empty()) {
      ASSIGN_OR_RETURN(options.pem_cert_chain, base::ReadFile(tls.cert_file));
      ASSIGN_OR_RETURN(options.pem_private_key, base::ReadFile(tls.key_file));
    }
    if (!tls.server_name.empty()) arguments.SetSslTargetNameOverride(tls.server_name);
    credentials = grpc::SslCredentials(options);
  } else {
    credentials = grpc::InsecureChannelCredentials();
  }
  return grpc::CreateCustomChannel(std::string(address), credentials, arguments);
}

std::unique_ptr<grpc::ClientContext> MakeContext(absl::Duration timeout,
                                                 absl::string_view request_id) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(After(timeout));
  context->AddMetadata(kRequestIdHeader,
                       ValidRequestId(request_id) ? std::string(request_id) : NewRequestId());
  return context;
}

std::unique_ptr<grpc::ClientContext> MakeContext(const grpc::CallbackServerContext& parent,
                                                 absl::Duration timeout) {
  std::unique_ptr<grpc::ClientContext> context =
      grpc::ClientContext::FromCallbackServerContext(parent);
  context->set_deadline(std::min(parent.deadline(), After(timeout)));
  const auto& metadata = parent.client_metadata();
  if (std::string id = RequestId(parent); !id.empty()) {
    context->AddMetadata(kRequestIdHeader, std::move(id));
  }
  for (const char* name : {"traceparent", "tracestate"}) {
    const auto found = metadata.find(name);
    if (found == metadata.end()) continue;
    context->AddMetadata(name, std::string(found->second.data(), found->second.size()));
  }
  return context;
}

}  // namespace countersign::runtime
