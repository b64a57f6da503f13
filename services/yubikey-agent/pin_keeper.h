// The PIN of one card, while the agent holds it.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PIN_KEEPER_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PIN_KEEPER_H_

#include <optional>

#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/locked_secret.h"
#include "libs/crypto/secret.h"
#include "services/yubikey-agent/deadline.h"

namespace countersign::yubikey {

// Holds at most one PIN, in locked memory, until it is told to forget it or `idle` has passed since
// the last use. Thread-safe.
class PinKeeper {
 public:
  // `clock` must outlive it.
  PinKeeper(const base::Clock* clock, absl::Duration idle);

  void Hold(crypto::LockedSecret pin);
  void Forget();

  bool held() const;
  // Whether `pin` is the one that is held.
  bool Holds(const crypto::SecretBytes& pin) const;
  // A copy to hand to the card; nullopt when none is held. Counts as a use.
  std::optional<crypto::SecretBytes> Use();
  // Counts as a use of the PIN that the card has verified already; false when none is held.
  bool Touch();

  // Forgets a PIN that was not used for `idle`; true when it did.
  bool ForgetIdle();
  // How long it is until ForgetIdle would; infinite while none is held.
  absl::Duration IdleIn() const;

 private:
  bool HeldLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const base::Clock* const clock_;
  const absl::Duration idle_;
  mutable base::Mutex mutex_;
  crypto::LockedSecret pin_ ABSL_GUARDED_BY(mutex_);
  Deadline forget_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PIN_KEEPER_H_
