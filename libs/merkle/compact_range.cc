#include "libs/merkle/compact_range.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/merkle/hash_many.h"
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

void CompactRange::AppendMany(absl::Span<const Hash> leaf_hashes, VisitRun visit) {
  std::vector<Hash> parents(leaf_hashes.size() / 2 + 1);
  std::vector<Hash> right_edge;  // of the new tree, lowest level first
  absl::Span<const Hash> row = leaf_hashes;
  for (NodeId first{0, size_}; !row.empty(); first = {first.level + 1, first.index >> 1}) {
    visit(first, row);
    if ((first.index + row.size()) % 2 != 0) {
      right_edge.push_back(row.back());
      row.remove_suffix(1);
    }
    // From here on `row` ends with a right child; it may begin with one whose sibling is older.
    // The parents overwrite the row that they are made of.
    size_t count = 0;
    if (row.size() % 2 != 0) {
      parents[count++] = NodeHash(nodes_.back(), row.front());
      nodes_.pop_back();
      row.remove_prefix(1);
    }
    NodeHashes(row.data(), row.size() / 2, parents.data() + count);
    row = absl::MakeConstSpan(parents).first(count + row.size() / 2);
  }
  nodes_.insert(nodes_.end(), right_edge.rbegin(), right_edge.rend());
  size_ += leaf_hashes.size();
}

void CompactRange::AppendMany(absl::Span<const Hash> leaf_hashes) {
  AppendMany(leaf_hashes, [](const NodeId&, absl::Span<const Hash>) {});
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
