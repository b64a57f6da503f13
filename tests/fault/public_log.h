// A log's public folder, checked from the first byte to the last.
#ifndef COUNTERSIGN_TESTS_FAULT_PUBLIC_LOG_H_
#define COUNTERSIGN_TESTS_FAULT_PUBLIC_LOG_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "libs/merkle/hash.h"
#include "libs/note/checkpoint.h"
#include "libs/note/key.h"

namespace countersign::fault {

struct PublicLog {
  note::Checkpoint checkpoint;
  std::vector<std::string> entries;  // as many as the checkpoint says
  std::vector<merkle::Hash> roots;   // roots[n] is that of the first n entries
};

// Reads `folder` as "countersign ledger fsck" does, every tile worked out anew, and its entries.
// DataLoss, naming the first file that is missing or wrong or does not belong there.
absl::StatusOr<PublicLog> ReadPublicLog(const std::string& folder, const note::NoteVerifier& key);

}  // namespace countersign::fault

#endif  // COUNTERSIGN_TESTS_FAULT_PUBLIC_LOG_H_
