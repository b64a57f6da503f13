// Verification of Merkle proofs (RFC 9162 sections 2.1.3.2 and 2.1.4.2; the proofs themselves are
// those of RFC 6962).
//
// Pure functions, safe to use from any thread. The status is the verdict: OK when the proof holds,
// else InvalidArgument with the reason.
#ifndef COUNTERSIGN_LIBS_MERKLE_PROOF_H_
#define COUNTERSIGN_LIBS_MERKLE_PROOF_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"

namespace countersign::merkle {

// No proof in a tree of at most 2^63 leaves is longer.
inline constexpr size_t kMaxProofHashes = 64;

// Whether `proof`, from the leaf's sibling upwards, shows that the tree of `size` leaves with this
// root has `leaf_hash` at `index`, counted from 0.
absl::Status VerifyInclusion(uint64_t index, uint64_t size, const Hash& leaf_hash,
                             absl::Span<const Hash> proof, const Hash& root);

// Whether `proof` shows that the tree of `first_size` leaves is a prefix of that of `second_size`.
// The proof is empty when the sizes are equal (the roots must be too) or the first is 0 (its root
// must be EmptyRoot()).
absl::Status VerifyConsistency(uint64_t first_size, uint64_t second_size,
                               absl::Span<const Hash> proof, const Hash& first_root,
                               const Hash& second_root);

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_PROOF_H_
