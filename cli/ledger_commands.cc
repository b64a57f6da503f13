#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/ledger_client.h"
#include "cli/ledger_tlog_commands.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::ledger::v1;
using Stub = pb::LedgerService::Stub;

constexpr size_t kMaxEntryBytes = 65535;

struct LedgerOptions {
  std::string log;
  std::vector<std::string> files;
  std::string wait = "integrated";
  int64_t index = -1;
  std::string leaf_hash;
  int64_t size = 0;
  int64_t first = 0;
  int64_t start = 0;
  int count = 20;
  bool raw = false;
  bool unpublished = false;
};

pb::WaitLevel ParseWait(const std::string& wait) {
  if (wait == "sequenced") return pb::WAIT_LEVEL_SEQUENCED;
  if (wait == "cosigned") return pb::WAIT_LEVEL_COSIGNED;
  return pb::WAIT_LEVEL_INTEGRATED;
}

absl::StatusOr<std::string> ReadEntry(const std::string& file) {
  ASSIGN_OR_RETURN(std::string entry, base::ReadFile(file));
  if (entry.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, " is empty; an entry has 1 to ", kMaxEntryBytes, " bytes"));
  }
  if (entry.size() > kMaxEntryBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(file, " has ", entry.size(), " bytes; an entry has 1 to ", kMaxEntryBytes,
                     ". `countersign sign` logs the signature of files of any size"));
  }
  return entry;
}

