#include "libs/merkle/tile.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "libs/base/bytes.h"
#include "libs/merkle/hash_many.h"

namespace countersign::merkle {
namespace {

// Above this tile level every tree of 64-bit size has less than one hash.
constexpr int kTopTileLevel = 7;

// 1234067 -> "x001/x234/067".
std::string IndexPath(uint64_t index) {
  std::string path = absl::StrFormat("%03d", index % 1000);
  for (index /= 1000; index != 0; index /= 1000) {
    path = absl::StrCat(absl::StrFormat("x%03d/", index % 1000), path);
  }
  return path;
}

std::string WithWidth(std::string path, uint32_t width) {
  if (width != kTileWidth) absl::StrAppend(&path, ".p/", width);
  return path;
}

// Reads a decimal number of at most `max` from the front of `*text`, in its shortest form.
std::optional<uint32_t> ConsumeNumber(uint32_t max, absl::string_view* text) {
  size_t digits = 0;
  uint32_t value = 0;
  while (digits < text->size() && (*text)[digits] >= '0' && (*text)[digits] <= '9') {
    value = value * 10 + static_cast<uint32_t>((*text)[digits++] - '0');
    if (value > max) return std::nullopt;
  }
  if (digits == 0 || (digits > 1 && text->front() == '0')) return std::nullopt;
  text->remove_prefix(digits);
  return value;
}

// Reads "x001/x234/067" from the front of `*text`.
std::optional<uint64_t> ConsumeIndex(absl::string_view* text) {
  uint64_t index = 0;
  for (bool first = true;; first = false) {
    const bool more = absl::ConsumePrefix(text, "x");
    if (text->size() < 3) return std::nullopt;
    uint64_t group = 0;
    for (char c : text->substr(0, 3)) {
      if (c < '0' || c > '9') return std::nullopt;
      group = group * 10 + static_cast<uint64_t>(c - '0');
    }
    text->remove_prefix(3);
    if (first && more && group == 0) return std::nullopt;  // a group too many
    if (index > (UINT64_MAX - group) / 1000) return std::nullopt;
    index = index * 1000 + group;
    if (!more) return index;
    if (!absl::ConsumePrefix(text, "/")) return std::nullopt;
  }
}

// The hashes that a tree of `size` leaves has at a tile level.
uint64_t HashesAt(int level, uint64_t size) {
  return level > kTopTileLevel ? 0 : size >> (kTileHeight * level);
}

}  // namespace

std::string TilePath(const TileId& tile) {
  return WithWidth(absl::StrCat("tile/", tile.level, "/", IndexPath(tile.index)), tile.width);
}

std::string EntriesPath(uint64_t index, uint32_t width) {
  return WithWidth(absl::StrCat("tile/entries/", IndexPath(index)), width);
}

absl::StatusOr<TileResource> ParseTilePath(absl::string_view path) {
  const auto malformed = [path] {
    return absl::InvalidArgumentError(
        absl::StrCat("not the path of a tile or an entry bundle (", path.size(), " bytes)"));
  };
  absl::string_view rest = path;
  TileResource resource;
  if (!absl::ConsumePrefix(&rest, "tile/")) return malformed();
  if (absl::ConsumePrefix(&rest, "entries")) {
    resource.entries = true;
  } else {
    const std::optional<uint32_t> level = ConsumeNumber(kMaxTileLevel, &rest);
    if (!level.has_value()) return malformed();
    resource.tile.level = static_cast<int>(*level);
  }
  if (!absl::ConsumePrefix(&rest, "/")) return malformed();
  const std::optional<uint64_t> index = ConsumeIndex(&rest);
  if (!index.has_value()) return malformed();
  resource.tile.index = *index;
  if (absl::ConsumePrefix(&rest, ".p/")) {
    const std::optional<uint32_t> width = ConsumeNumber(kTileWidth - 1, &rest);
    if (!width.has_value() || *width == 0) return malformed();
    resource.tile.width = *width;
  }
  if (!rest.empty()) return malformed();
  return resource;
}

uint32_t TileWidthAt(int level, uint64_t index, uint64_t size) {
  const uint64_t hashes = HashesAt(level, size);
  const uint64_t full = hashes / kTileWidth;
  if (index < full) return kTileWidth;
  return index == full ? static_cast<uint32_t>(hashes % kTileWidth) : 0;
}

std::vector<TileId> NewTiles(uint64_t old_size, uint64_t new_size) {
  std::vector<TileId> tiles;
  for (int level = 0; HashesAt(level, new_size) > HashesAt(level, old_size); ++level) {
    const uint64_t hashes = HashesAt(level, new_size);
    uint64_t index = HashesAt(level, old_size) / kTileWidth;
    for (; index < hashes / kTileWidth; ++index) tiles.push_back({level, index, kTileWidth});
    const uint32_t rest = static_cast<uint32_t>(hashes % kTileWidth);
    if (rest != 0) tiles.push_back({level, index, rest});
  }
  return tiles;
}

absl::StatusOr<TileSlice> FindNode(const NodeId& node, uint64_t size) {
  if (node.level < 0 || node.level > 63 || node.index >= size >> node.level) {
    return absl::OutOfRangeError(absl::StrCat("a tree of ", size, " leaves has no complete node ",
                                              node.index, " at level ", node.level));
  }
  const int level = node.level / kTileHeight;
  const int row = node.level % kTileHeight;
  const uint64_t first = node.index << row;
  TileSlice slice;
  slice.begin = static_cast<uint32_t>(first % kTileWidth);
  slice.count = uint32_t{1} << row;
  slice.tile = {level, first / kTileWidth, TileWidthAt(level, first / kTileWidth, size)};
  return slice;
}

absl::StatusOr<Hash> NodeFromTile(const TileSlice& slice, absl::string_view tile_bytes) {
  const size_t end = size_t{slice.begin} + slice.count;
  if (tile_bytes.size() % kHashSize != 0 || tile_bytes.size() / kHashSize < end) {
    return absl::InvalidArgumentError(absl::StrCat("tile ", TilePath(slice.tile), " has ",
                                                   tile_bytes.size(),
                                                   " bytes, too few or no whole number of hashes"));
  }
  if (slice.count > kTileWidth) {
    return absl::InvalidArgumentError("a tile derives no node from more than 256 hashes");
  }
  const auto* const hashes = reinterpret_cast<const Hash*>(tile_bytes.data());
  return SubtreeRoot(absl::MakeConstSpan(hashes + slice.begin, slice.count));
}

Hash SubtreeRoot(absl::Span<const Hash> hashes) {
  if (hashes.size() == 1) return hashes[0];
  std::array<Hash, kTileWidth / 2> row;
  size_t count = hashes.size() / 2;
  NodeHashes(hashes.data(), count, row.data());
  for (; count > 1; count /= 2) NodeHashes(row.data(), count / 2, row.data());
  return row[0];
}

std::vector<Hash> ExpandTile(absl::Span<const Hash> hashes) {
  std::vector<Hash> nodes(2 * hashes.size() - 2);
  std::copy(hashes.begin(), hashes.end(), nodes.begin());
  size_t row = 0;
  for (size_t width = hashes.size(); width > 2; width /= 2) {
    NodeHashes(&nodes[row], width / 2, &nodes[row + width]);
    row += width;
  }
  return nodes;
}

absl::Status AppendToBundle(absl::string_view entry, std::string* bundle) {
  if (entry.size() > kMaxEntryBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("an entry has at most ", kMaxEntryBytes, " bytes, this one ", entry.size()));
  }
  base::AppendU16(bundle, static_cast<uint16_t>(entry.size()));
  absl::StrAppend(bundle, entry);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<absl::string_view>> ParseBundle(absl::string_view bundle,
                                                           uint32_t count) {
  std::vector<absl::string_view> entries;
  base::ByteReader reader(bundle);
  while (!reader.empty()) {
    uint16_t length = 0;
    absl::string_view entry;
    if (!reader.ReadU16(&length) || !reader.ReadBytes(length, &entry)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the entry bundle is cut short in entry ", entries.size()));
    }
    if (entries.size() == count) {
      return absl::InvalidArgumentError(
          absl::StrCat("the entry bundle holds more than ", count, " entries"));
    }
    entries.push_back(entry);
  }
  if (entries.size() != count) {
    return absl::InvalidArgumentError(
        absl::StrCat("the entry bundle holds ", entries.size(), " entries, not ", count));
  }
  return entries;
}

}  // namespace countersign::merkle
