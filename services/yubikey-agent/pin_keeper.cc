#include "services/yubikey-agent/pin_keeper.h"

#include <utility>

namespace countersign::yubikey {

PinKeeper::PinKeeper(const base::Clock* clock, absl::Duration idle)
    : clock_(clock), idle_(idle), forget_at_(*clock, absl::InfiniteFuture()) {}

void PinKeeper::Hold(crypto::LockedSecret pin) {
  base::MutexLock lock(&mutex_);
  pin_ = std::move(pin);
  forget_at_ = Deadline::After(*clock_, idle_);
}

void PinKeeper::Forget() {
  base::MutexLock lock(&mutex_);
  pin_ = crypto::LockedSecret();
}

bool PinKeeper::HeldLocked() const { return !pin_.empty() && !forget_at_.Passed(*clock_); }

bool PinKeeper::held() const {
  base::MutexLock lock(&mutex_);
  return HeldLocked();
}

bool PinKeeper::Holds(const crypto::SecretBytes& pin) const {
  base::MutexLock lock(&mutex_);
  return HeldLocked() && pin_.Equals(pin);
}

std::optional<crypto::SecretBytes> PinKeeper::Use() {
  base::MutexLock lock(&mutex_);
  if (!HeldLocked()) return std::nullopt;
  forget_at_ = Deadline::After(*clock_, idle_);
  return pin_.Copy();
}

bool PinKeeper::Touch() {
  base::MutexLock lock(&mutex_);
  if (!HeldLocked()) return false;
  forget_at_ = Deadline::After(*clock_, idle_);
  return true;
}

bool PinKeeper::ForgetIdle() {
  base::MutexLock lock(&mutex_);
  if (pin_.empty() || !forget_at_.Passed(*clock_)) return false;
  pin_ = crypto::LockedSecret();
  return true;
}

absl::Duration PinKeeper::IdleIn() const {
  base::MutexLock lock(&mutex_);
  return pin_.empty() ? absl::InfiniteDuration() : forget_at_.Left(*clock_);
}

}  // namespace countersign::yubikey
