// step-ca, a maintained certificate authority to be measured beside ours, and the load on it
// (step-load), at the version that tests/conformance/step-ca pins.
#ifndef COUNTERSIGN_BENCHMARKS_STEP_CA_PEER_H_
#define COUNTERSIGN_BENCHMARKS_STEP_CA_PEER_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "benchmarks/load.h"
#include "libs/runtime/subprocess.h"

namespace countersign::bench {

// What came of a load: what was counted, and beside it everything that was issued and what that
// took, warm-up included.
struct StepCaLoad {
  LoadResult load;
  uint64_t issued = 0;
  double client_cpu_seconds = 0;
};

// Used by one thread. Ended with this object, whose destructor waits for that.
class StepCaPeer {
 public:
  // Makes an authority in the folder `data`: P-256, an intermediate below its root, a provisioner
  // whose key signs one-time tokens, everything else as `step ca init` leaves it; no request log.
  // NotFound when scripts/install-tools has not been run.
  static absl::StatusOr<std::unique_ptr<StepCaPeer>> Start(const std::string& data);
  ~StepCaPeer();

  // Has it sign `csrs` (DER, each for one host name), over and over, over as many TLS connections
  // as are in flight, one request a connection at a time. Unavailable when nothing was issued.
  absl::StatusOr<StepCaLoad> Sign(const std::vector<std::string>& csrs, const LoadOptions& options);

  pid_t pid() const { return process_->pid(); }

 private:
  StepCaPeer(std::unique_ptr<runtime::Subprocess> process, std::string data, std::string address);

  const std::unique_ptr<runtime::Subprocess> process_;
  const std::string data_;
  const std::string address_;
  int loads_ = 0;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_STEP_CA_PEER_H_
