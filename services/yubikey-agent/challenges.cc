#include "services/yubikey-agent/challenges.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/random.h"

namespace countersign::yubikey {
namespace {

constexpr size_t kChallengeBytes = 32;
constexpr absl::string_view kContext("countersign-yubikey-session/v1\0", 31);
constexpr absl::string_view kZero("\0", 1);

}  // namespace

std::string Challenges::Message(absl::string_view caller, absl::string_view challenge) {
  return absl::StrCat(kContext, caller, kZero, challenge);
}

Challenges::Key Challenges::KeyOf(absl::string_view challenge, absl::string_view caller,
                                  absl::string_view transport) {
  return crypto::Sha256Parts({challenge, caller, kZero, transport});
}

Challenges::Challenge Challenges::Create(absl::string_view caller, absl::string_view transport) {
  Challenge challenge;
  challenge.bytes = crypto::RandomBytes(kChallengeBytes);
  const absl::Time now = options_.clock->Now();
  challenge.expire_time = now + options_.lifetime;
  const Key key = KeyOf(challenge.bytes, caller, transport);
  base::MutexLock lock(&mutex_);
  while (!order_.empty()) {
    const auto first = made_.find(order_.front());
    const bool gone = first == made_.end() || now - first->second >= options_.lifetime;
    if (!gone && order_.size() < options_.capacity) break;
    if (first != made_.end()) made_.erase(first);
    order_.pop_front();
  }
  made_[key] = now;
  order_.push_back(key);
  return challenge;
}

bool Challenges::Use(absl::string_view challenge, absl::string_view caller,
                     absl::string_view transport) {
  if (challenge.size() != kChallengeBytes) return false;
  const Key key = KeyOf(challenge, caller, transport);
  const absl::Time now = options_.clock->Now();
  base::MutexLock lock(&mutex_);
  const auto it = made_.find(key);
  if (it == made_.end()) return false;
  const absl::Time made = it->second;
  made_.erase(it);
  return made <= now && now - made < options_.lifetime;
}

}  // namespace countersign::yubikey
