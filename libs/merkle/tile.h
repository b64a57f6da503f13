// Tiles and entry bundles: how a tree is cut into immutable files (C2SP tlog-tiles).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_MERKLE_TILE_H_
#define COUNTERSIGN_LIBS_MERKLE_TILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/node.h"

namespace countersign::merkle {

inline constexpr int kTileHeight = 8;        // levels of the tree in a tile
inline constexpr uint32_t kTileWidth = 256;  // hashes in a full tile
inline constexpr int kMaxTileLevel = 63;
inline constexpr size_t kMaxEntryBytes = 65535;

// A tile: hash i of it is the root of the perfect subtree over the 256^level leaves from
// (index * 256 + i) * 256^level on.
struct TileId {
  int level = 0;
  uint64_t index = 0;
  uint32_t width = kTileWidth;  // hashes in it: 1 to 255 when partial, else 256

  friend bool operator==(const TileId& a, const TileId& b) {
    return a.level == b.level && a.index == b.index && a.width == b.width;
  }

  template <typename H>
  friend H AbslHashValue(H state, const TileId& tile) {
    return H::combine(std::move(state), tile.level, tile.index, tile.width);
  }
};

// "tile/1/x001/234.p/17": without a leading slash, and without ".p/…" when the tile is full.
std::string TilePath(const TileId& tile);

// "tile/entries/x001/234.p/17".
std::string EntriesPath(uint64_t index, uint32_t width = kTileWidth);

// What a path names. For a bundle of entries the tile is that of level 0, whose leaves it holds.
struct TileResource {
  bool entries = false;
  TileId tile;
};

// The inverse of TilePath and EntriesPath: InvalidArgument for every text that they do not return.
absl::StatusOr<TileResource> ParseTilePath(absl::string_view path);

// How many hashes tile (level, index) holds in the tree of `size` leaves: 0 when it does not exist,
// 256 when it is full.
uint32_t TileWidthAt(int level, uint64_t index, uint64_t size);

// The tiles that a log which grows from `old_size` to `new_size` leaves has to write: each that is
// complete or longer than before, in the width that it then has, level by level from the left.
// Widths between are left out, since no checkpoint needs them.
std::vector<TileId> NewTiles(uint64_t old_size, uint64_t new_size);

// Where a tree of `size` leaves keeps a node: as the root over hashes [begin, begin + count) of a
// tile. `count` is 1, 2, 4 … 128.
struct TileSlice {
  TileId tile;
  uint32_t begin = 0;
  uint32_t count = 1;
};

// OutOfRange unless the node's subtree is complete within `size` leaves.
absl::StatusOr<TileSlice> FindNode(const NodeId& node, uint64_t size);

// The node's hash, given the bytes of slice.tile or of a wider one of the same place (8,192 bytes
// when full). InvalidArgument when they are too short or no whole number of hashes.
absl::StatusOr<Hash> NodeFromTile(const TileSlice& slice, absl::string_view tile_bytes);

// The root of the perfect subtree over `hashes`, whose number is a power of two (1 to 256).
Hash SubtreeRoot(absl::Span<const Hash> hashes);

// A full tile's 256 hashes and, behind them, the inner nodes over them row by row: 128, 64, … 2.
// The root over the whole is the NodeHash of the last two.
std::vector<Hash> ExpandTile(absl::Span<const Hash> hashes);

// Appends an entry, framed by its length in two bytes, to an entry bundle. InvalidArgument, and
// nothing appended, when it is longer than kMaxEntryBytes.
absl::Status AppendToBundle(absl::string_view entry, std::string* bundle);

// The entries of a bundle, as views into it. InvalidArgument when it is cut short, has bytes too
// many, or holds another number of entries than `count`.
absl::StatusOr<std::vector<absl::string_view>> ParseBundle(absl::string_view bundle,
                                                           uint32_t count);

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_TILE_H_
