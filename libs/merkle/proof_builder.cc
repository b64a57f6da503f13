#include "libs/merkle/proof_builder.h"

#include <algorithm>
#include <bit>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::merkle {
namespace {

constexpr uint64_t kMaxSize = uint64_t{1} << 63;

// Leaves [begin, end) of a tree as RFC 6962 splits it: `begin` is a multiple of every power of two
// that the recursion still splits by.
struct Range {
  uint64_t begin;
  uint64_t end;

  uint64_t size() const { return end - begin; }

  // RFC 6962's k: the largest power of two smaller than the size (which is above 1).
  uint64_t middle() const { return begin + std::bit_floor(size() - 1); }
};

// Appends the roots of the perfect subtrees of `range`, left to right.
void AppendSubtrees(Range range, std::vector<NodeId>* nodes) {
  while (range.begin < range.end) {
    const int level = std::bit_width(range.size()) - 1;
    nodes->push_back({level, range.begin >> level});
    range.begin += uint64_t{1} << level;
  }
}

// `path` holds the proof's subtrees from the root down; a proof runs the other way.
ProofNodes ToProofNodes(const std::vector<Range>& path) {
  ProofNodes proof;
  for (auto range = path.rbegin(); range != path.rend(); ++range) {
    const size_t begin = proof.nodes.size();
    AppendSubtrees(*range, &proof.nodes);
    if (proof.nodes.size() - begin > 1) {
      proof.fold_begin = begin;
      proof.fold_end = proof.nodes.size();
    }
  }
  return proof;
}

// RFC 6962's MTH of a range from the roots of its perfect subtrees, of which there is at least one.
Hash FoldRange(absl::Span<const Hash> hashes) {
  Hash root = hashes.back();
  for (size_t i = hashes.size() - 1; i > 0; --i) root = NodeHash(hashes[i - 1], root);
  return root;
}

absl::Status CheckSize(uint64_t size) {
  if (size > kMaxSize) {
    return absl::OutOfRangeError(absl::StrCat("a tree of ", size, " leaves is beyond 2^63"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Hash>> ReadAndFold(const ProofNodes& wanted, const NodeReader& reader) {
  if (wanted.nodes.empty()) return std::vector<Hash>();
  ASSIGN_OR_RETURN(const std::vector<Hash> hashes, reader(wanted.nodes));
  return FoldProof(wanted, hashes);
}

absl::Status CheckLeaf(uint64_t index, uint64_t size) {
  RETURN_IF_ERROR(CheckSize(size));
  if (index >= size) {
    return absl::OutOfRangeError(
        absl::StrCat("a tree of ", size, " leaves has none at index ", index));
  }
  return absl::OkStatus();
}

// The level of the perfect subtree among RootNodes(size) that holds leaf `index`: the first bit,
// from the left, that `size` has and `index` has not.
int RootLevelOf(uint64_t index, uint64_t size) { return std::bit_width(index ^ size) - 1; }

}  // namespace

absl::StatusOr<ProofNodes> InclusionNodes(uint64_t index, uint64_t size) {
  RETURN_IF_ERROR(CheckLeaf(index, size));
  std::vector<Range> path;
  Range range{0, size};
  while (range.size() > 1) {
    const uint64_t middle = range.middle();
    if (index < middle) {
      path.push_back({middle, range.end});
      range.end = middle;
    } else {
      path.push_back({range.begin, middle});
      range.begin = middle;
    }
  }
  return ToProofNodes(path);
}

absl::StatusOr<ProofNodes> ConsistencyNodes(uint64_t first_size, uint64_t second_size) {
  RETURN_IF_ERROR(CheckSize(second_size));
  if (first_size > second_size) {
    return absl::OutOfRangeError(
        absl::StrCat("a tree of ", first_size, " leaves is no prefix of one of ", second_size));
  }
  if (first_size == 0 || first_size == second_size) return ProofNodes();
  std::vector<Range> path;
  Range range{0, second_size};
  while (range.end != first_size) {
    const uint64_t middle = range.middle();
    if (first_size <= middle) {
      path.push_back({middle, range.end});
      range.end = middle;
    } else {
      path.push_back({range.begin, middle});
      range.begin = middle;
    }
  }
  // The whole first tree is known to the verifier; a part of it is not.
  if (range.begin != 0) path.push_back(range);
  return ToProofNodes(path);
}

std::vector<NodeId> RootNodes(uint64_t size) {
  std::vector<NodeId> nodes;
  AppendSubtrees({0, size}, &nodes);
  return nodes;
}

Hash FoldRoot(absl::Span<const Hash> hashes) {
  return hashes.empty() ? EmptyRoot() : FoldRange(hashes);
}

absl::StatusOr<std::vector<Hash>> FoldProof(const ProofNodes& wanted,
                                            absl::Span<const Hash> hashes) {
  if (hashes.size() != wanted.nodes.size()) {
    return absl::InternalError(absl::StrCat("a proof needs ", wanted.nodes.size(),
                                            " nodes and was given ", hashes.size()));
  }
  std::vector<Hash> proof(hashes.begin(), hashes.begin() + wanted.fold_begin);
  if (wanted.fold_begin != wanted.fold_end) {
    proof.push_back(
        FoldRange(hashes.subspan(wanted.fold_begin, wanted.fold_end - wanted.fold_begin)));
  }
  proof.insert(proof.end(), hashes.begin() + wanted.fold_end, hashes.end());
  return proof;
}

absl::StatusOr<std::vector<Hash>> BuildInclusionProof(uint64_t index, uint64_t size,
                                                      const NodeReader& reader) {
  ASSIGN_OR_RETURN(const ProofNodes wanted, InclusionNodes(index, size));
  return ReadAndFold(wanted, reader);
}

absl::StatusOr<std::vector<std::vector<Hash>>> BuildInclusionProofs(
    absl::Span<const uint64_t> indexes, uint64_t size, const NodeReader& reader) {
  std::vector<std::vector<Hash>> proofs;
  if (indexes.empty()) return proofs;
  // First the roots of the perfect subtrees, then the siblings that each leaf has within its own.
  std::vector<NodeId> nodes = RootNodes(size);
  const size_t roots = nodes.size();
  for (uint64_t index : indexes) {
    RETURN_IF_ERROR(CheckLeaf(index, size));
    const int root_level = RootLevelOf(index, size);
    for (int level = 0; level < root_level; ++level) nodes.push_back({level, index >> level ^ 1});
  }
  ASSIGN_OR_RETURN(const std::vector<Hash> hashes, reader(nodes));
  if (hashes.size() != nodes.size()) {
    return absl::InternalError(
        absl::StrCat("proofs need ", nodes.size(), " nodes and were given ", hashes.size()));
  }
  // right_of[i] is the root over all subtrees from the i-th on.
  std::vector<Hash> right_of(hashes.begin(), hashes.begin() + static_cast<ptrdiff_t>(roots));
  for (size_t i = roots - 1; i > 0; --i) right_of[i - 1] = NodeHash(hashes[i - 1], right_of[i]);

  proofs.reserve(indexes.size());
  auto siblings = hashes.begin() + static_cast<ptrdiff_t>(roots);
  for (uint64_t index : indexes) {
    const int root_level = RootLevelOf(index, size);
    const auto root = static_cast<size_t>(std::popcount(size >> root_level)) - 1;
    std::vector<Hash>& proof = proofs.emplace_back();
    proof.reserve(static_cast<size_t>(root_level) + root + 1);
    proof.insert(proof.end(), siblings, siblings + root_level);
    siblings += root_level;
    if (root + 1 < roots) proof.push_back(right_of[root + 1]);
    proof.insert(proof.end(), hashes.rend() - static_cast<ptrdiff_t>(root), hashes.rend());
  }
  return proofs;
}

absl::StatusOr<std::vector<Hash>> BuildConsistencyProof(uint64_t first_size, uint64_t second_size,
                                                        const NodeReader& reader) {
  ASSIGN_OR_RETURN(const ProofNodes wanted, ConsistencyNodes(first_size, second_size));
  return ReadAndFold(wanted, reader);
}

absl::StatusOr<Hash> BuildRoot(uint64_t size, const NodeReader& reader) {
  RETURN_IF_ERROR(CheckSize(size));
  if (size == 0) return EmptyRoot();
  const std::vector<NodeId> nodes = RootNodes(size);
  ASSIGN_OR_RETURN(const std::vector<Hash> hashes, reader(nodes));
  if (hashes.size() != nodes.size()) {
    return absl::InternalError(
        absl::StrCat("a root needs ", nodes.size(), " nodes and was given ", hashes.size()));
  }
  return FoldRoot(hashes);
}

}  // namespace countersign::merkle
