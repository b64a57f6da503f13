#include <signal.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/ledger_tile_source.h"
#include "cli/ledger_tlog_commands.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/tlog/cursor.h"
#include "libs/tlog/follower.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

constexpr size_t kMaxShownBytes = 80;
// Between writes of the cursor while entries stream by: each waits for the disk.
constexpr absl::Duration kCursorInterval = absl::Milliseconds(200);

struct TailOptions {
  LogChoice log;
  std::string cursor;
  std::optional<uint64_t> from;
  uint64_t count = 20;
  bool follow = false;
  double interval_seconds = 1;
};

std::optional<bundle::HashedRekord> AsHashedRekord(absl::string_view entry) {
  if (!absl::StartsWith(entry, "{")) return std::nullopt;
  absl::StatusOr<bundle::HashedRekord> parsed = bundle::ParseHashedRekord(entry);
  if (!parsed.ok()) return std::nullopt;
  return *std::move(parsed);
}

std::string EntryJson(uint64_t index, const merkle::Hash& leaf_hash, absl::string_view entry) {
  nlohmann::ordered_json json = {{"index", index},
                                 {"leafHash", merkle::EncodeHash(leaf_hash)},
                                 {"data", base::Base64Encode(entry)}};
  if (const auto signed_entry = AsHashedRekord(entry)) {
    json["kind"] = std::string(bundle::kHashedRekordKind);
    json["digestAlgorithm"] =
        std::string(bundle::SigstoreDigestName(signed_entry->digest_algorithm));
    json["digest"] = base::HexEncode(signed_entry->digest);
  }
  return json.dump();
}

// An entry for people: what it signs, its text, or how long it is.
std::string Summary(absl::string_view entry) {
  if (const auto signed_entry = AsHashedRekord(entry)) {
    return absl::StrCat(bundle::kHashedRekordKind, " ",
                        bundle::SigstoreDigestName(signed_entry->digest_algorithm), " ",
                        base::HexEncode(signed_entry->digest));
  }
  const bool text = std::all_of(entry.begin(), entry.end(), [](char c) {
    return absl::ascii_isprint(static_cast<unsigned char>(c)) || c == '\n' || c == '\t';
  });
  if (!text || entry.empty()) return absl::StrCat("(", Count(entry.size(), "byte", "bytes"), ")");
  if (entry.size() <= kMaxShownBytes) return Printable(entry);
  return absl::StrCat(Printable(entry.substr(0, kMaxShownBytes)), "… (", entry.size(), " bytes)");
}

// Prints batches and keeps the cursor behind what is printed.
class Printer {
 public:
  Printer(Context* context, std::string cursor_file)
      : context_(*context), cursor_file_(std::move(cursor_file)) {}

  // Cancelled when the reader of the output has gone.
  absl::Status Print(const tlog::EntryBatch& batch) {
    std::ostream& out = context_.output.out();
    for (size_t i = 0; i < batch.entries.size(); ++i) {
      const uint64_t index = batch.first + i;
      if (context_.json) {
        out << EntryJson(index, batch.leaf_hashes[i], batch.entries[i]) << "\n";
      } else {
        out << index << "  " << base::HexEncode(base::AsBytes(batch.leaf_hashes[i])) << "  "
            << Summary(batch.entries[i]) << "\n";
      }
    }
    out.flush();
    if (!out) return absl::CancelledError("the output was closed");
    unsaved_ = batch.after;
    return absl::Now() < next_save_ ? absl::OkStatus() : Save();
  }

  // Writes the cursor of what was printed, if that is not written yet.
  absl::Status Save() {
    if (cursor_file_.empty() || !unsaved_.has_value()) return absl::OkStatus();
    RETURN_IF_ERROR(base::WriteFileDurably(cursor_file_, tlog::FormatCursor(*unsaved_)));
    unsaved_.reset();
    next_save_ = absl::Now() + kCursorInterval;
    return absl::OkStatus();
  }

 private:
  Context& context_;
  const std::string cursor_file_;
  std::optional<tlog::Cursor> unsaved_;
  absl::Time next_save_ = absl::InfinitePast();
};

