// What a running process costs: processor time, and synchronisations as the system calls show them.
#ifndef COUNTERSIGN_BENCHMARKS_PROCESS_COSTS_H_
#define COUNTERSIGN_BENCHMARKS_PROCESS_COSTS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace countersign::bench {

// Processor time that a process has taken so far, in seconds.
absl::StatusOr<double> CpuSeconds(pid_t pid);

// How often a process synchronises files while `work` runs, by strace, which writes to the file
// `trace`: the calls for it, the files it opens to be synchronised at every write, of which it
// writes each once, and its writes to those that were open so before. Being traced takes time, so
// `work` is measured in another run. Unavailable when strace saw none.
absl::StatusOr<uint64_t> CountSyncs(pid_t pid, const std::string& trace,
                                    const std::function<void()>& work);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_PROCESS_COSTS_H_
