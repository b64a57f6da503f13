#include "libs/storage/backoff.h"

#include <algorithm>
#include <random>

namespace countersign::storage {

absl::Duration Backoff(int attempt) {
  thread_local std::minstd_rand random{std::random_device{}()};
  const absl::Duration full = absl::Milliseconds(2) * (1 << std::min(attempt, 10));
  return full * std::uniform_real_distribution<double>(0.5, 1.0)(random);
}

}  // namespace countersign::storage
