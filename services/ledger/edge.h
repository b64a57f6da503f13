// The right edge of a log's tree: everything that is not in a full tile yet.
#ifndef COUNTERSIGN_SERVICES_LEDGER_EDGE_H_
#define COUNTERSIGN_SERVICES_LEDGER_EDGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/merkle/compact_range.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/tile.h"

namespace countersign::ledger {

// A value: the integrator grows its own copy and hands readers immutable ones.
struct Edge {
  merkle::CompactRange tree;
  // levels[k] holds the hashes of the incomplete tile at tile level k (C2SP tlog-tiles): fewer than
  // 256 roots of perfect subtrees of 256^k leaves. Levels above the highest one in use are absent.
  std::vector<std::vector<merkle::Hash>> levels;
  // The entries of the incomplete entry bundle, framed as in it, where the store keeps them here.
  std::string bundle;

  uint64_t size() const { return tree.size(); }

  // The hashes at tile level `level`, none where the level is absent.
  const std::vector<merkle::Hash>& Level(int level) const {
    static const std::vector<merkle::Hash>* const none = new std::vector<merkle::Hash>;
    return static_cast<size_t>(level) < levels.size() ? levels[static_cast<size_t>(level)] : *none;
  }

  // Which tile at `level` is the incomplete one; all before it are full.
  uint64_t TileIndex(int level) const {
    const int shift = merkle::kTileHeight * (level + 1);
    return shift < 64 ? size() >> shift : 0;
  }
};

// A tile that has become full: its 256 hashes, and the root over them.
struct ClosedTile {
  int level;
  uint64_t index;
  absl::Span<const merkle::Hash> hashes;
  const merkle::Hash& root;
};

// Adds leaves. `close` is called with every tile that becomes full, those below before those above;
// then its hashes leave the edge. When it fails, so does this, and the edge is of no more use.
absl::Status AppendLeaves(Edge* edge, absl::Span<const merkle::Hash> leaf_hashes,
                          absl::FunctionRef<absl::Status(const ClosedTile& tile)> close);

// The edge of the tree of `size` leaves, without a bundle. `read` returns hashes [begin, end) of
// tile level `level`: of leaves at level 0, of full tiles' roots above.
absl::StatusOr<Edge> RebuildEdge(uint64_t size,
                                 absl::FunctionRef<absl::StatusOr<std::vector<merkle::Hash>>(
                                     int level, uint64_t begin, uint64_t end)>
                                     read);

// The tree of all the leaves that are in full tiles of level 0.
merkle::CompactRange TreeOfFullTiles(const Edge& edge);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_EDGE_H_
