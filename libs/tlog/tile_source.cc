#include "libs/tlog/tile_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/tlog/damage.h"

namespace countersign::tlog {

absl::StatusOr<std::string> TileSource::ReadCheckpoint() const {
  const std::string path = "checkpoint";
  ASSIGN_OR_RETURN(std::string note, Fetch(path));
  RETURN_IF_ERROR(CheckResourceSize(path, note.size()));
  return note;
}

absl::StatusOr<Resource> TileSource::FetchEither(std::string partial, std::string full) const {
  absl::StatusOr<std::string> bytes = Fetch(partial);
  if (bytes.ok()) return Resource{std::move(partial), *std::move(bytes)};
  if (partial == full || !absl::IsNotFound(bytes.status())) return bytes.status();
  absl::StatusOr<std::string> whole = Fetch(full);
  if (whole.ok()) return Resource{std::move(full), *std::move(whole)};
  return absl::IsNotFound(whole.status()) ? bytes.status() : whole.status();
}

absl::StatusOr<Resource> TileSource::ReadTile(const merkle::TileId& tile) const {
  std::string path = merkle::TilePath(tile);
  std::string full_path = merkle::TilePath({tile.level, tile.index});
  const bool full = path == full_path;
  ASSIGN_OR_RETURN(Resource read, FetchEither(std::move(path), full_path));
  if (!full && read.path == full_path) {
    read.bytes.resize(std::min(read.bytes.size(), tile.width * merkle::kHashSize));
  }
  return read;
}

absl::StatusOr<Resource> TileSource::ReadEntryBundle(uint64_t index, uint32_t width) const {
  std::string path = merkle::EntriesPath(index, width);
  std::string full_path = merkle::EntriesPath(index);
  const bool full = path == full_path;
  ASSIGN_OR_RETURN(Resource read, FetchEither(std::move(path), full_path));
  if (!full && read.path == full_path) read.bytes.resize(BundlePrefixBytes(read.bytes, width));
  return read;
}

size_t MaxBytesOf(absl::string_view path) {
  return path == "checkpoint" ? kMaxCheckpointBytes : kMaxResourceBytes;
}

absl::Status CheckResourceSize(const std::string& path, uint64_t bytes) {
  if (bytes <= MaxBytesOf(path)) return absl::OkStatus();
  return DamageError({DamageKind::kLong,
                      path,
                      {},
                      absl::StrCat("at most ", MaxBytesOf(path)),
                      absl::StrCat(bytes),
                      ""});
}

size_t BundlePrefixBytes(absl::string_view bundle, uint32_t count) {
  base::ByteReader reader(bundle);
  uint16_t length;
  absl::string_view entry;
  for (uint32_t i = 0; i < count; ++i) {
    if (!reader.ReadU16(&length) || !reader.ReadBytes(length, &entry)) return bundle.size();
  }
  return bundle.size() - reader.rest().size();
}

}  // namespace countersign::tlog
