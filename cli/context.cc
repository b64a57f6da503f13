#include "cli/context.h"

#include <google/protobuf/util/json_util.h>
#include <grpcpp/grpcpp.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {

absl::StatusOr<Endpoints> Context::GetEndpoints() {
  ASSIGN_OR_RETURN(Endpoints endpoints, LoadEndpoints(data));
  int witnesses_given = 0;
  for (const std::string& setting : endpoint_settings) {
    RETURN_IF_ERROR(ApplyEndpoint(setting, &witnesses_given, &endpoints));
  }
  return endpoints;
}

absl::Status Context::Call(absl::string_view service, const std::string& address,
                           const std::function<grpc::Status(const std::shared_ptr<grpc::Channel>&,
                                                            grpc::ClientContext*)>& call) {
  std::shared_ptr<grpc::Channel>& channel = channels_[address];
  if (channel == nullptr) {
    ASSIGN_OR_RETURN(channel, runtime::MakeChannel(address, tls));
  }
  const auto context = runtime::MakeContext(absl::Seconds(timeout_seconds));
  absl::Status status = runtime::FromGrpcStatus(call(channel, context.get()));
  // A service's own UNAVAILABLE carries a reason; gRPC's, made on this side, does not.
  if (absl::IsUnavailable(status) && !runtime::ReasonOf(status).has_value()) {
    return absl::UnavailableError(
        absl::StrCat("no ", service, " service at ", address, "; start one with `countersign up",
                     service == "yubikey-agent" ? " --yubikey" : "",
                     "`, or name another with --endpoint ", service, "=HOST:PORT"));
  }
  if (absl::IsUnimplemented(status) && !runtime::ReasonOf(status).has_value()) {
    return absl::UnimplementedError(absl::StrCat("the ", service, " service at ", address,
                                                 " does not offer this; it needs a newer one"));
  }
  return status;
}

std::string Context::TenantName() const { return absl::StrCat("tenants/", tenant); }

std::string Context::ResourceName(absl::string_view collection, absl::string_view name) const {
  if (absl::StartsWith(name, "tenants/")) return std::string(name);
  return absl::StrCat(TenantName(), "/", collection, "/", name);
}

std::string Context::ToJson(const google::protobuf::Message& message) const {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.always_print_primitive_fields = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  return status.ok() ? text : "{}\n";
}

void Context::PrintJson(const google::protobuf::Message& message) {
  output.out() << ToJson(message);
}

int Context::Fail(const absl::Status& status) {
  if (json) {
    nlohmann::ordered_json error = {{"code", absl::StatusCodeToString(status.code())},
                                    {"message", std::string(status.message())}};
    if (const auto reason = runtime::ReasonOf(status)) error["reason"] = *reason;
    const nlohmann::ordered_json root = {{"error", std::move(error)}};
    output.out() << root.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                 << "\n";
  }
  output.err() << "countersign: " << Printable(status.message()) << "\n";
  return kExitUndecided;
}

}  // namespace countersign::cli
