// Challenges that callers sign to open a session.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CHALLENGES_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CHALLENGES_H_

#include <array>
#include <cstdint>
#include <deque>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace countersign::yubikey {

// Each is good once, for a minute, for the caller and from the transport identity that asked for
// it. Bounded: when there are too many, the oldest goes. Thread-safe.
class Challenges {
 public:
  struct Options {
    size_t capacity = 65536;
    absl::Duration lifetime = absl::Seconds(60);
    const base::Clock* clock = base::Clock::System();
  };
  struct Challenge {
    std::string bytes;  // 32
    absl::Time expire_time;
  };

  explicit Challenges(const Options& options) : options_(options) {}

  Challenge Create(absl::string_view caller, absl::string_view transport);

  // Whether the challenge is good, which it is no more after this call. One that is another
  // caller's or another transport's stays good for that one. A clock that was set back since it
  // was made ends it.
  bool Use(absl::string_view challenge, absl::string_view caller, absl::string_view transport);

  // What a caller signs: `countersign-yubikey-session/v1`, a zero byte, its name, a zero byte, the
  // challenge.
  static std::string Message(absl::string_view caller, absl::string_view challenge);

 private:
  // The hash of challenge, caller and transport.
  using Key = std::array<uint8_t, 32>;

  static Key KeyOf(absl::string_view challenge, absl::string_view caller,
                   absl::string_view transport);

  const Options options_;
  base::Mutex mutex_;
  absl::flat_hash_map<Key, absl::Time> made_ ABSL_GUARDED_BY(mutex_);  // when each was made
  // Every challenge in order of its making, those that were used included until their turn comes.
  std::deque<Key> order_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CHALLENGES_H_
