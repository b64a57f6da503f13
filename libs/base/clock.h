// The time of day as a dependency, so that tests can set it.
#ifndef COUNTERSIGN_LIBS_BASE_CLOCK_H_
#define COUNTERSIGN_LIBS_BASE_CLOCK_H_

#include "absl/time/time.h"

namespace countersign::base {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;

  virtual absl::Time Now() const = 0;

  // The machine's clock; lives as long as the process.
  static const Clock* System();
};

}  // namespace countersign::base

#endif  // COUNTERSIGN_LIBS_BASE_CLOCK_H_
