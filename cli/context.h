// What all commands share: the global options, the output, and calls to services.
#ifndef COUNTERSIGN_CLI_CONTEXT_H_
#define COUNTERSIGN_CLI_CONTEXT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/endpoints.h"
#include "cli/output.h"
#include "libs/runtime/channel.h"

namespace grpc {
class Channel;
class ClientContext;
class Status;
}  // namespace grpc

namespace google::protobuf {
class Message;
}

namespace countersign::cli {

// The process's exit codes.
inline constexpr int kExitOk = 0;
inline constexpr int kExitNotVerified = 1;
inline constexpr int kExitUndecided = 2;

// Set by the global options before a command runs. Not thread-safe.
struct Context {
  explicit Context(Output output_in) : output(output_in) {}

  Output output;
  bool json = false;
  std::string data;
  std::string tenant = "default";
  std::vector<std::string> endpoint_settings;
  runtime::ClientTls tls;
  double timeout_seconds = 30;
  // The command chosen; returns the exit code.
  std::function<int()> action;

  // The services' addresses, loaded on first use.
  absl::StatusOr<Endpoints> GetEndpoints();

  // Makes one call to the service called `service` ("sign") at `address`: `call` gets a channel and
  // the call's context. A server that cannot be reached becomes an error that says how to start
  // one.
  absl::Status Call(absl::string_view service, const std::string& address,
                    const std::function<grpc::Status(const std::shared_ptr<grpc::Channel>&,
                                                     grpc::ClientContext*)>& call);

  // "tenants/{tenant}".
  std::string TenantName() const;
  // A full resource name, or the short one after "tenants/{tenant}/{collection}/".
  std::string ResourceName(absl::string_view collection, absl::string_view name) const;

  // `message` in protobuf's JSON mapping, indented, every field present.
  std::string ToJson(const google::protobuf::Message& message) const;
  void PrintJson(const google::protobuf::Message& message);

  // Reports why the command could not do its work. Returns kExitUndecided.
  int Fail(const absl::Status& status);

 private:
  std::map<std::string, std::shared_ptr<grpc::Channel>> channels_;
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_CONTEXT_H_
