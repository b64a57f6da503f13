// Offline verification of a proof: a Sigstore bundle, or a C2SP tlog-proof beside the file.
//
// The steps, in this order, each with a reason of its own when it fails:
//   the document parses -> the artifact has the digest that was signed -> the signer is trusted ->
//   the signature is the signer's -> the log entry names the same digest, signature and key -> the
//   entry is in the tree of the checkpoint -> the checkpoint is a trusted log's, signed by it ->
//   the witness quorum is met.
// Only the root and the size in the verified checkpoint count. Copies of facts elsewhere in a
// bundle (index, size, root, log id, key hint) prove nothing, but must agree with what was proved.
//
// Thread-safe: nothing here holds state. FORMAT.md describes the documents.
#ifndef COUNTERSIGN_LIBS_BUNDLE_VERIFY_H_
#define COUNTERSIGN_LIBS_BUNDLE_VERIFY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/bundle/trust.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/digest.h"

namespace countersign::bundle {

enum class Reason {
  kVerified,
  // The document does not parse.
  kMalformed,
  // A version, kind or algorithm that this verifier does not know.
  kUnsupported,
  // The file is not what was signed.
  kArtifactMismatch,
  // The key is not among the trusted signers.
  kSignerNotTrusted,
  kSignatureInvalid,
  // The log entry names another digest, signature or key than the bundle.
  kEntryMismatch,
  // Copies in the bundle contradict what was proved.
  kInconsistent,
  // There is no log entry, or its path does not lead to the checkpoint's root.
  kNotInLog,
  // The checkpoint's origin is no log of the policy.
  kLogNotTrusted,
  // The log's signature is missing, or a signature by a key of the policy fails.
  kCheckpointSignatureInvalid,
  kQuorumNotMet,
};

// "VERIFIED", "MALFORMED", "ARTIFACT_MISMATCH" and so on: stable, for programs.
absl::string_view ReasonCode(Reason reason);

// One witness of the policy that cosigned the checkpoint.
struct WitnessFact {
  // In the policy, and of its key: often the same.
  std::string name;
  std::string key_name;
  absl::Time time;
};

// What was found. Facts are those established before the step that failed; those of a step not
// reached are empty or zero.
struct Verdict {
  bool verified = false;
  Reason reason = Reason::kMalformed;
  // One sentence for people: what failed and on which values.
  std::string detail;

  // "sigstore-bundle" or "tlog-proof".
  std::string format;
  // Of the trusted signer, once its signature holds.
  std::string signer_name;
  // Lower-case hexadecimal SHA-256 of the SPKI of the key named, trusted or not.
  std::string signer_fingerprint;
  std::string algorithm;
  crypto::DigestAlgorithm digest_algorithm = crypto::DigestAlgorithm::kNone;
  // Raw bytes.
  std::string digest;
  // The type of a DSSE envelope's payload; empty for a signature over the file itself.
  std::string payload_type;

  std::string log_origin;
  uint64_t log_index = 0;
  uint64_t tree_size = 0;
  // Raw bytes of the verified checkpoint's root.
  std::string root_hash;
  // Each once, in the policy's order.
  std::vector<WitnessFact> witnesses;
  // The policy's quorum in words: "majority, 2 of 3", "witness w1", "no witness asked for".
  std::string quorum;
};

// The artifact under verification: gives its digest by the algorithm that the proof turns out to
// need. Called at most three times, each time for another algorithm. kNone is never asked for.
using ArtifactDigest =
    std::function<absl::StatusOr<std::string>(crypto::DigestAlgorithm algorithm)>;

// The artifact with these bytes.
ArtifactDigest DigestOf(std::string bytes);

// Judges `bundle_json` for the artifact. An error is only what `artifact` returned: everything that
// is wrong with the bundle is a verdict.
//
// The artifact of a message signature is the file whose digest was signed. That of a DSSE envelope
// is one of the subjects of an in-toto statement ("application/vnd.in-toto+json"), and for every
// other payload type the payload.
absl::StatusOr<Verdict> VerifyBundle(absl::string_view bundle_json, const ArtifactDigest& artifact,
                                     const TrustPolicy& trust);

// Judges a tlog-proof whose `extra` line holds the log entry's bytes (FORMAT.md). They count
// because their leaf hash is proved to be in the log.
absl::StatusOr<Verdict> VerifyTlogProof(absl::string_view proof, const ArtifactDigest& artifact,
                                        const TrustPolicy& trust);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_VERIFY_H_
