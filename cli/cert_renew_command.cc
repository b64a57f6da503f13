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
#include "cli/certificate_filter.h"
#include "cli/command_group.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "cli/renewal_progress.h"
#include "cli/sign_client.h"
#include "cli/watch.h"
#include "countersign/sign/v1/issuance_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::IssuanceService::Stub;

// Failures that are shown; the others are counted.
constexpr int kShownFailures = 20;

struct RenewOptions {
  FilterOptions filter;
  std::string upstream;
  int concurrency = 0;
  bool only_due = false;
  std::optional<absl::Duration> lifetime;
  std::string retry;
  std::string watch;
  bool wait = true;
};

absl::StatusOr<pb::Renewal> Start(Context& context, const RenewOptions& options) {
  pb::StartRenewalRequest request;
  request.set_parent(context.TenantName());
  ASSIGN_OR_RETURN(*request.mutable_filter(),
                   MakeNarrowFilter(context, options.filter, absl::Now()));
  if (!options.upstream.empty()) {
    request.set_upstream(context.ResourceName("upstreams", options.upstream));
  }
  request.set_concurrency(options.concurrency);
  request.set_only_due(options.only_due);
  if (options.lifetime.has_value()) ToProto(*options.lifetime, request.mutable_lifetime());
  request.set_request_id(crypto::RandomUuid());
  pb::StartRenewalResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::StartRenewal, request, &response));
  return response.renewal();
}

absl::StatusOr<pb::Renewal> Begin(Context& context, const RenewOptions& options) {
  if (!options.retry.empty()) {
    pb::RetryRenewalRequest request;
    request.set_name(context.ResourceName("renewals", options.retry));
    pb::RetryRenewalResponse response;
    RETURN_IF_ERROR(CallSign(context, &Stub::RetryRenewal, request, &response));
    return response.renewal();
  }
  if (!options.watch.empty()) {
    pb::GetRenewalRequest request;
    request.set_name(context.ResourceName("renewals", options.watch));
    pb::GetRenewalResponse response;
    RETURN_IF_ERROR(CallSign(context, &Stub::GetRenewal, request, &response));
    return response.renewal();
  }
  return Start(context, options);
}

absl::Status Follow(Context& context, pb::Renewal* renewal) {
  pb::WatchRenewalRequest request;
  request.set_name(renewal->name());
  RenewalProgress progress(&context.output);
  progress.Show(*renewal, absl::Now());
  return WatchSign<Stub, pb::WatchRenewalRequest, pb::WatchRenewalResponse>(
      context, &Stub::WatchRenewal, request, [&](const pb::WatchRenewalResponse& answer) {
        *renewal = answer.renewal();
        progress.Show(*renewal, absl::Now());
        return !renewal->done();
      });
}

absl::StatusOr<std::vector<pb::Issuance>> Failures(Context& context, const std::string& renewal) {
  pb::ListIssuancesRequest request;
  request.set_parent(context.TenantName());
  request.set_renewal(renewal);
  request.set_state(pb::ISSUANCE_STATE_FAILED);
  request.set_page_size(kShownFailures);
  pb::ListIssuancesResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::ListIssuances, request, &response));
  return std::vector<pb::Issuance>(response.issuances().begin(), response.issuances().end());
}

absl::Status ShowOutcome(Context& context, const pb::Renewal& renewal) {
  Output& output = context.output;
  const uint64_t total = static_cast<uint64_t>(renewal.total());
  output.Headline(
      renewal.failed() == 0,
      absl::StrCat("Renewed ", renewal.succeeded(), " of ",
                   Count(total, "certificate", "certificates"),
                   renewal.failed() == 0 ? "" : absl::StrCat(", ", renewal.failed(), " failed")));
  output.Field("Renewal", renewal.name());
  if (renewal.has_end_time()) {
    output.Field("Took",
                 DurationText(FromProto(renewal.end_time()) - FromProto(renewal.create_time())));
  }
  if (renewal.failed() == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<pb::Issuance> failures, Failures(context, renewal.name()));
  std::vector<std::vector<std::string>> rows = {{"FAILED", "TRIES", "BECAUSE"}};
  for (const pb::Issuance& failure : failures) {
    rows.push_back(
        {LastPart(failure.name()), absl::StrCat(failure.tries()), failure.error().message()});
  }
  output.Line();
  output.Table(rows);
  const int64_t more = renewal.failed() - static_cast<int64_t>(failures.size());
  if (more > 0) {
    output.Line(absl::StrCat("… and ", more,
                             " more: countersign queue list --state failed --renewal ",
                             LastPart(renewal.name())));
  }
  output.Line();
  output.Line(
      absl::StrCat("Once more with those that failed: countersign cert renew --retry-failed ",
                   LastPart(renewal.name())));
  return absl::OkStatus();
}

absl::StatusOr<int> Renew(Context& context, const RenewOptions& options) {
  if (!options.retry.empty() && !options.watch.empty()) {
    return absl::InvalidArgumentError("--retry-failed and --watch exclude each other");
  }
  ASSIGN_OR_RETURN(pb::Renewal renewal, Begin(context, options));
  if (!renewal.done() && options.wait) {
    context.output.err() << "Renewing " << renewal.total() << ", at most " << renewal.concurrency()
                         << " at a time. Ctrl-C stops watching, not the work; watch it again with\n"
                         << "  countersign cert renew --watch " << LastPart(renewal.name()) << "\n";
    RETURN_IF_ERROR(Follow(context, &renewal));
  }
  if (context.json) {
    context.PrintJson(renewal);
  } else if (!renewal.done()) {
    context.output.Headline(
        true, absl::StrCat("Renewing ", Count(static_cast<uint64_t>(renewal.total()), "certificate",
                                              "certificates")));
    context.output.Field("Renewal", renewal.name());
    context.output.Field("Watch",
                         absl::StrCat("countersign cert renew --watch ", LastPart(renewal.name())));
  } else {
    RETURN_IF_ERROR(ShowOutcome(context, renewal));
  }
  return renewal.failed() == 0 ? kExitOk : kExitNotVerified;
}

}  // namespace

void AddCertRenewCommand(CLI::App& group, Context& context) {
  const auto options = std::make_shared<RenewOptions>();
  CLI::App* command = AddVerdictCommand(
      group, context, options, "renew",
      "Renew many certificates and watch it; exit code 1 when some failed", Renew);
  AddFilterOptions(command, &options->filter);
  command->add_flag("--only-due", options->only_due, "Only those whose renewal time has come");
  command->add_option("--upstream", options->upstream,
                      "The upstream authority to get them from; each one's own when not given");
  command->add_option("--concurrency", options->concurrency, "The most at the same time; 0: 50")
      ->check(CLI::Range(0, 1000));
  AddDurationOption(command, "--lifetime", &options->lifetime,
                    "Life of the new ones (90d, …); the profile's usual one when not given");
  command->add_option("--retry-failed", options->retry,
                      "Instead: queue those of this renewal that failed once more");
  command->add_option("--watch", options->watch, "Instead: watch a renewal that goes on");
  command->add_flag("--wait,!--no-wait", options->wait, "Watch it to its end (the default)");
}

}  // namespace countersign::cli