absl::StatusOr<std::unique_ptr<tlog::Follower>> OpenFollower(const TailOptions& options,
                                                             const ChosenLog& log) {
  tlog::Follower::Options follower{.source = log.source.get(), .trust = log.trust};
  if (options.cursor.empty() || !base::FileExists(options.cursor)) {
    return std::make_unique<tlog::Follower>(std::move(follower));
  }
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(options.cursor));
  absl::StatusOr<tlog::Cursor> cursor = tlog::ParseCursor(text, log.trust);
  if (!cursor.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.cursor, ": ", cursor.status().message()));
  }
  return std::make_unique<tlog::Follower>(std::move(follower), *std::move(cursor));
}

// One look at the log: everything that is new is printed, the first time only the last
// `*skip_all_but` of it. No later look skips any, lest it skip what this one failed to print.
absl::Status Look(tlog::Follower* follower, Printer* printer, uint64_t* skip_all_but) {
  ASSIGN_OR_RETURN(const uint64_t size, follower->Advance());
  if (size > *skip_all_but) follower->SkipTo(std::max(follower->next(), size - *skip_all_but));
  *skip_all_but = UINT64_MAX;
  const absl::Status status =
      follower->Deliver([&](const tlog::EntryBatch& batch) { return printer->Print(batch); });
  // What was printed stays printed, whatever came then.
  const absl::Status saved = printer->Save();
  return status.ok() ? saved : status;
}

int Tail(Context& context, const TailOptions& options) {
  const absl::StatusOr<ChosenLog> log = OpenChosenLog(context, options.log);
  if (!log.ok()) return context.Fail(log.status());
  if (!log->trust.verifies()) {
    return context.Fail(absl::InvalidArgumentError(
        "entries are verified by the log's signature: give its key with --key, or a --policy"));
  }
  const absl::StatusOr<std::unique_ptr<tlog::Follower>> follower = OpenFollower(options, *log);
  if (!follower.ok()) return context.Fail(follower.status());
  const bool resumed = !options.cursor.empty() && base::FileExists(options.cursor);
  // Without any place to begin at, the last entries.
  uint64_t skip_all_but = options.cursor.empty() && !options.from ? options.count : UINT64_MAX;
  if (!resumed && options.from) (*follower)->SkipTo(*options.from);

  signal(SIGPIPE, SIG_IGN);  // a closed output ends this by its error
  Printer printer(&context, options.cursor);
  std::string last_trouble;
  while (true) {
    const absl::Status status = Look(follower->get(), &printer, &skip_all_but);
    if (absl::IsCancelled(status)) return kExitOk;
    if (status.ok()) {
      last_trouble.clear();
    } else if (!options.follow || !MayPass(status)) {
      return FailReading(context, status);
    } else if (status.message() != last_trouble) {
      last_trouble = std::string(status.message());
      context.output.err() << "countersign: " << Printable(last_trouble) << "; trying again\n";
    }
    if (!options.follow) return kExitOk;
    absl::SleepFor(absl::Seconds(options.interval_seconds));
  }
}

}  // namespace

void AddLedgerTailCommand(CLI::App& group, Context& context) {
  CLI::App* command = group.add_subcommand(
      "tail", "Print a log's last entries, or all of them as they are published, verified");
  const auto options = std::make_shared<TailOptions>();
  command->add_option("LOG", options->log.target,
                      "An http:// prefix or a folder of a C2SP log; our ledger when not given");
  command->add_option("--log", options->log.log,
                      "Log of our ledger: its short or full resource name");
  command->add_option("--key", options->log.key, "The log's verifier key, or a file that holds it");
  command->add_option("--policy", options->log.policy,
                      "tlog-policy file: every checkpoint must have its quorum too");
  command->add_option("--cursor", options->cursor,
                      "File that remembers how far it came; a restart goes on there");
  command->add_option("--from", options->from,
                      "First entry, from 0, when there is no cursor yet (with --cursor: 0)");
  command
      ->add_option("-n,--count", options->count,
                   "How many of the last entries, without --cursor and --from")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--follow,!--no-follow", options->follow,
                    "Go on with entries as they are published");
  command->add_option("--interval", options->interval_seconds, "Seconds between looks at the log")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->callback([&context, options] {
    context.action = [&context, options] { return Tail(context, *options); };
  });
}

}  // namespace countersign::cli
