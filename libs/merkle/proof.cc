#include "libs/merkle/proof.h"

#include <bit>

#include "absl/strings/str_cat.h"

namespace countersign::merkle {
namespace {

// Climbs from a node at `index`, whose level ends with `last`, to the root. For each hash of the
// proof tells whether it is a left sibling; skips the levels where the node has no sibling.
class Path {
 public:
  Path(uint64_t index, uint64_t last) : index_(index), last_(last) {}

  bool at_root() const { return last_ == 0; }

  // Moves one proof hash up. Not to be called at the root.
  bool SiblingIsLeft() {
    const bool left = (index_ & 1) != 0 || index_ == last_;
    if (left) {
      while (index_ != 0 && (index_ & 1) == 0) Up();
    }
    Up();
    return left;
  }

  void Up() {
    index_ >>= 1;
    last_ >>= 1;
  }

  bool is_right_child() const { return (index_ & 1) != 0; }

 private:
  uint64_t index_;
  uint64_t last_;
};

absl::Status Refuse(absl::string_view why) { return absl::InvalidArgumentError(why); }

}  // namespace

absl::Status VerifyInclusion(uint64_t index, uint64_t size, const Hash& leaf_hash,
                             absl::Span<const Hash> proof, const Hash& root) {
  if (index >= size) {
    return Refuse(absl::StrCat("a tree of ", size, " leaves has none at index ", index));
  }
  Path path(index, size - 1);
  Hash hash = leaf_hash;
  for (const Hash& sibling : proof) {
    if (path.at_root()) return Refuse("the inclusion proof is too long for the tree");
    hash = path.SiblingIsLeft() ? NodeHash(sibling, hash) : NodeHash(hash, sibling);
  }
  if (!path.at_root()) return Refuse("the inclusion proof is too short for the tree");
  if (hash != root) return Refuse("the inclusion proof does not lead from the leaf to the root");
  return absl::OkStatus();
}

absl::Status VerifyConsistency(uint64_t first_size, uint64_t second_size,
                               absl::Span<const Hash> proof, const Hash& first_root,
                               const Hash& second_root) {
  if (first_size > second_size) {
    return Refuse(
        absl::StrCat("a tree of ", first_size, " leaves is no prefix of one of ", second_size));
  }
  if (first_size == second_size || first_size == 0) {
    if (!proof.empty()) {
      return Refuse(absl::StrCat("no hashes prove consistency from ", first_size, " to ",
                                 second_size, " leaves, yet the proof has some"));
    }
    if (first_size == second_size && first_root != second_root) {
      return Refuse("the roots of two trees of the same size differ");
    }
    if (first_size == 0 && first_root != EmptyRoot()) {
      return Refuse("the first root is not that of the empty tree");
    }
    return absl::OkStatus();
  }
  if (proof.empty()) return Refuse("the consistency proof is empty");

  Path path(first_size - 1, second_size - 1);
  while (path.is_right_child()) path.Up();
  // A first tree that is one perfect subtree is itself where the proof starts.
  const bool perfect = std::has_single_bit(first_size);
  const Hash& start = perfect ? first_root : proof[0];
  if (!perfect) proof.remove_prefix(1);
  Hash first = start;
  Hash second = start;
  for (const Hash& sibling : proof) {
    if (path.at_root()) return Refuse("the consistency proof is too long for the trees");
    if (path.SiblingIsLeft()) {
      first = NodeHash(sibling, first);
      second = NodeHash(sibling, second);
    } else {
      second = NodeHash(second, sibling);
    }
  }
  if (!path.at_root()) return Refuse("the consistency proof is too short for the trees");
  if (first != first_root) return Refuse("the consistency proof does not lead to the first root");
  if (second != second_root)
    return Refuse("the consistency proof does not lead to the second root");
  return absl::OkStatus();
}

}  // namespace countersign::merkle
