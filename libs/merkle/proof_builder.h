// Building of Merkle proofs (RFC 6962 sections 2.1.1 and 2.1.2) from the nodes of perfect subtrees,
// wherever those are kept.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_MERKLE_PROOF_BUILDER_H_
#define COUNTERSIGN_LIBS_MERKLE_PROOF_BUILDER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/node.h"

namespace countersign::merkle {

// What a proof is made of. Each of its hashes is a node of a perfect subtree, but for at most one:
// the root of an incomplete subtree at the tree's right edge, which is folded from several.
struct ProofNodes {
  // The nodes to read, in the order of the proof; those to fold stand in one run, left to right.
  std::vector<NodeId> nodes;
  // nodes[fold_begin, fold_end) become one hash; equal when there is nothing to fold.
  size_t fold_begin = 0;
  size_t fold_end = 0;
};

// The nodes of the inclusion proof of leaf `index` in the tree of `size` leaves. OutOfRange unless
// index < size <= 2^63.
absl::StatusOr<ProofNodes> InclusionNodes(uint64_t index, uint64_t size);

// The nodes of the consistency proof from `first_size` to `second_size` leaves; none when the sizes
// are equal or the first is 0. OutOfRange unless first_size <= second_size <= 2^63.
absl::StatusOr<ProofNodes> ConsistencyNodes(uint64_t first_size, uint64_t second_size);

// The roots of the perfect subtrees that the tree of `size` leaves is made of, largest (leftmost)
// first: one for each bit set in `size`.
std::vector<NodeId> RootNodes(uint64_t size);

// The root of that tree, given the hashes of RootNodes in their order: EmptyRoot() for none.
Hash FoldRoot(absl::Span<const Hash> hashes);

// The proof, given hashes[i] of wanted.nodes[i]. Internal when the numbers differ.
absl::StatusOr<std::vector<Hash>> FoldProof(const ProofNodes& wanted,
                                            absl::Span<const Hash> hashes);

// Returns the hashes of `nodes`, in their order. Every node asked for is complete in a tree of the
// size that the proof is built for. Its errors are the builder's.
using NodeReader = std::function<absl::StatusOr<std::vector<Hash>>(absl::Span<const NodeId> nodes)>;

// Read (by one call of `reader`) and fold.
absl::StatusOr<std::vector<Hash>> BuildInclusionProof(uint64_t index, uint64_t size,
                                                      const NodeReader& reader);

// The inclusion proofs of many leaves of one tree, in the order of `indexes`. What they have in
// common, the tree's right edge, is read and folded once; all is read by one call of `reader`.
// Errors as of InclusionNodes.
absl::StatusOr<std::vector<std::vector<Hash>>> BuildInclusionProofs(
    absl::Span<const uint64_t> indexes, uint64_t size, const NodeReader& reader);

absl::StatusOr<std::vector<Hash>> BuildConsistencyProof(uint64_t first_size, uint64_t second_size,
                                                        const NodeReader& reader);

// The root of the tree of `size` leaves.
absl::StatusOr<Hash> BuildRoot(uint64_t size, const NodeReader& reader);

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_PROOF_BUILDER_H_
