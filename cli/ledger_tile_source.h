// Which log a command reads: our ledger's, one behind a URL, or one in a folder.
#ifndef COUNTERSIGN_CLI_LEDGER_TILE_SOURCE_H_
#define COUNTERSIGN_CLI_LEDGER_TILE_SOURCE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/context.h"
#include "libs/tlog/log_trust.h"
#include "libs/tlog/tile_source.h"

namespace countersign::cli {

// How the options of a command name a log and what it is believed by.
struct LogChoice {
  std::string target;  // a folder, an http:// prefix, or empty for our ledger
  std::string log;     // of our ledger: short or full name
  std::string key;     // verifier key, or a file that holds one
  std::string policy;  // file
};

struct ChosenLog {
  std::unique_ptr<tlog::TileSource> source;
  tlog::LogTrust trust;
  std::string folder;  // where the public files are, when they are in a folder
};

// Opens the log. Without a key and policy the key is taken from the ledger itself, or from log.vkey
// beside or above the folder; when there is none either, nothing is verified but the tree. A folder
// may also be that of the ledger's data, which has the public files in `public`.
absl::StatusOr<ChosenLog> OpenChosenLog(Context& context, const LogChoice& choice);

// Fails the command: kExitNotVerified when what was read is not the log's (DataLoss) or went back
// (FailedPrecondition), with both checkpoints of a fork for evidence; else kExitUndecided.
int FailReading(Context& context, const absl::Status& status);

// Whether it is worth asking the log again later: it cannot be reached, has published nothing yet,
// or shows an older checkpoint or one that still gathers cosignatures.
bool MayPass(const absl::Status& status);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_LEDGER_TILE_SOURCE_H_
