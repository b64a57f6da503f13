// Calls to the sign service that several commands make.
#ifndef COUNTERSIGN_CLI_SIGN_CLIENT_H_
#define COUNTERSIGN_CLI_SIGN_CLIENT_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "countersign/sign/v1/resources.pb.h"
#include "countersign/sign/v1/sign.grpc.pb.h"

namespace countersign::cli {

// Calls `method` of one of the services that the sign process hosts, with `request`.
template <typename Stub, typename Request, typename Response>
absl::Status CallSign(Context& context,
                      grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                      const Request& request, Response* response) {
  absl::StatusOr<Endpoints> endpoints = context.GetEndpoints();
  if (!endpoints.ok()) return endpoints.status();
  return context.Call(
      "sign", endpoints->sign,
      [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
        Stub stub(channel);
        return (stub.*method)(call, request, response);
      });
}

// Every key of the tenant.
absl::StatusOr<std::vector<sign::v1::Key>> ListAllKeys(Context& context);

// Every version of the key, the newest first.
absl::StatusOr<std::vector<sign::v1::KeyVersion>> ListAllVersions(Context& context,
                                                                  const std::string& key);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_SIGN_CLIENT_H_
