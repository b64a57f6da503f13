#include "benchmarks/growing_log.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/private_key.h"
#include "libs/merkle/proof_builder.h"
#include "libs/note/checkpoint.h"
#include "libs/note/signed_note.h"

namespace countersign::bench {

absl::StatusOr<std::unique_ptr<GrowingLog>> GrowingLog::Create(const std::string& origin) {
  ASSIGN_OR_RETURN(crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519));
  ASSIGN_OR_RETURN(auto signer, note::NewEd25519Signer(origin, std::move(key)));
  return std::unique_ptr<GrowingLog>(new GrowingLog(std::move(signer)));
}

absl::StatusOr<note::AddCheckpointRequest> GrowingLog::Grow(uint64_t leaves) {
  note::AddCheckpointRequest request;
  request.old_size = size();
  for (uint64_t i = 0; i < leaves; ++i) {
    range_.Append(merkle::LeafHash(absl::StrCat(size())),
                  [this](const merkle::NodeId& node, const merkle::Hash& hash) {
                    const auto level = static_cast<size_t>(node.level);
                    if (nodes_.size() <= level) nodes_.resize(level + 1);
                    nodes_[level].push_back(hash);
                  });
  }
  ASSIGN_OR_RETURN(request.proof,
                   merkle::BuildConsistencyProof(
                       request.old_size, size(),
                       [this](absl::Span<const merkle::NodeId> nodes)
                           -> absl::StatusOr<std::vector<merkle::Hash>> {
                         std::vector<merkle::Hash> hashes;
                         for (const merkle::NodeId& node : nodes) {
                           hashes.push_back(nodes_[static_cast<size_t>(node.level)][node.index]);
                         }
                         return hashes;
                       }));
  ASSIGN_OR_RETURN(request.checkpoint,
                   note::SignNote(note::FormatCheckpoint({signer_->name(), size(), range_.Root()}),
                                  {signer_.get()}));
  return request;
}

}  // namespace countersign::bench
