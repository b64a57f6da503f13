#include <grpcpp/channel.h>

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/ledger_client.h"
#include "countersign/witness/v1/witness.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::ledger::v1;
using Stub = pb::LedgerService::Stub;

struct LogsOptions {
  std::string log;
  std::string origin;
  std::string witness_policy;
  bool tell_witnesses = true;
};

std::string StateName(const pb::Log& log) {
  return log.state() == pb::LOG_STATE_FROZEN ? "frozen" : "active";
}

absl::Status List(Context& context, const LogsOptions& /*options*/) {
  pb::ListLogsRequest request;
  request.set_parent(context.TenantName());
  pb::ListLogsResponse all;
  do {
    pb::ListLogsResponse page;
    RETURN_IF_ERROR(CallLedger(context, &Stub::ListLogs, request, &page));
    for (pb::Log& log : *page.mutable_logs()) *all.add_logs() = std::move(log);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (all.logs().empty()) {
    context.output.Line(absl::StrCat(context.TenantName(),
                                     " has no log yet. Make one: countersign logs create NAME"));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"LOG", "ORIGIN", "PUBLISHED", "STATE"}};
  for (const pb::Log& log : all.logs()) {
    rows.push_back({log.name(), log.origin(), absl::StrCat(log.tree_size()), StateName(log)});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

// Has each witness that is known here watch the log.
absl::Status TellWitnesses(Context& context, const pb::Log& log) {
  ASSIGN_OR_RETURN(const Endpoints endpoints, context.GetEndpoints());
  for (const std::string& address : endpoints.witnesses) {
    witness::v1::AddLogRequest request;
    request.set_origin(log.origin());
    request.add_vkeys(log.vkey());
    witness::v1::AddLogResponse response;
    RETURN_IF_ERROR(context.Call(
        "witness", address,
        [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
          return witness::v1::WitnessService::NewStub(channel)->AddLog(call, request, &response);
        }));
  }
  return absl::OkStatus();
}

absl::Status Create(Context& context, const LogsOptions& options) {
  pb::CreateLogRequest request;
  request.set_parent(context.TenantName());
  request.set_log_id(options.log);
  request.set_origin(options.origin);
  if (!options.witness_policy.empty()) {
    ASSIGN_OR_RETURN(*request.mutable_witness_policy(), base::ReadFile(options.witness_policy));
  }
  pb::CreateLogResponse response;
  RETURN_IF_ERROR(CallLedger(context, &Stub::CreateLog, request, &response));
  const pb::Log& log = response.log();
  ASSIGN_OR_RETURN(const Endpoints endpoints, context.GetEndpoints());
  const bool told = options.tell_witnesses && !endpoints.witnesses.empty();
  if (told) {
    if (const absl::Status status = TellWitnesses(context, log); !status.ok()) {
      return absl::Status(status.code(),
                          absl::StrCat("the log ", log.name(), " is made, but a witness could not ",
                                       "be told of it (", status.message(), "): run this again"));
    }
  }
  if (context.json) {
    context.PrintJson(log);
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Field("Log", log.name(), Tone::kStrong);
  output.Field("Origin", log.origin());
  output.Field("Key", log.vkey());
  if (told) {
    output.Field("Witnesses",
                 absl::StrCat(Count(endpoints.witnesses.size(), "watches", "watch"), " it"));
  } else if (!log.witnesses().empty()) {
    output.Line();
    output.Line("Its checkpoints are published once its witnesses watch it. At each of them:");
    output.Line(absl::StrCat("  countersign witness add-log ", log.vkey()));
  }
  return absl::OkStatus();
}

absl::Status Freeze(Context& context, const LogsOptions& options) {
  pb::FreezeLogRequest request;
  request.set_name(context.ResourceName("logs", options.log));
  pb::FreezeLogResponse response;
  RETURN_IF_ERROR(CallLedger(context, &Stub::FreezeLog, request, &response));
  if (context.json) {
    context.PrintJson(response.log());
    return absl::OkStatus();
  }
  context.output.Field("Log", response.log().name(), Tone::kStrong);
  context.output.Field("State", StateName(response.log()));
  context.output.Field(
      "Integrated",
      Count(static_cast<uint64_t>(response.log().integrated_tree_size()), "entry", "entries"));
  return absl::OkStatus();
}

}  // namespace

void AddLogsCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("logs", "Make, list and freeze logs");
  group->require_subcommand(1);
  const auto options = std::make_shared<LogsOptions>();
  AddGroupCommand(*group, context, options, "list", "List the tenant's logs", List);
  CLI::App* create = AddGroupCommand(*group, context, options, "create",
                                     "Make a log with a key of its own, for ever", Create);
  create->add_option("NAME", options->log, "Its id: 1 to 63 of a-z, 0-9 and '-'")->required();
  create->add_option("--origin", options->origin,
                     "Origin line of its checkpoints; the main log's origin and its resource name "
                     "when not given");
  create->add_option("--witness-policy", options->witness_policy,
                     "C2SP tlog-policy file without a log line; the main log's witnesses when not "
                     "given");
  create->add_flag("--tell-witnesses,!--no-tell-witnesses", options->tell_witnesses,
                   "Have the witnesses known here watch it (the default)");
  AddGroupCommand(*group, context, options, "freeze",
                  "Let a log take no more entries, for ever; reads and proofs go on", Freeze)
      ->add_option("LOG", options->log, "Its short or full resource name")
      ->required();
}

}  // namespace countersign::cli
