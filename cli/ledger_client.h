// Calls to the ledger service that several commands make.
#ifndef COUNTERSIGN_CLI_LEDGER_CLIENT_H_
#define COUNTERSIGN_CLI_LEDGER_CLIENT_H_

#include <grpcpp/channel.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/context.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"

namespace countersign::cli {

// Calls `method` of the ledger service with `request`.
template <typename Request, typename Response>
absl::Status CallLedger(Context& context,
                        grpc::Status (ledger::v1::LedgerService::Stub::*method)(
                            grpc::ClientContext*, const Request&, Response*),
                        const Request& request, Response* response) {
  absl::StatusOr<Endpoints> endpoints = context.GetEndpoints();
  if (!endpoints.ok()) return endpoints.status();
  return context.Call(
      "ledger", endpoints->ledger,
      [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
        const auto stub = ledger::v1::LedgerService::NewStub(channel);
        return ((*stub).*method)(call, request, response);
      });
}

// The log's resource name: `given`, short or full, or when that is empty the tenant's only log.
// FailedPrecondition when there is none, or several to choose from.
absl::StatusOr<std::string> ChooseLog(Context& context, const std::string& given);

absl::StatusOr<ledger::v1::Log> FetchLog(Context& context, const std::string& name);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_LEDGER_CLIENT_H_
