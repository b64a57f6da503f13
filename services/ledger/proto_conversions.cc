#include "services/ledger/proto_conversions.h"

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::ledger {

void FillInclusionProof(uint64_t index, uint64_t tree_size, const std::vector<merkle::Hash>& hashes,
                        v1::InclusionProof* out) {
  out->set_index(static_cast<int64_t>(index));
  out->set_tree_size(static_cast<int64_t>(tree_size));
  out->mutable_hashes()->Reserve(static_cast<int>(hashes.size()));
  for (const merkle::Hash& hash : hashes) out->add_hashes(hash.data(), hash.size());
}

absl::Status FillAppended(const Ledger& ledger, const Ledger::Appended& appended,
                          absl::FunctionRef<v1::AppendedEntry*(size_t i)> entry,
                          std::string* checkpoint) {
  for (size_t i = 0; i < appended.placements.size(); ++i) {
    v1::AppendedEntry* out = entry(i);
    out->set_index(static_cast<int64_t>(appended.placements[i].index));
    out->set_leaf_hash(appended.leaf_hashes[i].data(), appended.leaf_hashes[i].size());
    out->set_duplicate(appended.placements[i].duplicate);
  }
  if (!appended.tree.has_value()) return absl::OkStatus();
  *checkpoint = *appended.tree->checkpoint;
  const uint64_t size = appended.tree->head.size;
  std::vector<uint64_t> indexes;
  indexes.reserve(appended.placements.size());
  for (const LogStore::Placement& placement : appended.placements) {
    indexes.push_back(placement.index);
  }
  ASSIGN_OR_RETURN(const std::vector<std::vector<merkle::Hash>> proofs,
                   ledger.InclusionProofs(indexes, size));
  for (size_t i = 0; i < proofs.size(); ++i) {
    FillInclusionProof(indexes[i], size, proofs[i], entry(i)->mutable_proof());
  }
  return absl::OkStatus();
}

absl::Status FillAppended(const Ledger& ledger, const Ledger::Appended& appended,
                          google::protobuf::RepeatedPtrField<v1::AppendedEntry>* entries,
                          std::string* checkpoint) {
  entries->Reserve(static_cast<int>(appended.placements.size()));
  for (size_t i = 0; i < appended.placements.size(); ++i) entries->Add();
  return FillAppended(
      ledger, appended, [entries](size_t i) { return entries->Mutable(static_cast<int>(i)); },
      checkpoint);
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
