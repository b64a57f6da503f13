// A port for a program that cannot be asked which one it took.
#ifndef COUNTERSIGN_BENCHMARKS_FREE_PORT_H_
#define COUNTERSIGN_BENCHMARKS_FREE_PORT_H_

#include "absl/status/statusor.h"

namespace countersign::bench {

// A loopback port that nobody listens on, below those that outgoing connections get.
absl::StatusOr<int> FreePort();

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_FREE_PORT_H_
