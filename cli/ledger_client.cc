#include "cli/ledger_client.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {

namespace pb = ::countersign::ledger::v1;

absl::StatusOr<std::string> ChooseLog(Context& context, const std::string& given) {
  if (!given.empty()) return context.ResourceName("logs", given);
  pb::ListLogsRequest request;
  request.set_parent(context.TenantName());
  pb::ListLogsResponse response;
  RETURN_IF_ERROR(CallLedger(context, &pb::LedgerService::Stub::ListLogs, request, &response));
  if (response.logs().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the ledger serves no log of ", context.TenantName()));
  }
  if (response.logs_size() > 1 || !response.next_page_token().empty()) {
    std::vector<std::string> names;
    for (const pb::Log& log : response.logs()) names.push_back(log.name());
    return absl::FailedPreconditionError(
        absl::StrCat("choose a log with --log: ", absl::StrJoin(names, ", ")));
  }
  return response.logs(0).name();
}

absl::StatusOr<pb::Log> FetchLog(Context& context, const std::string& name) {
  pb::GetLogRequest request;
  request.set_name(name);
  pb::GetLogResponse response;
  RETURN_IF_ERROR(CallLedger(context, &pb::LedgerService::Stub::GetLog, request, &response));
  return response.log();
}

}  // namespace countersign::cli
