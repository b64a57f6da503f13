// The right edge of a log's tree: everything that is not in a full tile yet.
#ifndef COUNTERSIGN_SERVICES_LEDGER_EDGE_H_
#define COUNTERSIGN_SERVICES_LEDGER_EDGE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "libs/merkle/hash.h"

namespace countersign::ledger {

// A value: the integrator grows its own copy and hands readers immutable ones.
struct Edge {
  static constexpr uint32_t kTileWidth = 256;

  uint64_t size = 0;  // of the tree
  // levels[k] holds the hashes of the incomplete tile at tile level k (tlog-tiles): fewer than 256
  // roots of perfect subtrees of 256^k leaves. Levels above the highest one in use are absent.
  std::vector<std::vector<merkle::Hash>> levels;
  // The entries of the incomplete entry bundle, framed as in it.
  std::string bundle;

  // The root of the tree; at most 255 node hashes a level.
  merkle::Hash Root() const;

  // The hashes at tile level `level`, none where the level is absent.
  const std::vector<merkle::Hash>& Level(size_t level) const;

  // Which tile at `level` is the incomplete one.
  uint64_t TileIndex(int level) const { return size >> (8 * (level + 1)); }
};

// The root of the perfect subtree over `hashes`, whose number is a power of two.
merkle::Hash SubtreeRoot(const merkle::Hash* hashes, size_t count);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_EDGE_H_
