#include "services/ledger/tile_reader.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"

namespace countersign::ledger {
namespace {

constexpr uint32_t kWidth = merkle::kTileWidth;
constexpr size_t kTileBytes = kWidth * sizeof(merkle::Hash);
constexpr size_t kTileLevels = 64 / merkle::kTileHeight;

}  // namespace

absl::string_view HashesAsBytes(absl::Span<const merkle::Hash> hashes) {
  return absl::string_view(reinterpret_cast<const char*>(hashes.data()),
                           hashes.size() * sizeof(merkle::Hash));
}

absl::StatusOr<size_t> BundlePrefix(absl::string_view bundle, uint32_t count) {
  base::ByteReader reader(bundle);
  for (uint32_t i = 0; i < count; ++i) {
    uint16_t size;
    absl::string_view entry;
    if (!reader.ReadU16(&size) || !reader.ReadBytes(size, &entry)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the entry bundle ends within entry ", i, " of ", count));
    }
  }
  return bundle.size() - reader.rest().size();
}

TileReader::TileReader(uint64_t cache_bytes, Load load)
    : load_(std::move(load)), tiles_({.capacity = cache_bytes}) {}

absl::StatusOr<TileReader::ExpandedTile> TileReader::FullTile(int level, uint64_t index) const {
  const TileKey key(level, index);
  if (auto cached = tiles_.Get(key); cached.has_value()) return *std::move(cached);
  ASSIGN_OR_RETURN(const std::string bytes, load_(level, index));
  if (bytes.size() != kTileBytes) {
    return absl::InternalError(absl::StrCat("a full tile has ", bytes.size(), " bytes"));
  }
  auto nodes = std::make_shared<const std::vector<merkle::Hash>>(
      merkle::ExpandTile({reinterpret_cast<const merkle::Hash*>(bytes.data()), kWidth}));
  tiles_.Put(key, nodes, 2 * kTileBytes);
  return nodes;
}

absl::StatusOr<std::vector<merkle::Hash>> TileReader::ReadNodes(
    const Edge& edge, absl::Span<const merkle::NodeId> nodes) const {
  // The last tile of each level: a proof goes up the levels, and many proofs share the tiles above.
  std::array<std::pair<uint64_t, ExpandedTile>, kTileLevels> last;
  std::vector<merkle::Hash> hashes;
  hashes.reserve(nodes.size());
  for (const merkle::NodeId& node : nodes) {
    const int level = node.level / merkle::kTileHeight;
    const int row = node.level % merkle::kTileHeight;
    const uint64_t per_tile = kWidth >> row;  // nodes of this row in a tile
    const uint64_t tile = node.index / per_tile;
    const uint64_t position = node.index % per_tile;
    if (tile < edge.TileIndex(level)) {
      auto& [index, full] = last[static_cast<size_t>(level)];
      if (full == nullptr || index != tile) {
        ASSIGN_OR_RETURN(full, FullTile(level, tile));
        index = tile;
      }
      hashes.push_back((*full)[2 * kWidth - (2 * kWidth >> row) + position]);
      continue;
    }
    const std::vector<merkle::Hash>& partial = edge.Level(level);
    const size_t span = size_t{1} << row;
    if (tile > edge.TileIndex(level) || (position + 1) * span > partial.size()) {
      return absl::OutOfRangeError(absl::StrCat("the tree of size ", edge.size(),
                                                " has no complete node ", node.index, " at level ",
                                                node.level));
    }
    hashes.push_back(merkle::SubtreeRoot({&partial[position * span], span}));
  }
  return hashes;
}

absl::StatusOr<SharedBytes> TileReader::ReadTile(const Edge& edge,
                                                 const merkle::TileId& tile) const {
  if (tile.index < edge.TileIndex(tile.level)) {
    ASSIGN_OR_RETURN(const ExpandedTile full, FullTile(tile.level, tile.index));
    return std::make_shared<const std::string>(HashesAsBytes({full->data(), tile.width}));
  }
  const std::vector<merkle::Hash>& partial = edge.Level(tile.level);
  if (tile.index > edge.TileIndex(tile.level) || tile.width > partial.size()) {
    return absl::NotFoundError(absl::StrCat("the log of size ", edge.size(), " has no tile ",
                                            merkle::TilePath(tile), " yet"));
  }
  return std::make_shared<const std::string>(HashesAsBytes({partial.data(), tile.width}));
}

}  // namespace countersign::ledger
