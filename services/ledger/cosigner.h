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

// Thread-safe.
class Cosigner {
 public:
  // The consistency proof from a tree size to another, as Ledger::ConsistencyProof. Unavailable
  // when the log cannot tell yet whether it holds the larger one.
  using ProofFn =
      std::function<absl::StatusOr<std::vector<merkle::Hash>>(uint64_t first, uint64_t second)>;

  // The checkpoint with the cosignatures of a quorum added. Else:
  //   Unavailable  the quorum was not reached: which witnesses are missing, and why; or the
  //                cosigner was stopped
  //   Aborted      nor was it here, but only because a witness was asked for the cosignature of a
  //                larger head instead, or has given it already
  //   DataLoss     a witness holds a checkpoint that this log has signed and that is not of the
  //   tree
  //                here: this store is an old copy, and signing on would fork the log
  using Done = std::function<void(absl::StatusOr<std::string>)>;

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

  // Begins a round: asks witnesses to cosign `checkpoint`, the log's own signed note over `head`.
  // Rounds overlap, each with a head no smaller than that of the one before, and may end in any
  // order. `done` is called once, from any thread, perhaps before Start returns, and must not
  // block. `proof` may be called from any thread until the cosigner is destroyed.
  virtual void Start(const TreeHead& head, absl::string_view checkpoint, ProofFn proof,
                     Done done) = 0;

  // Ends the rounds in progress soon, and every later one at once, with Unavailable.
  virtual void Stop() = 0;

  virtual std::vector<WitnessState> witnesses() const = 0;

  // DataLoss, for good, once a witness has shown a checkpoint as in Done's DataLoss: also when the
  // round had ended before. OK until then.
  virtual absl::Status fork() const = 0;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_COSIGNER_H_
