#include "services/ledger/proto_conversions.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::ledger {

void FillInclusionProof(uint64_t index, uint64_t tree_size, const std::vector<merkle::Hash>& hashes,
                        v1::InclusionProof* out) {
  out->set_index(static_cast<int64_t>(index));
  out->set_tree_size(static_cast<int64_t>(tree_size));
  for (const merkle::Hash& hash : hashes) out->add_hashes(hash.data(), hash.size());
}

absl::Status FillAppended(const Ledger& ledger, const Ledger::Appended& appended, size_t i,
                          v1::AppendedEntry* out) {
  const uint64_t index = appended.placements[i].index;
  out->set_index(static_cast<int64_t>(index));
  out->set_leaf_hash(appended.leaf_hashes[i].data(), appended.leaf_hashes[i].size());
  out->set_duplicate(appended.placements[i].duplicate);
  if (!appended.tree.has_value()) return absl::OkStatus();
  const uint64_t size = appended.tree->head.size;
  ASSIGN_OR_RETURN(const std::vector<merkle::Hash> hashes, ledger.InclusionProof(index, size));
  FillInclusionProof(index, size, hashes, out->mutable_proof());
  return absl::OkStatus();
}

absl::Status FillAppendedBatch(const Ledger& ledger, const Ledger::Appended& appended,
                               google::protobuf::RepeatedPtrField<v1::AppendedEntry>* entries,
                               std::string* checkpoint) {
  entries->Reserve(static_cast<int>(appended.placements.size()));
  for (size_t i = 0; i < appended.placements.size(); ++i) {
    RETURN_IF_ERROR(FillAppended(ledger, appended, i, entries->Add()));
  }
  if (appended.tree.has_value()) *checkpoint = *appended.tree->checkpoint;
  return absl::OkStatus();
}

void FillEntry(absl::string_view log_name, uint64_t index, const std::string& data,
               v1::Entry* out) {
  out->set_name(absl::StrCat(log_name, "/entries/", index));
  out->set_index(static_cast<int64_t>(index));
  out->set_data(data);
  const merkle::Hash leaf_hash = merkle::LeafHash(data);
  out->set_leaf_hash(leaf_hash.data(), leaf_hash.size());
}

}  // namespace countersign::ledger
