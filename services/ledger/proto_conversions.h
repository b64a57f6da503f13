// From the ledger's own types to its messages.
#ifndef COUNTERSIGN_SERVICES_LEDGER_PROTO_CONVERSIONS_H_
#define COUNTERSIGN_SERVICES_LEDGER_PROTO_CONVERSIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "countersign/ledger/v1/ledger.pb.h"
#include "services/ledger/ledger.h"

namespace countersign::ledger {

void FillInclusionProof(uint64_t index, uint64_t tree_size, const std::vector<merkle::Hash>& hashes,
                        v1::InclusionProof* out);

// Fills entry(i) with the i-th of `appended`, with its proof when there is a tree, and then
// `checkpoint`. Fails as Ledger::InclusionProofs.
absl::Status FillAppended(const Ledger& ledger, const Ledger::Appended& appended,
                          absl::FunctionRef<v1::AppendedEntry*(size_t i)> entry,
                          std::string* checkpoint);

// The same into a response's list, which is empty.
absl::Status FillAppended(const Ledger& ledger, const Ledger::Appended& appended,
                          google::protobuf::RepeatedPtrField<v1::AppendedEntry>* entries,
                          std::string* checkpoint);

void FillEntry(absl::string_view log_name, uint64_t index, const std::string& data, v1::Entry* out);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_PROTO_CONVERSIONS_H_
