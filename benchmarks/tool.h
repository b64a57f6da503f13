// Where scripts/install-tools puts the programs that are measured beside the suite.
#ifndef COUNTERSIGN_BENCHMARKS_TOOL_H_
#define COUNTERSIGN_BENCHMARKS_TOOL_H_

#include <string>

#include "absl/status/statusor.h"

namespace countersign::bench {

// The path of a program. NotFound when scripts/install-tools has not been run.
absl::StatusOr<std::string> Tool(const std::string& name);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_TOOL_H_
