// From a ledger's answer to the two proof files of a signature.
#ifndef COUNTERSIGN_LIBS_BUNDLE_PROOFS_H_
#define COUNTERSIGN_LIBS_BUNDLE_PROOFS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/bundle/hashedrekord.h"

namespace countersign::bundle {

// A signature's entry and its place in a log, as the sign service answers (LedgerProof).
struct LoggedSignature {
  // The canonical hashedrekord: the leaf's bytes.
  std::string canonicalized_body;
  int64_t index = 0;
  int64_t tree_size = 0;
  // Audit path, leaf's sibling first, 32 bytes each.
  std::vector<std::string> hashes;
  // Signed note of the tree of `tree_size`.
  std::string checkpoint;
  // SHA-256 of the log's whole note key hash input: 32 bytes.
  std::string log_key_id;
};

struct Proofs {
  HashedRekord entry;
  // Root hash in the checkpoint, raw.
  std::string root_hash;
  // Sigstore bundle v0.3 (bundle.h) of a signature over a file.
  std::string sigstore_bundle;
  // C2SP tlog-proof whose `extra` line holds the entry (FORMAT.md).
  std::string tlog_proof;
};

// Both files' contents. Checks first that they will hold: that the entry's signature is its key's,
// and that the path leads from the entry to the checkpoint's root. Whether the log and the
// witnesses are to be trusted is the verifier's business. InvalidArgument, saying what does not
// fit. Pure.
absl::StatusOr<Proofs> MakeProofs(const LoggedSignature& logged);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_PROOFS_H_