absl::Status Append(Context& context, const LedgerOptions& options) {
  pb::BatchAppendEntriesRequest request;
  for (const std::string& file : options.files) {
    ASSIGN_OR_RETURN(*request.add_entries(), ReadEntry(file));
  }
  ASSIGN_OR_RETURN(*request.mutable_log(), ChooseLog(context, options.log));
  request.set_wait(ParseWait(options.wait));
  pb::BatchAppendEntriesResponse response;
  RETURN_IF_ERROR(CallLedger(context, &Stub::BatchAppendEntries, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"INDEX", "LEAF HASH", "FILE"}};
  for (int i = 0; i < response.entries_size(); ++i) {
    const pb::AppendedEntry& entry = response.entries(i);
    rows.push_back({absl::StrCat(entry.index()), base::HexEncode(entry.leaf_hash()),
                    absl::StrCat(options.files[static_cast<size_t>(i)],
                                 entry.duplicate() ? " (was there already)" : "")});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::Status Get(Context& context, const LedgerOptions& options) {
  pb::GetEntryRequest request;
  ASSIGN_OR_RETURN(const std::string log, ChooseLog(context, options.log));
  request.set_name(absl::StrCat(log, "/entries/", options.index));
  pb::GetEntryResponse response;
  RETURN_IF_ERROR(CallLedger(context, &Stub::GetEntry, request, &response));
  if (options.raw) {
    context.output.out() << response.entry().data();
  } else if (context.json) {
    context.PrintJson(response);
  } else {
    Output& output = context.output;
    output.Field("Entry", response.entry().name(), Tone::kStrong);
    output.Field("Leaf hash", base::HexEncode(response.entry().leaf_hash()));
    output.Field("Bytes", absl::StrCat(response.entry().data().size()));
    output.Line();
    output.Line(response.entry().data());
  }
  return absl::OkStatus();
}

absl::Status List(Context& context, const LedgerOptions& options) {
  pb::ListEntriesRequest request;
  ASSIGN_OR_RETURN(*request.mutable_log(), ChooseLog(context, options.log));
  request.set_start_index(options.start);
  pb::ListEntriesResponse all;
  while (all.entries_size() < options.count) {
    request.set_page_size(options.count - all.entries_size());
    pb::ListEntriesResponse page;
    RETURN_IF_ERROR(CallLedger(context, &Stub::ListEntries, request, &page));
    for (pb::Entry& entry : *page.mutable_entries()) *all.add_entries() = std::move(entry);
    all.set_next_page_token(page.next_page_token());
    request.set_page_token(page.next_page_token());
    if (page.next_page_token().empty()) break;
  }
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (all.entries().empty()) {
    context.output.Line("No entries there.");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"INDEX", "BYTES", "LEAF HASH"}};
  for (const pb::Entry& entry : all.entries()) {
    rows.push_back({absl::StrCat(entry.index()), absl::StrCat(entry.data().size()),
                    base::HexEncode(entry.leaf_hash())});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::Status Checkpoint(Context& context, const LedgerOptions& options) {
  pb::GetCheckpointRequest request;
  ASSIGN_OR_RETURN(*request.mutable_log(), ChooseLog(context, options.log));
  request.set_unpublished(options.unpublished);
  pb::GetCheckpointResponse response;
  RETURN_IF_ERROR(CallLedger(context, &Stub::GetCheckpoint, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.out() << response.checkpoint();
  }
  return absl::OkStatus();
}

absl::Status ProveInclusion(Context& context, const LedgerOptions& options) {
  pb::GetInclusionProofRequest request;
  if ((options.index < 0) == options.leaf_hash.empty()) {
    return absl::InvalidArgumentError("say which entry: either --index N or --leaf-hash HEX");
  }
  if (options.index >= 0) {
    request.set_index(options.index);
  } else {
    ASSIGN_OR_RETURN(const std::string hash, base::HexDecode(options.leaf_hash));
    request.set_leaf_hash(hash);
  }
  ASSIGN_OR_RETURN(*request.mutable_log(), ChooseLog(context, options.log));
  request.set_tree_size(options.size);
  pb::GetInclusionProofResponse response;
  RETURN_IF_ERROR(CallLedger(context, &Stub::GetInclusionProof, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Line(absl::StrCat("Entry ", response.proof().index(), " in the tree of ",
                           response.proof().tree_size()),
              Tone::kStrong);
  for (int i = 0; i < response.proof().hashes_size(); ++i) {
    output.Field(i == 0 ? "Path" : "", base::Base64Encode(response.proof().hashes(i)));
  }
  output.Line();
  output.out() << response.checkpoint();
  return absl::OkStatus();
}

absl::Status ProveConsistency(Context& context, const LedgerOptions& options) {
  pb::GetConsistencyProofRequest request;
  ASSIGN_OR_RETURN(*request.mutable_log(), ChooseLog(context, options.log));
  request.set_first_size(options.first);
  request.set_second_size(options.size);
  pb::GetConsistencyProofResponse response;
  RETURN_IF_ERROR(CallLedger(context, &Stub::GetConsistencyProof, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Line(absl::StrCat("The tree of ", response.proof().first_size(),
                           " is a prefix of the tree of ", response.proof().second_size()),
              Tone::kStrong);
  for (int i = 0; i < response.proof().hashes_size(); ++i) {
    output.Field(i == 0 ? "Proof" : "", base::Base64Encode(response.proof().hashes(i)));
  }
  return absl::OkStatus();
}

absl::Status Info(Context& context, const LedgerOptions& options) {
  ASSIGN_OR_RETURN(const std::string name, ChooseLog(context, options.log));
  ASSIGN_OR_RETURN(const pb::Log log, FetchLog(context, name));
  if (context.json) {
    context.PrintJson(log);
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Field("Log", log.name(), Tone::kStrong);
  output.Field("Origin", log.origin());
  output.Field("Key", log.vkey());
  output.Field("State", log.state() == pb::LOG_STATE_FROZEN ? "frozen" : "active");
  output.Field("Published", Count(static_cast<uint64_t>(log.tree_size()), "entry", "entries"));
  output.Field("Integrated",
               Count(static_cast<uint64_t>(log.integrated_tree_size()), "entry", "entries"));
  if (log.witnesses().empty()) return absl::OkStatus();
  output.Line();
  std::vector<std::vector<std::string>> rows = {{"WITNESS", "COSIGNED", "AT", "URL", "LAST ERROR"}};
  for (const pb::LogWitness& witness : log.witnesses()) {
    rows.push_back({witness.name(), absl::StrCat(witness.cosigned_size()),
                    witness.has_cosign_time()
                        ? FormatUtc(absl::FromUnixSeconds(witness.cosign_time().seconds()))
                        : "never",
                    witness.url(), witness.last_error().empty() ? "-" : witness.last_error()});
  }
  output.Table(rows);
  return absl::OkStatus();
}

CLI::App* AddCommand(CLI::App& group, Context& context,
                     const std::shared_ptr<LedgerOptions>& options, const char* name,
                     const char* help, absl::Status (*handler)(Context&, const LedgerOptions&)) {
  CLI::App* command = AddGroupCommand(group, context, options, name, help, handler);
  command->add_option("--log", options->log, "Log: its short or full resource name");
  return command;
}

}  // namespace

void AddLedgerCommands(CLI::App& app, Context& context) {
  CLI::App* group =
      app.add_subcommand("ledger", "Append to a log, read it and prove what it holds");
  group->require_subcommand(1);
  const auto options = std::make_shared<LedgerOptions>();

  CLI::App* append = AddCommand(*group, context, options, "append",
                                "Append each file's bytes as one entry", Append);
  append->add_option("FILE", options->files, "The entries, at most 65,535 bytes each")->required();
  append->add_option("--wait", options->wait, "How far it must have come")
      ->check(CLI::IsMember({"sequenced", "integrated", "cosigned"}))
      ->capture_default_str();
  CLI::App* get = AddCommand(*group, context, options, "get", "Show one entry", Get);
  get->add_option("INDEX", options->index, "Its position, from 0")
      ->required()
      ->check(CLI::NonNegativeNumber);
  get->add_flag("--raw", options->raw, "Write the entry's bytes and nothing else");
  CLI::App* list =
      AddCommand(*group, context, options, "list", "List entries from a position", List);
  list->add_option("--start", options->start, "First position")->check(CLI::NonNegativeNumber);
  list->add_option("-n,--count", options->count, "How many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  AddCommand(*group, context, options, "checkpoint", "Print the latest checkpoint", Checkpoint)
      ->add_flag("--unpublished", options->unpublished,
                 "The latest the log signed, even if it still gathers cosignatures");
  AddCommand(*group, context, options, "info", "Show the log, its key and its witnesses", Info);

  AddLedgerTailCommand(*group, context);
  AddLedgerFsckCommand(*group, context);
  AddLedgerCopyCommands(*group, context);

  CLI::App* proof = group->add_subcommand("proof", "Fetch inclusion and consistency proofs");
  proof->require_subcommand(1);
  CLI::App* inclusion = AddCommand(*proof, context, options, "inclusion",
                                   "Prove that an entry is in the log", ProveInclusion);
  inclusion->add_option("--index", options->index, "The entry's position, from 0")
      ->check(CLI::NonNegativeNumber);
  inclusion->add_option("--leaf-hash", options->leaf_hash, "The entry's leaf hash, in hexadecimal");
  inclusion->add_option("--size", options->size, "Tree to prove against; the latest when not given")
      ->check(CLI::PositiveNumber);
  CLI::App* consistency =
      AddCommand(*proof, context, options, "consistency",
                 "Prove that a tree is a prefix of a later one", ProveConsistency);
  consistency->add_option("FIRST", options->first, "Size of the earlier tree")
      ->required()
      ->check(CLI::NonNegativeNumber);
  consistency
      ->add_option("SECOND", options->size, "Size of the later tree; the latest when not given")
      ->check(CLI::PositiveNumber);
}

}  // namespace countersign::cli
