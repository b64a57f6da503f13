#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "countersign/witness/v1/witness.grpc.pb.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::witness::v1;
using Stub = pb::WitnessService::Stub;

struct WitnessOptions {
  int number = 0;
  std::string origin;
  std::vector<std::string> vkeys;
};

template <typename Request, typename Response>
absl::Status CallWitness(Context& context, const std::string& address,
                         grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                      Response*),
                         const Request& request, Response* response) {
  return context.Call(
      "witness", address,
      [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
        const auto stub = pb::WitnessService::NewStub(channel);
        return ((*stub).*method)(call, request, response);
      });
}

// The witness that --witness chooses, or the first.
absl::StatusOr<std::string> ChooseWitness(Context& context, const WitnessOptions& options) {
  ASSIGN_OR_RETURN(const Endpoints endpoints, context.GetEndpoints());
  const size_t number = options.number == 0 ? 1 : static_cast<size_t>(options.number);
  if (number > endpoints.witnesses.size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "there is no witness ", number, "; ", Count(endpoints.witnesses.size(), "is", "are"),
        " known. Name one with --endpoint witness=HOST:PORT"));
  }
  return endpoints.witnesses[number - 1];
}

absl::Status Info(Context& context, const WitnessOptions& options) {
  ASSIGN_OR_RETURN(const Endpoints endpoints, context.GetEndpoints());
  std::vector<std::string> addresses = endpoints.witnesses;
  if (options.number > 0) {
    ASSIGN_OR_RETURN(const std::string one, ChooseWitness(context, options));
    addresses = {one};
  }
  std::vector<std::vector<std::string>> rows = {{"WITNESS", "ADDRESS", "KEY"}};
  const char* separator = "[";
  for (const std::string& address : addresses) {
    pb::GetWitnessResponse response;
    RETURN_IF_ERROR(
        CallWitness(context, address, &Stub::GetWitness, pb::GetWitnessRequest(), &response));
    if (context.json) {
      context.output.out() << separator << context.ToJson(response.witness());
      separator = ",";
    }
    for (const std::string& vkey : response.witness().vkeys()) {
      rows.push_back({response.witness().name(), address, vkey});
    }
  }
  if (context.json) {
    context.output.out() << (addresses.empty() ? "[]\n" : "]\n");
  } else if (addresses.empty()) {
    context.output.Line("No witnesses are known here.");
  } else {
    context.output.Table(rows);
  }
  return absl::OkStatus();
}

absl::Status Logs(Context& context, const WitnessOptions& options) {
  ASSIGN_OR_RETURN(const std::string address, ChooseWitness(context, options));
  pb::ListLogsRequest request;
  pb::ListLogsResponse all;
  do {
    pb::ListLogsResponse page;
    RETURN_IF_ERROR(CallWitness(context, address, &Stub::ListLogs, request, &page));
    for (pb::WitnessedLog& log : *page.mutable_logs()) *all.add_logs() = std::move(log);
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (all.logs().empty()) {
    context.output.Line(
        "This witness watches no log yet. Add one: countersign witness add-log VKEY");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"LOG", "COSIGNED", "AT"}};
  for (const pb::WitnessedLog& log : all.logs()) {
    rows.push_back({log.origin(), absl::StrCat(log.tree_size()),
                    log.has_cosign_time()
                        ? FormatUtc(absl::FromUnixSeconds(log.cosign_time().seconds()))
                        : "never"});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::Status AddLog(Context& context, const WitnessOptions& options) {
  ASSIGN_OR_RETURN(const std::string address, ChooseWitness(context, options));
  pb::AddLogRequest request;
  request.set_origin(options.origin);
  for (const std::string& vkey : options.vkeys) request.add_vkeys(vkey);
  pb::AddLogResponse response;
  RETURN_IF_ERROR(CallWitness(context, address, &Stub::AddLog, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(
        true, absl::StrCat("The witness at ", address, " watches ", response.log().origin()));
  }
  return absl::OkStatus();
}

absl::Status Checkpoint(Context& context, const WitnessOptions& options) {
  ASSIGN_OR_RETURN(const std::string address, ChooseWitness(context, options));
  pb::GetCheckpointRequest request;
  request.set_origin(options.origin);
  pb::GetCheckpointResponse response;
  RETURN_IF_ERROR(CallWitness(context, address, &Stub::GetCheckpoint, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.out() << response.checkpoint();
  }
  return absl::OkStatus();
}

CLI::App* AddCommand(CLI::App& group, Context& context,
                     const std::shared_ptr<WitnessOptions>& options, const char* name,
                     const char* help, absl::Status (*handler)(Context&, const WitnessOptions&)) {
  CLI::App* command = AddGroupCommand(group, context, options, name, help, handler);
  command->add_option("--witness", options->number, "Which witness, from 1")
      ->check(CLI::PositiveNumber);
  return command;
}

}  // namespace

void AddWitnessCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("witness", "Ask witnesses, and tell them what to watch");
  group->require_subcommand(1);
  const auto options = std::make_shared<WitnessOptions>();
  AddCommand(*group, context, options, "info", "Show the witnesses' names and keys", Info);
  AddCommand(*group, context, options, "logs", "List the logs that a witness watches", Logs);
  CLI::App* add =
      AddCommand(*group, context, options, "add-log", "Make a witness watch a log", AddLog);
  add->add_option("VKEY", options->vkeys, "The log's verifier key (`countersign ledger info`)")
      ->required();
  add->add_option("--origin", options->origin, "The log's origin; the key's name when not given");
  AddCommand(*group, context, options, "checkpoint",
             "Print the latest checkpoint a witness cosigned", Checkpoint)
      ->add_option("ORIGIN", options->origin, "The log's origin")
      ->required();
}

}  // namespace countersign::cli
