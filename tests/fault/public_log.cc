#include "tests/fault/public_log.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/compact_range.h"
#include "libs/merkle/tile.h"
#include "libs/tlog/check.h"
#include "libs/tlog/folder_scan.h"
#include "libs/tlog/folder_source.h"

namespace countersign::fault {

absl::StatusOr<PublicLog> ReadPublicLog(const std::string& folder, const note::NoteVerifier& key) {
  const tlog::FolderSource source(folder);
  tlog::CheckOptions options;
  options.trust = tlog::LogTrust(key);
  options.threads = 1;
  ASSIGN_OR_RETURN(const tlog::CheckReport report, tlog::Check(source, options));
  if (report.damage.has_value()) return tlog::DamageError(*report.damage);
  PublicLog log;
  log.checkpoint = report.checkpoint->checkpoint;
  ASSIGN_OR_RETURN(const tlog::FolderScan scan, tlog::ScanFolder(folder, log.checkpoint));
  if (scan.damage.has_value()) return tlog::DamageError(*scan.damage);
  if (scan.unknown.count != 0) {
    return absl::DataLossError(absl::StrCat(scan.unknown.first, " is no file of a log"));
  }

  merkle::CompactRange tree;
  log.roots.push_back(tree.Root());
  while (tree.size() < log.checkpoint.size) {
    const uint64_t bundle = tree.size() / merkle::kTileWidth;
    const auto width = static_cast<uint32_t>(
        std::min<uint64_t>(merkle::kTileWidth, log.checkpoint.size - tree.size()));
    ASSIGN_OR_RETURN(const tlog::Resource read, source.ReadEntryBundle(bundle, width));
    ASSIGN_OR_RETURN(const auto entries, merkle::ParseBundle(read.bytes, width));
    for (const absl::string_view entry : entries) {
      log.entries.emplace_back(entry);
      tree.Append(merkle::LeafHash(entry));
      log.roots.push_back(tree.Root());
    }
  }
  return log;
}

}  // namespace countersign::fault
