#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/ledger_tile_source.h"
#include "cli/ledger_tlog_commands.h"
#include "cli/progress.h"
#include "libs/base/status_macros.h"
#include "libs/tlog/check.h"
#include "libs/tlog/folder_scan.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

using nlohmann::ordered_json;

// Calls to a server wait for the network more than for this machine's processors.
constexpr int kRemoteReaders = 16;

struct FsckReport {
  std::string source;
  bool signature_checked = false;
  bool quorum_checked = false;
  tlog::CheckReport check;
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

std::string Several(const tlog::FoundFiles& files, absl::string_view what) {
  return absl::StrCat(Count(files.count, "file", "files"), " ", what, ", first ", files.first);
}

// What else lies in the folder of a clean log.
absl::Status ScanStrays(const ChosenLog& log, FsckReport* report) {
  const tlog::SignedCheckpoint& checkpoint = *report->check.checkpoint;
  ASSIGN_OR_RETURN(tlog::FolderScan scan, tlog::ScanFolder(log.folder, checkpoint.checkpoint));
  report->check.damage = scan.damage;
  // A log that has gone on meanwhile has newer files.
  const absl::StatusOr<std::string> now = log.source->ReadCheckpoint();
  if (scan.ahead.count > 0 && now.ok() && *now == checkpoint.note) {
    report->warnings.push_back(
        Several(scan.ahead,
                "beyond the checkpoint's tree (a log in use writes them before its "
                "next checkpoint)"));
  }
  if (scan.unknown.count > 0) {
    report->warnings.push_back(Several(scan.unknown, "that are no part of a log"));
  }
  if (scan.leftovers.count > 0) {
    report->notes.push_back(
        Several(scan.leftovers,
                "left on their way into place, which may be deleted when nobody "
                "writes to the folder"));
  }
  return absl::OkStatus();
}

absl::StatusOr<FsckReport> Fsck(Context& context, const LogChoice& choice) {
  ASSIGN_OR_RETURN(const ChosenLog log, OpenChosenLog(context, choice));
  FsckReport report;
  report.source = log.source->name();
  report.signature_checked = log.trust.verifies();
  report.quorum_checked = log.trust.has_quorum();
  {
    Progress progress(&context.output, "checked");
    ASSIGN_OR_RETURN(report.check,
                     tlog::Check(*log.source, {.trust = log.trust,
                                               .threads = log.folder.empty() ? kRemoteReaders : 0,
                                               .progress = [&](uint64_t done, uint64_t total) {
                                                 progress.Show(done, total);
                                               }}));
  }
  if (!report.check.damage.has_value() && !log.folder.empty()) {
    RETURN_IF_ERROR(ScanStrays(log, &report));
  }
  return report;
}

ordered_json DamageJson(const tlog::Damage& damage) {
  ordered_json json = {{"kind", std::string(tlog::DamageKindName(damage.kind))},
                       {"path", damage.path}};
  if (damage.position.has_value()) json["position"] = *damage.position;
  if (!damage.expected.empty()) json["expected"] = damage.expected;
  if (!damage.found.empty()) json["found"] = damage.found;
  json["message"] = tlog::Describe(damage);
  return json;
}

void PrintReportJson(const FsckReport& report, Output* output) {
  const bool clean = !report.check.damage.has_value();
  ordered_json json = {{"clean", clean}, {"source", report.source}};
  if (report.check.checkpoint.has_value()) {
    const note::Checkpoint& checkpoint = report.check.checkpoint->checkpoint;
    json["origin"] = checkpoint.origin;
    json["entries"] = checkpoint.size;
    json["root"] = merkle::EncodeHash(checkpoint.root);
  }
  json["signatureChecked"] = report.signature_checked;
  json["quorumChecked"] = report.quorum_checked;
  if (!clean) json["damage"] = DamageJson(*report.check.damage);
  json["warnings"] = report.warnings;
  json["notes"] = report.notes;
  output->out() << json.dump(2, ' ', false, ordered_json::error_handler_t::replace) << "\n";
}

void PrintReport(const FsckReport& report, Output* output) {
  if (report.check.damage.has_value()) {
    output->Headline(false, absl::StrCat("damaged: ", tlog::Describe(*report.check.damage)));
  } else {
    const note::Checkpoint& checkpoint = report.check.checkpoint->checkpoint;
    output->Headline(true, absl::StrCat("clean: ", Count(checkpoint.size, "entry", "entries"),
                                        ", root ", merkle::EncodeHash(checkpoint.root)));
  }
  output->Field("Log", report.source);
  if (report.check.checkpoint.has_value()) {
    output->Field("Origin", report.check.checkpoint->checkpoint.origin);
  }
  if (!report.signature_checked) {
    output->Field("Signature", "not checked: give the log's key with --key", Tone::kBad);
  }
  for (const std::string& warning : report.warnings) {
    output->Field("Warning", warning, Tone::kStrong);
  }
  for (const std::string& note : report.notes) output->Field("Note", note, Tone::kQuiet);
}

int Run(Context& context, const LogChoice& choice) {
  const absl::StatusOr<FsckReport> report = Fsck(context, choice);
  if (!report.ok()) return context.Fail(report.status());
  if (context.json) {
    PrintReportJson(*report, &context.output);
  } else {
    PrintReport(*report, &context.output);
  }
  return report->check.damage.has_value() ? kExitNotVerified : kExitOk;
}

}  // namespace

void AddLedgerFsckCommand(CLI::App& group, Context& context) {
  CLI::App* command = group.add_subcommand(
      "fsck", "Check every hash, entry and tile of a log, and name the first damage");
  const auto choice = std::make_shared<LogChoice>();
  command->add_option("LOG", choice->target,
                      "A folder or an http:// prefix of a C2SP log; our ledger when not given");
  command->add_option("--log", choice->log, "Log of our ledger: its short or full resource name");
  command->add_option("--key", choice->key, "The log's verifier key, or a file that holds it");
  command->add_option("--policy", choice->policy,
                      "tlog-policy file: the checkpoint must have its quorum too");
  command->callback([&context, choice] {
    context.action = [&context, choice] { return Run(context, *choice); };
  });
}

}  // namespace countersign::cli
