#include "libs/tlog/verified_tiles.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/merkle/hash_many.h"
#include "libs/merkle/proof_builder.h"
#include "libs/tlog/damage.h"

namespace countersign::tlog {
namespace {

using merkle::Hash;
using merkle::kHashSize;
using merkle::kTileWidth;

constexpr int kLevels = 8;
// Readers of neighbouring tiles work at once; each needs its tile's parents.
constexpr size_t kRecentTiles = 4;

// What a missing file is: damage, since the tree must have it.
absl::Status OrMissing(const absl::Status& status, const std::string& path) {
  if (!absl::IsNotFound(status)) return status;
  return DamageError({DamageKind::kMissing, path, {}, "", "", std::string(status.message())});
}

}  // namespace

absl::StatusOr<Hashes> ReadTileHashes(const TileSource& source, const merkle::TileId& tile,
                                      Resource* resource) {
  absl::StatusOr<Resource> read = source.ReadTile(tile);
  if (!read.ok()) return OrMissing(read.status(), merkle::TilePath(tile));
  const size_t expected = tile.width * kHashSize;
  if (read->bytes.size() != expected) {
    const DamageKind kind = read->bytes.size() < expected ? DamageKind::kShort : DamageKind::kLong;
    return DamageError(
        {kind, read->path, {}, absl::StrCat(expected), absl::StrCat(read->bytes.size()), ""});
  }
  Hashes hashes(tile.width);
  std::memcpy(hashes.data(), read->bytes.data(), expected);
  *resource = *std::move(read);
  return hashes;
}

absl::StatusOr<Hashes> BundleLeafHashes(const Resource& bundle, uint32_t width,
                                        std::vector<absl::string_view>* entries) {
  absl::StatusOr<std::vector<absl::string_view>> parsed = merkle::ParseBundle(bundle.bytes, width);
  if (!parsed.ok()) {
    return DamageError(
        {DamageKind::kMalformed, bundle.path, {}, "", "", std::string(parsed.status().message())});
  }
  *entries = *std::move(parsed);
  Hashes hashes(width);
  merkle::LeafHashes(*entries, hashes.data());
  return hashes;
}

std::vector<merkle::TileId> EdgeTiles(uint64_t size) {
  std::vector<merkle::TileId> tiles;
  for (int level = 0; level < kLevels; ++level) {
    const uint64_t hashes = size >> (merkle::kTileHeight * level);
    const uint32_t width = static_cast<uint32_t>(hashes % kTileWidth);
    if (width != 0) tiles.push_back({level, hashes / kTileWidth, width});
  }
  return tiles;
}

Hash EdgeRoot(uint64_t size, const std::array<Hashes, 8>& edge) {
  std::vector<Hash> roots;
  for (const merkle::NodeId& node : merkle::RootNodes(size)) {
    const merkle::TileSlice slice = *merkle::FindNode(node, size);
    const Hashes& tile = edge[static_cast<size_t>(slice.tile.level)];
    roots.push_back(
        merkle::SubtreeRoot(absl::MakeConstSpan(tile).subspan(slice.begin, slice.count)));
  }
  return merkle::FoldRoot(roots);
}

absl::StatusOr<std::unique_ptr<VerifiedTiles>> VerifiedTiles::Open(uint64_t size, const Hash& root,
                                                                   Options options) {
  std::unique_ptr<VerifiedTiles> tiles(new VerifiedTiles(size, root, std::move(options)));
  RETURN_IF_ERROR(tiles->OpenEdge());
  return tiles;
}

absl::StatusOr<std::array<Hashes, 8>> VerifiedTiles::ReadEdge(
    const TileSource* nearer, std::vector<Resource>* from_source) const {
  std::array<Hashes, kLevels> edge;
  for (const merkle::TileId& tile : EdgeTiles(size_)) {
    Hashes& hashes = edge[static_cast<size_t>(tile.level)];
    Resource resource;
    if (nearer != nullptr) {
      absl::StatusOr<Hashes> near = ReadTileHashes(*nearer, tile, &resource);
      if (near.ok()) {
        hashes = *std::move(near);
        continue;
      }
    }
    ASSIGN_OR_RETURN(hashes, ReadTileHashes(*options_.source, tile, &resource));
    from_source->push_back({merkle::TilePath(tile), std::move(resource.bytes)});
  }
  return edge;
}

absl::Status VerifiedTiles::OpenEdge() {
  // Only all of the edge together can be verified; where what is near does not fit, none of it is
  // taken.
  std::vector<Resource> from_source;
  ASSIGN_OR_RETURN(auto edge, ReadEdge(options_.nearer, &from_source));
  Hash root = EdgeRoot(size_, edge);
  if (root != root_ && options_.nearer != nullptr) {
    from_source.clear();
    ASSIGN_OR_RETURN(edge, ReadEdge(nullptr, &from_source));
    root = EdgeRoot(size_, edge);
  }
  if (root != root_) {
    return DamageError({DamageKind::kRoot,
                        "checkpoint",
                        {},
                        merkle::EncodeHash(root),
                        merkle::EncodeHash(root_),
                        ""});
  }
  for (size_t level = 0; level < edge.size(); ++level) {
    if (edge[level].empty()) continue;
    edge_[level] = std::make_shared<const Hashes>(std::move(edge[level]));
  }
  if (options_.accept == nullptr) return absl::OkStatus();
  for (const Resource& resource : from_source) {
    RETURN_IF_ERROR(options_.accept(resource.path, resource.bytes));
  }
  return absl::OkStatus();
}

absl::StatusOr<VerifiedTiles::TilePtr> VerifiedTiles::Tile(int level, uint64_t index) {
  const uint32_t width = merkle::TileWidthAt(level, index, size_);
  if (width == 0) {
    return absl::OutOfRangeError(absl::StrCat("a tree of ", size_, " leaves has no tile ",
                                              merkle::TilePath({level, index})));
  }
  if (width < kTileWidth) return edge_[static_cast<size_t>(level)];
  if (level == 0) return ReadFullTile(level, index);  // each is needed once

  Level& known = levels_[static_cast<size_t>(level)];
  // Taken upwards only, from a tile to the one above it.
  base::MutexLock lock(&known.mutex);
  for (const auto& [at, tile] : known.recent) {
    if (at == index) return tile;
  }
  ASSIGN_OR_RETURN(TilePtr tile, ReadFullTile(level, index));
  known.recent.emplace(known.recent.begin(), index, tile);
  if (known.recent.size() > kRecentTiles) known.recent.pop_back();
  return tile;
}

absl::StatusOr<VerifiedTiles::TilePtr> VerifiedTiles::ReadFullTile(int level, uint64_t index) {
  ASSIGN_OR_RETURN(const TilePtr above, Tile(level + 1, index / kTileWidth));
  const Hash& expected = (*above)[index % kTileWidth];
  absl::Status status;
  for (const TileSource* source : {options_.nearer, options_.source}) {
    if (source == nullptr) continue;
    Resource resource;
    absl::StatusOr<Hashes> hashes = ReadTileHashes(*source, {level, index}, &resource);
    status = hashes.status();
    if (!status.ok()) continue;
    const Hash root = merkle::SubtreeRoot(*hashes);
    if (root == expected) {
      if (source == options_.source && options_.accept != nullptr) {
        RETURN_IF_ERROR(options_.accept(resource.path, resource.bytes));
      }
      return std::make_shared<const Hashes>(*std::move(hashes));
    }
    status = DamageError({DamageKind::kWrongHash,
                          resource.path,
                          {},
                          merkle::EncodeHash(expected),
                          merkle::EncodeHash(root),
                          ""});
  }
  return status;
}

absl::StatusOr<std::shared_ptr<const VerifiedBundle>> VerifiedTiles::ReadBundle(
    const TileSource& source, uint64_t index, const TilePtr& leaf_hashes) {
  const uint32_t width = static_cast<uint32_t>(leaf_hashes->size());
  absl::StatusOr<Resource> read = source.ReadEntryBundle(index, width);
  if (!read.ok()) return OrMissing(read.status(), merkle::EntriesPath(index, width));
  auto bundle = std::make_shared<VerifiedBundle>();
  bundle->resource = *std::move(read);
  bundle->leaf_hashes = leaf_hashes;
  ASSIGN_OR_RETURN(const Hashes hashes,
                   BundleLeafHashes(bundle->resource, width, &bundle->entries));
  for (uint32_t i = 0; i < width; ++i) {
    if (hashes[i] == (*leaf_hashes)[i]) continue;
    return DamageError({DamageKind::kWrongHash, bundle->resource.path, i,
                        merkle::EncodeHash((*leaf_hashes)[i]), merkle::EncodeHash(hashes[i]),
                        absl::StrCat("index ", index * kTileWidth + i)});
  }
  return bundle;
}

absl::StatusOr<std::shared_ptr<const VerifiedBundle>> VerifiedTiles::Bundle(uint64_t index) {
  ASSIGN_OR_RETURN(const TilePtr leaf_hashes, Tile(0, index));
  if (options_.nearer != nullptr) {
    auto bundle = ReadBundle(*options_.nearer, index, leaf_hashes);
    if (bundle.ok()) return bundle;
  }
  ASSIGN_OR_RETURN(auto bundle, ReadBundle(*options_.source, index, leaf_hashes));
  if (options_.accept != nullptr) {
    const uint32_t width = static_cast<uint32_t>(leaf_hashes->size());
    RETURN_IF_ERROR(options_.accept(merkle::EntriesPath(index, width), bundle->resource.bytes));
  }
  return bundle;
}

absl::StatusOr<Hash> VerifiedTiles::RootAt(uint64_t size) {
  if (size > size_) {
    return absl::OutOfRangeError(
        absl::StrCat("a tree of ", size_, " leaves was never one of ", size));
  }
  std::vector<Hash> roots;
  for (const merkle::NodeId& node : merkle::RootNodes(size)) {
    ASSIGN_OR_RETURN(const merkle::TileSlice slice, merkle::FindNode(node, size_));
    ASSIGN_OR_RETURN(const TilePtr tile, Tile(slice.tile.level, slice.tile.index));
    roots.push_back(
        merkle::SubtreeRoot(absl::MakeConstSpan(*tile).subspan(slice.begin, slice.count)));
  }
  return merkle::FoldRoot(roots);
}

}  // namespace countersign::tlog
