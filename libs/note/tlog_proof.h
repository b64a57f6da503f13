// Offline proofs that a leaf is in a log: `.tlog-proof` files (C2SP tlog-proof).
#ifndef COUNTERSIGN_LIBS_NOTE_TLOG_PROOF_H_
#define COUNTERSIGN_LIBS_NOTE_TLOG_PROOF_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/merkle/hash.h"
#include "libs/note/policy.h"

namespace countersign::note {

struct TlogProof {
  std::optional<std::string> extra;  // opaque bytes, authenticated by nothing
  uint64_t index = 0;                // of the leaf
  std::vector<merkle::Hash> hashes;  // inclusion proof, from the leaf's sibling upwards; at most 63
  std::string checkpoint;            // the signed note, verbatim
};

// Reads a proof. InvalidArgument when it, or the note in it, is malformed; nothing is verified.
absl::StatusOr<TlogProof> ParseTlogProof(absl::string_view text);

// The file's bytes, the inverse of ParseTlogProof.
std::string FormatTlogProof(const TlogProof& proof);

// Verifies that the leaf is in a log that the policy trusts, as of a checkpoint that its quorum has
// cosigned. Errors as of Policy::Verify; InvalidArgument when the inclusion proof does not hold.
absl::StatusOr<PolicyVerdict> VerifyTlogProof(const TlogProof& proof, const merkle::Hash& leaf_hash,
                                              const Policy& policy);

}  // namespace countersign::note

#endif  // COUNTERSIGN_LIBS_NOTE_TLOG_PROOF_H_
