#include "libs/tlog/folder_scan.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/tlog/folder_source.h"
#include "libs/tlog/mirror.h"
#include "libs/tlog/verified_tiles.h"

namespace countersign::tlog {
namespace {

void Count(const std::string& path, FoundFiles* files) {
  if (files->count++ == 0) files->first = path;
}

bool IsLeftover(absl::string_view path) {
  return absl::StrContains(path, ".tmp.") ||
         absl::StartsWith(path, absl::StrCat(kStagingFolder, "/"));
}

// Damage unless the partial file is the beginning of the tile or bundle that the tree has there.
absl::Status CheckEarlierPartial(const FolderSource& source, const std::string& path,
                                 const merkle::TileResource& resource, VerifiedTiles* tiles) {
  const merkle::TileId& tile = resource.tile;
  std::string expected;
  absl::StatusOr<Resource> read;
  if (resource.entries) {
    ASSIGN_OR_RETURN(const auto bundle, tiles->Bundle(tile.index));
    expected =
        bundle->resource.bytes.substr(0, BundlePrefixBytes(bundle->resource.bytes, tile.width));
    read = source.ReadEntryBundle(tile.index, tile.width);
  } else {
    ASSIGN_OR_RETURN(const auto hashes, tiles->Tile(tile.level, tile.index));
    for (uint32_t i = 0; i < tile.width; ++i) {
      absl::StrAppend(&expected, base::AsBytes((*hashes)[i]));
    }
    read = source.ReadTile(tile);
  }
  // It may be gone by now.
  if (absl::IsNotFound(read.status())) return absl::OkStatus();
  RETURN_IF_ERROR(read.status());
  const std::string& found = read->bytes;
  if (found == expected || read->path != path) return absl::OkStatus();
  if (found.size() != expected.size()) {
    return DamageError({found.size() < expected.size() ? DamageKind::kShort : DamageKind::kLong,
                        path,
                        {},
                        absl::StrCat(expected.size()),
                        absl::StrCat(found.size()),
                        "of an earlier checkpoint"});
  }
  size_t at = 0;
  while (found[at] == expected[at]) ++at;
  return DamageError({DamageKind::kMalformed,
                      path,
                      {},
                      "",
                      "",
                      absl::StrCat("byte ", at,
                                   " is not that of the wider one; it is of an "
                                   "earlier checkpoint")});
}

absl::Status ScanFile(const std::string& path, const FolderSource& source, VerifiedTiles* tiles,
                      FolderScan* scan) {
  if (path == "checkpoint") return absl::OkStatus();
  if (IsLeftover(path)) {
    Count(path, &scan->leftovers);
    return absl::OkStatus();
  }
  const absl::StatusOr<merkle::TileResource> resource = merkle::ParseTilePath(path);
  if (!resource.ok()) {
    Count(path, &scan->unknown);
    return absl::OkStatus();
  }
  const merkle::TileId& tile = resource->tile;
  const uint32_t width = merkle::TileWidthAt(tile.level, tile.index, tiles->size());
  if (tile.width > width) {
    Count(path, &scan->ahead);
  } else if (tile.width < width && !scan->damage.has_value()) {
    const absl::Status status = CheckEarlierPartial(source, path, *resource, tiles);
    scan->damage = DamageOf(status);
    if (!scan->damage.has_value()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<FolderScan> ScanFolder(const std::string& folder,
                                      const note::Checkpoint& checkpoint) {
  FolderScan scan;
  const FolderSource source(folder);
  ASSIGN_OR_RETURN(const auto tiles,
                   VerifiedTiles::Open(checkpoint.size, checkpoint.root, {.source = &source}));
  std::vector<std::string> folders = {""};  // below `folder`, each with a slash; to be listed
  while (!folders.empty()) {
    const std::string below = std::move(folders.back());
    folders.pop_back();
    std::error_code error;
    std::filesystem::directory_iterator entries(absl::StrCat(folder, "/", below), error);
    for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
      const std::string path = absl::StrCat(below, entries->path().filename().string());
      std::error_code gone;
      if (entries->is_directory(gone)) {
        folders.push_back(path + "/");
      } else if (!gone) {
        RETURN_IF_ERROR(ScanFile(path, source, tiles.get(), &scan));
      }
    }
    // A folder of partial tiles may be removed while this runs.
    if (error && error != std::errc::no_such_file_or_directory) {
      return base::ErrnoStatus(error.value(), absl::StrCat("list ", folder, "/", below));
    }
  }
  return scan;
}

}  // namespace countersign::tlog
