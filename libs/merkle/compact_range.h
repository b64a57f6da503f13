// A growing Merkle tree that remembers only what it needs to go on growing.
#ifndef COUNTERSIGN_LIBS_MERKLE_COMPACT_RANGE_H_
#define COUNTERSIGN_LIBS_MERKLE_COMPACT_RANGE_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/node.h"

namespace countersign::merkle {

// The roots of the perfect subtrees that make up the first size() leaves, one for each bit set in
// size(), largest (leftmost) first. A copyable value; not synchronised.
class CompactRange {
 public:
  // The tree without leaves.
  CompactRange() = default;

  // The tree of `size` leaves from its subtree roots, in the order of nodes(); their ids are
  // RootNodes(size) of proof_builder.h. InvalidArgument when their number is not that of the
  // bits set in `size`.
  static absl::StatusOr<CompactRange> FromNodes(uint64_t size, std::vector<Hash> nodes);

  // Adds a leaf: one NodeHash on average.
  void Append(const Hash& leaf_hash);

  // The same, telling `visit` of every node that is complete with this leaf, the leaf itself first.
  void Append(const Hash& leaf_hash,
              absl::FunctionRef<void(const NodeId& node, const Hash& hash)> visit);

  // Is told of nodes of one level that stand side by side: hashes[i] is that of node
  // {first.level, first.index + i}.
  using VisitRun = absl::FunctionRef<void(const NodeId& first, absl::Span<const Hash> hashes)>;

  // Adds leaves in their order, hashing a level of the tree at a time (hash_many.h), and tells
  // `visit` of every node that is complete with them: the leaves first, then the level above, and
  // so on, each level in one run.
  void AppendMany(absl::Span<const Hash> leaf_hashes, VisitRun visit);
  void AppendMany(absl::Span<const Hash> leaf_hashes);

  // Adds 2^level leaves by the root of their subtree. size() must be a multiple of 2^level; returns
  // false, and adds nothing, when it is not.
  [[nodiscard]] bool AppendSubtree(int level, const Hash& root);

  uint64_t size() const { return size_; }
  const std::vector<Hash>& nodes() const { return nodes_; }

  // The root of the tree (RFC 6962 MTH); at most 63 NodeHash.
  Hash Root() const;

 private:
  uint64_t size_ = 0;
  std::vector<Hash> nodes_;
};

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_COMPACT_RANGE_H_
