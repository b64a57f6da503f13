// From the ledger's own types to its messages.
#ifndef COUNTERSIGN_SERVICES_LEDGER_PROTO_CONVERSIONS_H_
#define COUNTERSIGN_SERVICES_LEDGER_PROTO_CONVERSIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "countersign/ledger/v1/ledger.pb.h"
#include "services/ledger/ledger.h"

namespace countersign::ledger {

void FillInclusionProof(uint64_t index, uint64_t tree_size, const std::vector<merkle::Hash>& hashes,
                        v1::InclusionProof* out);

// Entry `i` of `appended`, with its proof when there is a tree. Fails as Ledger::InclusionProof.
absl::Status FillAppended(const Ledger& ledger, const Ledger::Appended& appended, size_t i,
                          v1::AppendedEntry* out);

// All of `appended`, and its checkpoint when there is a tree.
absl::Status FillAppendedBatch(const Ledger& ledger, const Ledger::Appended& appended,
                               google::protobuf::RepeatedPtrField<v1::AppendedEntry>* entries,
                               std::string* checkpoint);

void FillEntry(absl::string_view log_name, uint64_t index, const std::string& data, v1::Entry* out);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_PROTO_CONVERSIONS_H_
