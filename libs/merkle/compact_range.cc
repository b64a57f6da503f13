#include "libs/merkle/compact_range.h"

#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/merkle/proof_builder.h"

namespace countersign::merkle {

absl::StatusOr<CompactRange> CompactRange::FromNodes(uint64_t size, std::vector<Hash> nodes) {
  if (nodes.size() != static_cast<size_t>(std::popcount(size))) {
    return absl::InvalidArgumentError(absl::StrCat("a tree of ", size, " leaves consists of ",
                                                   std::popcount(size), " perfect subtrees, not ",
                                                   nodes.size()));
  }
  CompactRange range;
  range.size_ = size;
  range.nodes_ = std::move(nodes);
  return range;
}

void CompactRange::Append(const Hash& leaf_hash) {
  Hash hash = leaf_hash;
  for (uint64_t rest = size_; (rest & 1) != 0; rest >>= 1) {
    hash = NodeHash(nodes_.back(), hash);
    nodes_.pop_back();
  }
  nodes_.push_back(hash);
  ++size_;
}

void CompactRange::Append(const Hash& leaf_hash,
                          absl::FunctionRef<void(const NodeId& node, const Hash& hash)> visit) {
  Hash hash = leaf_hash;
  NodeId node{0, size_};
  visit(node, hash);
  for (; (node.index & 1) != 0; visit(node, hash)) {
    hash = NodeHash(nodes_.back(), hash);
    nodes_.pop_back();
    node = {node.level + 1, node.index >> 1};
  }
  nodes_.push_back(hash);
  ++size_;
}

bool CompactRange::AppendSubtree(int level, const Hash& root) {
  const uint64_t leaves = uint64_t{1} << level;
  if (size_ % leaves != 0) return false;
  Hash hash = root;
  for (uint64_t rest = size_ >> level; (rest & 1) != 0; rest >>= 1) {
    hash = NodeHash(nodes_.back(), hash);
    nodes_.pop_back();
  }
  nodes_.push_back(hash);
  size_ += leaves;
  return true;
}

Hash CompactRange::Root() const { return FoldRoot(nodes_); }

}  // namespace countersign::merkle
