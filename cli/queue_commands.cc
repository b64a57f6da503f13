#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/cert_commands.h"
#include "cli/certificate_request.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "cli/watch.h"
#include "countersign/sign/v1/issuance_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::IssuanceService::Stub;

struct QueueOptions {
  RequestOptions request;
  std::string upstream;
  bool watch = false;
  std::string name;
  std::string state;
  std::string renewal;
  uint64_t limit = 100;
};

bool Done(const pb::Issuance& issuance) {
  return issuance.state() == pb::ISSUANCE_STATE_SUCCEEDED ||
         issuance.state() == pb::ISSUANCE_STATE_FAILED ||
         issuance.state() == pb::ISSUANCE_STATE_CANCELLED;
}

std::string StateText(const pb::Issuance& issuance) {
  return EnumText(pb::IssuanceState_descriptor(), issuance.state());
}

std::string TriesText(const pb::Issuance& issuance) {
  return absl::StrCat(issuance.tries(), " of ", issuance.max_tries());
}

void Show(const pb::Issuance& issuance, Output* output) {
  output->Field("Issuance", issuance.name(), Tone::kStrong);
  output->Field("State", StateText(issuance),
                issuance.state() == pb::ISSUANCE_STATE_FAILED ? Tone::kBad : Tone::kPlain);
  output->Field("Tries", TriesText(issuance));
  if (issuance.has_error()) output->Field("Because", issuance.error().message());
  if (issuance.has_next_try_time()) {
    output->Field("Next try", TimeText(issuance.next_try_time()));
  }
  if (!issuance.certificate().empty()) output->Field("Certificate", issuance.certificate());
  if (!issuance.upstream().empty()) output->Field("Upstream", issuance.upstream());
  if (!issuance.renewal().empty()) output->Field("Renewal", issuance.renewal());
  output->Field("Queued", TimeText(issuance.create_time()));
}

// One line for each change, and the exit code of the last.
absl::StatusOr<int> Watch(Context& context, const std::string& name) {
  pb::WatchIssuanceRequest request;
  request.set_name(name);
  pb::Issuance last;
  RETURN_IF_ERROR((WatchSign<Stub, pb::WatchIssuanceRequest, pb::WatchIssuanceResponse>(
      context, &Stub::WatchIssuance, request, [&](const pb::WatchIssuanceResponse& answer) {
        last = answer.issuance();
        if (context.json) {
          context.output.out() << nlohmann::ordered_json::parse(context.ToJson(last)).dump()
                               << std::endl;
          return !Done(last);
        }
        std::string line = StateText(last);
        if (last.state() == pb::ISSUANCE_STATE_RUNNING) {
          absl::StrAppend(&line, ", try ", TriesText(last));
        }
        if (last.has_error() && last.state() != pb::ISSUANCE_STATE_RUNNING) {
          absl::StrAppend(&line, ": ", last.error().message());
        }
        if (last.has_next_try_time()) {
          absl::StrAppend(&line, "; next try ",
                          Distance(FromProto(last.next_try_time()), absl::Now()));
        }
        if (!last.certificate().empty()) absl::StrAppend(&line, ": ", last.certificate());
        context.output.Line(line);
        context.output.out() << std::flush;
        return !Done(last);
      })));
  return last.state() == pb::ISSUANCE_STATE_SUCCEEDED ? kExitOk : kExitNotVerified;
}

absl::StatusOr<int> Add(Context& context, const QueueOptions& options) {
  if (options.request.authority.empty() == options.upstream.empty()) {
    return absl::InvalidArgumentError(
        "name one of: --ca, an authority here; --upstream, one elsewhere");
  }
  ASSIGN_OR_RETURN(PreparedRequest prepared, PrepareRequest(context, options.request));
  pb::EnqueueIssuanceRequest request;
  request.set_parent(context.TenantName());
  *request.mutable_request() = prepared.request;
  if (!options.upstream.empty()) {
    request.set_upstream(context.ResourceName("upstreams", options.upstream));
  }
  pb::EnqueueIssuanceResponse response;
  const absl::Status status = CallSign(context, &Stub::EnqueueIssuance, request, &response);
  if (!status.ok()) return DropNewKey(prepared, status);
  const pb::Issuance& issuance = response.issuance();
  if (!context.json) {
    context.output.Headline(true, absl::StrCat("Queued ", LastPart(issuance.name())));
    context.output.Field("Issuance", issuance.name());
    if (!prepared.new_key_file.empty()) context.output.Field("Key file", prepared.new_key_file);
    if (!options.watch) {
      context.output.Field("Watch",
                           absl::StrCat("countersign queue watch ", LastPart(issuance.name())));
    }
  }
  if (options.watch) return Watch(context, issuance.name());
  if (context.json) context.PrintJson(response);
  return kExitOk;
}

