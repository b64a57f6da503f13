#include "cli/ledger_tile_source.h"

#include <grpcpp/grpcpp.h>
#include <sys/stat.h>

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/ledger_client.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/tile.h"
#include "libs/note/key.h"
#include "libs/note/policy.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/tlog/damage.h"
#include "libs/tlog/folder_source.h"
#include "libs/tlog/growth.h"
#include "libs/tlog/http_source.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::ledger::v1;
using Stub = pb::LedgerService::Stub;

// A log of our ledger, by gRPC.
class LedgerTileSource : public tlog::TileSource {
 public:
  LedgerTileSource(std::unique_ptr<Stub> stub, std::string log, absl::Duration timeout)
      : stub_(std::move(stub)), log_(std::move(log)), timeout_(timeout) {}

  const std::string& name() const override { return log_; }

 private:
  absl::StatusOr<std::string> Fetch(const std::string& path) const override {
    if (path == "checkpoint") {
      pb::GetCheckpointResponse response;
      RETURN_IF_ERROR(Call(&Stub::GetCheckpoint, pb::GetCheckpointRequest(), &response));
      return std::move(*response.mutable_checkpoint());
    }
    ASSIGN_OR_RETURN(const merkle::TileResource resource, merkle::ParseTilePath(path));
    if (resource.entries) {
      pb::GetEntryBundleRequest request;
      request.set_index(static_cast<int64_t>(resource.tile.index));
      request.set_width(static_cast<int32_t>(resource.tile.width));
      pb::GetEntryBundleResponse response;
      RETURN_IF_ERROR(Call(&Stub::GetEntryBundle, std::move(request), &response));
      return std::move(*response.mutable_entry_bundle());
    }
    pb::GetTileRequest request;
    request.set_level(resource.tile.level);
    request.set_index(static_cast<int64_t>(resource.tile.index));
    request.set_width(static_cast<int32_t>(resource.tile.width));
    pb::GetTileResponse response;
    RETURN_IF_ERROR(Call(&Stub::GetTile, std::move(request), &response));
    return std::move(*response.mutable_tile());
  }

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    Request request, Response* response) const {
    request.set_log(log_);
    const auto context = runtime::MakeContext(timeout_);
    return runtime::FromGrpcStatus((stub_.get()->*method)(context.get(), request, response));
  }

  const std::unique_ptr<Stub> stub_;
  const std::string log_;
  const absl::Duration timeout_;
};

absl::StatusOr<note::NoteVerifier> ReadKey(const std::string& key) {
  if (!base::FileExists(key)) return note::ParseVkey(key);
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(key));
  absl::StatusOr<note::NoteVerifier> verifier = note::ParseVkey(absl::StripAsciiWhitespace(text));
  if (!verifier.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(key, ": ", verifier.status().message()));
  }
  return verifier;
}

// `found`: the key that the log itself comes with, empty when it comes with none.
absl::StatusOr<tlog::LogTrust> ChooseTrust(const LogChoice& choice, const std::string& found) {
  std::optional<note::NoteVerifier> key;
  if (!choice.key.empty()) {
    ASSIGN_OR_RETURN(key, ReadKey(choice.key));
  }
  if (!choice.policy.empty()) {
    ASSIGN_OR_RETURN(const std::string text, base::ReadFile(choice.policy));
    absl::StatusOr<note::Policy> policy = note::Policy::Parse(text);
    if (!policy.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(choice.policy, ": ", policy.status().message()));
    }
    return tlog::LogTrust(*std::move(policy), std::move(key));
  }
  if (!key.has_value() && !found.empty()) {
    ASSIGN_OR_RETURN(key, ReadKey(found));
  }
  return key.has_value() ? tlog::LogTrust(*std::move(key)) : tlog::LogTrust();
}

absl::StatusOr<ChosenLog> OpenLedger(Context& context, const LogChoice& choice) {
  ASSIGN_OR_RETURN(const std::string name, ChooseLog(context, choice.log));
  ASSIGN_OR_RETURN(const Endpoints endpoints, context.GetEndpoints());
  pb::GetLogRequest request;
  request.set_name(name);
  pb::GetLogResponse response;
  std::unique_ptr<Stub> stub;
  RETURN_IF_ERROR(
      context.Call("ledger", endpoints.ledger,
                   [&](const std::shared_ptr<grpc::Channel>& channel, grpc::ClientContext* call) {
                     stub = pb::LedgerService::NewStub(channel);
                     return stub->GetLog(call, request, &response);
                   }));
  ChosenLog log;
  ASSIGN_OR_RETURN(log.trust, ChooseTrust(choice, response.log().vkey()));
  log.source = std::make_unique<LedgerTileSource>(std::move(stub), name,
                                                  absl::Seconds(context.timeout_seconds));
  return log;
}

absl::StatusOr<ChosenLog> OpenFolder(const LogChoice& choice) {
  struct stat info;
  if (stat(choice.target.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return absl::NotFoundError(
        absl::StrCat("there is no folder ", choice.target,
                     "; name the one that holds a log's `checkpoint` and `tile`, or an http:// "
                     "prefix"));
  }
  ChosenLog log;
  log.folder = choice.target;
  while (log.folder.size() > 1 && log.folder.back() == '/') log.folder.pop_back();
  if (!base::FileExists(log.folder + "/checkpoint") &&
      base::FileExists(log.folder + "/public/checkpoint")) {
    log.folder += "/public";
  }
  std::string key;
  for (const char* place : {"/../log.vkey", "/log.vkey"}) {
    if (key.empty() && base::FileExists(log.folder + place)) key = log.folder + place;
  }
  ASSIGN_OR_RETURN(log.trust, ChooseTrust(choice, key));
  log.source = std::make_unique<tlog::FolderSource>(log.folder);
  return log;
}

void PrintNote(absl::string_view title, absl::string_view note, Output* output) {
  output->err() << title << "\n";
  for (absl::string_view line : absl::StrSplit(note, '\n')) {
    output->err() << "  " << Printable(line) << "\n";
  }
}

}  // namespace

absl::StatusOr<ChosenLog> OpenChosenLog(Context& context, const LogChoice& choice) {
  if (choice.target.empty()) return OpenLedger(context, choice);
  if (!choice.log.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("either ", choice.target, " or --log ", choice.log, ", not both"));
  }
  if (!absl::StrContains(choice.target, "://")) return OpenFolder(choice);
  ChosenLog log;
  ASSIGN_OR_RETURN(log.trust, ChooseTrust(choice, ""));
  ASSIGN_OR_RETURN(log.source,
                   tlog::HttpSource::Create(
                       {.url = choice.target, .timeout = absl::Seconds(context.timeout_seconds)}));
  return log;
}

int FailReading(Context& context, const absl::Status& status) {
  const int code = context.Fail(status);
  if (const auto fork = tlog::ForkOf(status)) {
    PrintNote("Known before:", fork->known, &context.output);
    PrintNote("Seen now:", fork->seen, &context.output);
  }
  return absl::IsDataLoss(status) || absl::IsFailedPrecondition(status) ? kExitNotVerified : code;
}

bool MayPass(const absl::Status& status) {
  const auto damage = tlog::DamageOf(status);
  if (damage.has_value()) return damage->kind == tlog::DamageKind::kQuorum;
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsNotFound(status) || absl::IsFailedPrecondition(status);
}

}  // namespace countersign::cli
