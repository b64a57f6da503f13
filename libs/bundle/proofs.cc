#include "libs/bundle/proofs.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/bundle.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/proof.h"
#include "libs/note/checkpoint.h"
#include "libs/note/tlog_proof.h"

namespace countersign::bundle {

absl::StatusOr<Proofs> MakeProofs(const LoggedSignature& logged) {
  Proofs proofs;
  ASSIGN_OR_RETURN(proofs.entry, ParseHashedRekord(logged.canonicalized_body));
  ASSIGN_OR_RETURN(const bool holds, CheckSignature(proofs.entry));
  if (!holds) return absl::InvalidArgumentError("the logged signature is not its key's");
  ASSIGN_OR_RETURN(const note::Checkpoint checkpoint,
                   note::ParseSignedCheckpoint(logged.checkpoint));
  if (logged.index < 0 || logged.tree_size < 0 ||
      static_cast<uint64_t>(logged.tree_size) != checkpoint.size) {
    return absl::InvalidArgumentError(absl::StrCat("the proof is of a tree of ", logged.tree_size,
                                                   ", the checkpoint of ", checkpoint.size));
  }
  note::TlogProof proof;
  proof.extra = logged.canonicalized_body;
  proof.index = static_cast<uint64_t>(logged.index);
  proof.checkpoint = logged.checkpoint;
  for (const std::string& bytes : logged.hashes) {
    ASSIGN_OR_RETURN(proof.hashes.emplace_back(), merkle::ToHash(bytes));
  }
  RETURN_IF_ERROR(merkle::VerifyInclusion(proof.index, checkpoint.size,
                                          merkle::LeafHash(logged.canonicalized_body), proof.hashes,
                                          checkpoint.root));
  proofs.root_hash = std::string(base::AsBytes(checkpoint.root));
  proofs.tlog_proof = note::FormatTlogProof(proof);
  proofs.sigstore_bundle =
      FormatBundle(MakeBundle(proofs.entry, logged.canonicalized_body,
                              LogProof{logged.index, logged.tree_size, proofs.root_hash,
                                       logged.hashes, logged.checkpoint, logged.log_key_id}));
  return proofs;
}

}  // namespace countersign::bundle
