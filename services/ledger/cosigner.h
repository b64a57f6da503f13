// Gathers the cosignatures of independent witnesses: the seam between the log and its witnesses.
#ifndef COUNTERSIGN_SERVICES_LEDGER_COSIGNER_H_
#define COUNTERSIGN_SERVICES_LEDGER_COSIGNER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/merkle/hash.h"
#include "services/ledger/log_store.h"

namespace countersign::ledger {

class Cosigner {
 public:
  // The consistency proof from a tree size to another, as Ledger::ConsistencyProof. May be called
  // from any thread, until the cosigner is destroyed.
  using ProofFn =
      std::function<absl::StatusOr<std::vector<merkle::Hash>>(uint64_t first, uint64_t second)>;

  // A witness as the log sees it.
  struct WitnessState {
    std::string name;
    std::string vkey;
    std::string url;
    uint64_t cosigned_size = 0;
    absl::Time cosign_time = absl::InfinitePast();
    std::string last_error;
  };

  virtual ~Cosigner() = default;

  // Returns `checkpoint`, the log's own signed note over `head`, with the cosignatures of a quorum
  // of witnesses added. Blocks until the policy is satisfied or cannot be any more.
  //
  // Unavailable, saying which witnesses are missing and why, when the quorum was not reached.
  // DataLoss when a witness holds a checkpoint that this log has signed and that is not of the tree
  // here: this store is an old copy, and signing on would fork the log.
  virtual absl::StatusOr<std::string> Cosign(const TreeHead& head, absl::string_view checkpoint,
                                             const ProofFn& proof) = 0;

  // Ends a Cosign in progress soon, and every later one at once, with Unavailable.
  virtual void Stop() = 0;

  // Thread-safe.
  virtual std::vector<WitnessState> witnesses() const = 0;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_COSIGNER_H_
