// How long a transaction rests before it is tried again.
#ifndef COUNTERSIGN_LIBS_STORAGE_BACKOFF_H_
#define COUNTERSIGN_LIBS_STORAGE_BACKOFF_H_

#include "absl/time/time.h"

namespace countersign::storage {

// After `attempt` earlier waits: 2 ms, doubled each time up to 2 s, less up to a half by chance.
absl::Duration Backoff(int attempt);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_BACKOFF_H_