absl::Status List(Context& context, const QueueOptions& options) {
  pb::ListIssuancesRequest request;
  request.set_parent(context.TenantName());
  if (!options.state.empty()) {
    ASSIGN_OR_RETURN(const int state, ParseEnum(pb::IssuanceState_descriptor(), options.state));
    request.set_state(static_cast<pb::IssuanceState>(state));
  }
  if (!options.renewal.empty()) {
    request.set_renewal(context.ResourceName("renewals", options.renewal));
  }
  pb::ListIssuancesResponse all;
  const uint64_t limit = options.limit == 0 ? UINT64_MAX : options.limit;
  uint64_t found = 0;
  do {
    request.set_page_size(static_cast<int>(std::min<uint64_t>(limit - found, 1000)));
    pb::ListIssuancesResponse page;
    RETURN_IF_ERROR(CallSign(context, &Stub::ListIssuances, request, &page));
    for (pb::Issuance& issuance : *page.mutable_issuances()) {
      *all.add_issuances() = std::move(issuance);
    }
    found = static_cast<uint64_t>(all.issuances_size());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && found < limit);
  all.set_next_page_token(request.page_token());
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (all.issuances().empty()) {
    context.output.Line("Nothing of this kind is in the queue.");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {
      {"ISSUANCE", "STATE", "TRIES", "QUEUED", "CERTIFICATE OR ERROR"}};
  for (const pb::Issuance& issuance : all.issuances()) {
    rows.push_back({LastPart(issuance.name()), StateText(issuance), TriesText(issuance),
                    TimeText(issuance.create_time()),
                    issuance.certificate().empty() ? issuance.error().message()
                                                   : LastPart(issuance.certificate())});
  }
  context.output.Table(rows);
  if (!all.next_page_token().empty()) {
    context.output.err() << "There are more than these " << found
                         << ": show more by --limit N (0: all)\n";
  }
  return absl::OkStatus();
}

// Get, cancel and retry: a name in, an issuance out.
template <typename Request, typename Response>
absl::Status CallOne(Context& context, const QueueOptions& options,
                     grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                  Response*)) {
  Request request;
  request.set_name(context.ResourceName("issuances", options.name));
  Response response;
  RETURN_IF_ERROR(CallSign(context, method, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    Show(response.issuance(), &context.output);
  }
  return absl::OkStatus();
}

absl::Status Status(Context& context, const QueueOptions& /*options*/) {
  pb::GetQueueRequest request;
  request.set_parent(context.TenantName());
  pb::GetQueueResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::GetQueue, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Field("Waiting", absl::StrCat(response.waiting(), " of at most ", response.capacity()));
  output.Field("Running",
               absl::StrCat(response.running(), " on ",
                            Count(static_cast<uint64_t>(response.workers()), "worker", "workers")));
  if (response.has_oldest_time()) {
    output.Field("Oldest", absl::StrCat(TimeText(response.oldest_time()), ", ",
                                        Distance(FromProto(response.oldest_time()), absl::Now())));
  }
  return absl::OkStatus();
}

}  // namespace

void AddQueueCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("queue", "Issuances in the background");
  group->require_subcommand(1);
  const auto options = std::make_shared<QueueOptions>();
  const auto add_name = [&](CLI::App* command) {
    command->add_option("ISSUANCE", options->name, "Its id or full resource name")->required();
  };
  CLI::App* add = AddVerdictCommand(*group, context, options, "add",
                                    "Queue an issuance, which survives a crash", Add);
  AddRequestOptions(add, &options->request);
  add->add_option("--ca", options->request.authority, "The authority that issues it");
  add->add_option("--upstream", options->upstream, "Or the upstream authority to get it from");
  add->add_flag("--watch", options->watch, "Watch it until it is done; exit code 1 when it failed");
  CLI::App* list =
      AddGroupCommand(*group, context, options, "list", "List requests, the oldest first", List);
  list->add_option("--state", options->state, "Only those in this state")
      ->check(CLI::IsMember(EnumNames(pb::IssuanceState_descriptor())));
  list->add_option("--renewal", options->renewal, "Only those of this renewal");
  list->add_option("--limit", options->limit, "The most to show; 0 for all")->capture_default_str();
  add_name(AddGroupCommand(
      *group, context, options, "get", "Show a request",
      [](Context& c, const QueueOptions& o) { return CallOne(c, o, &Stub::GetIssuance); }));
  add_name(
      AddVerdictCommand(*group, context, options, "watch",
                        "Show a request's changes until it is done; exit code 1 when it failed",
                        [](Context& c, const QueueOptions& o) {
                          return Watch(c, c.ResourceName("issuances", o.name));
                        }));
  add_name(AddGroupCommand(
      *group, context, options, "cancel", "Take a request out of the queue",
      [](Context& c, const QueueOptions& o) { return CallOne(c, o, &Stub::CancelIssuance); }));
  add_name(AddGroupCommand(
      *group, context, options, "retry", "Queue a failed request again",
      [](Context& c, const QueueOptions& o) { return CallOne(c, o, &Stub::RetryIssuance); }));
  AddGroupCommand(*group, context, options, "status", "Show how full the queue is", Status);
}

}  // namespace countersign::cli
