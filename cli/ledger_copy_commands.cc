#include <cstdint>
#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/ledger_tile_source.h"
#include "cli/ledger_tlog_commands.h"
#include "cli/progress.h"
#include "libs/base/status_macros.h"
#include "libs/tlog/mirror.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

struct CopyOptions {
  LogChoice log;
  std::string folder;
  bool follow = false;
  double interval_seconds = 1;
};

void PrintCopy(Context& context, const CopyOptions& options, const tlog::Mirror& mirror,
               bool news) {
  const note::Checkpoint& checkpoint = mirror.checkpoint()->checkpoint;
  const std::string root = merkle::EncodeHash(checkpoint.root);
  if (context.json) {
    const nlohmann::ordered_json json = {{"folder", options.folder},
                                         {"origin", checkpoint.origin},
                                         {"entries", checkpoint.size},
                                         {"root", root},
                                         {"new", news}};
    // When following, a line each.
    context.output.out() << json.dump(options.follow ? -1 : 2, ' ', false,
                                      nlohmann::ordered_json::error_handler_t::replace)
                         << std::endl;
    return;
  }
  context.output.Headline(true, absl::StrCat(options.folder, news ? " holds " : " already holds ",
                                             Count(checkpoint.size, "entry", "entries"), " of ",
                                             checkpoint.origin, ", root ", root));
  context.output.out().flush();
}

int Copy(Context& context, const CopyOptions& options) {
  const absl::StatusOr<ChosenLog> log = OpenChosenLog(context, options.log);
  if (!log.ok()) return context.Fail(log.status());
  if (!log->trust.verifies()) {
    return context.Fail(absl::InvalidArgumentError(
        "a copy is only as good as the signature on it: give the log's key with --key, or a "
        "--policy"));
  }
  std::unique_ptr<Progress> progress;
  const auto mirror = tlog::Mirror::Open(
      {.folder = options.folder,
       .source = log->source.get(),
       .trust = log->trust,
       .progress = [&](uint64_t done, uint64_t total) { progress->Show(done, total); }});
  if (!mirror.ok()) return context.Fail(mirror.status());
  std::string last_trouble;
  for (bool first = true;; first = false) {
    progress = std::make_unique<Progress>(&context.output, "copied");
    const absl::StatusOr<bool> news = (*mirror)->Update();
    progress = nullptr;
    if (news.ok()) {
      last_trouble.clear();
      if (*news || first) PrintCopy(context, options, **mirror, *news);
    } else if (!options.follow || !MayPass(news.status())) {
      return FailReading(context, news.status());
    } else if (const std::string trouble(news.status().message()); trouble != last_trouble) {
      context.output.err() << "countersign: " << Printable(trouble) << "; trying again\n";
      last_trouble = trouble;
    }
    if (!options.follow) return kExitOk;
    absl::SleepFor(absl::Seconds(options.interval_seconds));
  }
}

void AddCopyCommand(CLI::App& group, Context& context, const char* name, const char* help,
                    bool ledger) {
  CLI::App* command = group.add_subcommand(name, help);
  const auto options = std::make_shared<CopyOptions>();
  if (ledger) {
    command->add_option("--log", options->log.log, "Log: its short or full resource name");
  } else {
    command
        ->add_option("LOG", options->log.target,
                     "An http:// prefix or a folder in the C2SP tlog-tiles layout")
        ->required();
  }
  command->add_option("FOLDER", options->folder, "Where the copy is; made when missing")
      ->required();
  command->add_option("--key", options->log.key, "The log's verifier key, or a file that holds it");
  command->add_option("--policy", options->log.policy,
                      "tlog-policy file: every checkpoint must have its quorum too");
  command->add_flag("--follow", options->follow, "Go on copying as the log grows");
  command->add_option("--interval", options->interval_seconds, "Seconds between looks at the log")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback([&context, options] {
    context.action = [&context, options] { return Copy(context, *options); };
  });
}

}  // namespace

void AddLedgerCopyCommands(CLI::App& group, Context& context) {
  AddCopyCommand(group, context, "mirror", "Copy another log into a folder, verified", false);
  AddCopyCommand(group, context, "export", "Copy our ledger's log into a folder, verified", true);
}

}  // namespace countersign::cli
