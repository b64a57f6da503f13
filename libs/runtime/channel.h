// Client channels to the suite's services, and the context of a call made on them.
#ifndef COUNTERSIGN_LIBS_RUNTIME_CHANNEL_H_
#define COUNTERSIGN_LIBS_RUNTIME_CHANNEL_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace grpc {
class CallbackServerContext;
class Channel;
class ClientContext;
}  // namespace grpc

namespace countersign::runtime {

// Paths of PEM files. All empty: plain text, for loopback.
struct ClientTls {
  std::string ca_file;    // who signed the server's certificate
  std::string cert_file;  // ours, for mTLS; with key_file or not at all
  std::string key_file;
  std::string server_name;  // checked in the server's certificate instead of the address's host

  bool enabled() const {
    return !ca_file.empty() || !cert_file.empty() || !key_file.empty() || !server_name.empty();
  }
};

// A channel to `address` ("host:port", or a gRPC target such as "dns:///sign:7101"). It connects
// lazily and again by itself; calls fail fast with UNAVAILABLE while nobody answers. Load is spread
// round robin over the addresses of the name; UNAVAILABLE is retried, at most 4 attempts in all,
// within the call's deadline, but not of the services that take cards' PINs. Idle connections are
// kept alive. Fails only when a TLS file cannot be read. The channel is thread-safe.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(absl::string_view address,
                                                           const ClientTls& tls = {});

// The context of one call that ends `timeout` from now, with `request_id` (a new one when empty) as
// its x-request-id.
std::unique_ptr<grpc::ClientContext> MakeContext(absl::Duration timeout,
                                                 absl::string_view request_id = "");

// The context of one call on behalf of `parent`: it ends when the parent does or is cancelled, at
// most `timeout` from now, and carries the parent's request id, traceparent and tracestate.
// `parent` must outlive the call.
std::unique_ptr<grpc::ClientContext> MakeContext(const grpc::CallbackServerContext& parent,
                                                 absl::Duration timeout);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_CHANNEL_H_
