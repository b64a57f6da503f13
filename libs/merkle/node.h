// Names of the nodes of a Merkle tree.
#ifndef COUNTERSIGN_LIBS_MERKLE_NODE_H_
#define COUNTERSIGN_LIBS_MERKLE_NODE_H_

#include <cstdint>
#include <utility>

namespace countersign::merkle {

// The root of the perfect subtree over the 2^level leaves from index * 2^level on. Its hash never
// changes once the log has those leaves. Level 0 holds the leaf hashes; `level` is 0 to 63.
struct NodeId {
  int level = 0;
  uint64_t index = 0;

  friend bool operator==(const NodeId& a, const NodeId& b) {
    return a.level == b.level && a.index == b.index;
  }

  template <typename H>
  friend H AbslHashValue(H state, const NodeId& node) {
    return H::combine(std::move(state), node.level, node.index);
  }
};

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_NODE_H_
