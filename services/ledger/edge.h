// The right edge of a log's tree: everything that is not in a full tile yet.
#ifndef COUNTERSIGN_SERVICES_LEDGER_EDGE_H_
#define COUNTERSIGN_SERVICES_LEDGER_EDGE_H_

#include <cstdint>
#include <string>
#include <vector>

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
  // The entries of the incomplete entry bundle, framed as in it.
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

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_EDGE_H_
