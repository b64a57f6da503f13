// Moments that a step of the clock does not push away.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_DEADLINE_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_DEADLINE_H_

#include <algorithm>
#include <chrono>

#include "absl/time/time.h"
#include "libs/base/clock.h"

namespace countersign::yubikey {

// A moment of the clock, kept also as a distance from now on the steady clock: it has passed as
// soon as either says so. A clock that is set back therefore delays nothing, and one that is set
// forward ends early what may end early: waits, and the keeping of a PIN. A value.
class Deadline {
 public:
  Deadline(const base::Clock& clock, absl::Time at) : at_(at) {
    const absl::Duration left = at - clock.Now();
    steady_ = left > kEver ? std::chrono::steady_clock::time_point::max()
                           : std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(left);
  }
  static Deadline After(const base::Clock& clock, absl::Duration duration) {
    return Deadline(clock, clock.Now() + duration);
  }

  // How long it is until then, zero once it has passed.
  absl::Duration Left(const base::Clock& clock) const {
    absl::Duration left = at_ - clock.Now();
    if (steady_ != std::chrono::steady_clock::time_point::max()) {
      left = std::min(left, absl::FromChrono(steady_ - std::chrono::steady_clock::now()));
    }
    return std::max(left, absl::ZeroDuration());
  }
  bool Passed(const base::Clock& clock) const { return Left(clock) == absl::ZeroDuration(); }

 private:
  // Nanoseconds of the steady clock hold some 290 years.
  static constexpr absl::Duration kEver = absl::Hours(24 * 365 * 100);

  absl::Time at_;
  std::chrono::steady_clock::time_point steady_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_DEADLINE_H_
