// Cards in memory, for tests.
#ifndef COUNTERSIGN_SERVICES_SIGN_FAKE_CARDS_H_
#define COUNTERSIGN_SERVICES_SIGN_FAKE_CARDS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "libs/base/mutex.h"
#include "libs/crypto/private_key.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"
#include "services/sign/card_client.h"

namespace countersign::sign {

// As the agent's answers look.
inline absl::Status CardFailure(absl::StatusCode code, absl::string_view reason) {
  return runtime::AttachReason(absl::Status(code, absl::StrCat("yubikey-agent: ", reason)), reason);
}
inline absl::Status CardRemoved() {
  return CardFailure(absl::StatusCode::kUnavailable, "CARD_REMOVED");
}
inline absl::Status PinNeeded() {
  return CardFailure(absl::StatusCode::kFailedPrecondition, "PIN_NEEDED");
}
inline absl::Status QueueFull() {
  return runtime::AttachRetryAfter(CardFailure(absl::StatusCode::kResourceExhausted, "QUEUE_FULL"),
                                   absl::Seconds(2));
}

// Software keys in slots. Signs on the calling thread, or, while held, when it is let. Thread-safe.
class FakeCards : public CardClient {
 public:
  ~FakeCards() override { Release(); }

  // Puts a key into a slot; its name, `keys/{fingerprint}`.
  std::string Insert(const std::string& slot, crypto::Algorithm algorithm) {
    auto key = std::make_shared<const crypto::PrivateKey>(
        testing::RequireOk(crypto::PrivateKey::Generate(algorithm)));
    const std::string name = absl::StrCat("keys/", key->public_key().Fingerprint());
    base::MutexLock lock(&mutex_);
    keys_[slot] = keys_[name] = std::move(key);
    return name;
  }

  // Every call fails so until it is OK.
  void FailWith(absl::Status status) {
    base::MutexLock lock(&mutex_);
    failure_ = std::move(status);
  }
  // The `n`th signature from now, 1 for the next, fails so.
  void FailSignature(int n, absl::Status status) {
    base::MutexLock lock(&mutex_);
    failing_ = signatures_ + n;
    one_failure_ = std::move(status);
  }
  // Signs with another key than it says.
  void Spoil() {
    base::MutexLock lock(&mutex_);
    spoilt_ = true;
  }

  // Keeps signatures back, until Release.
  void Hold() {
    base::MutexLock lock(&mutex_);
    held_ = true;
  }
  // Answers what was held, in order, and all later at once.
  void Release() {
    std::vector<std::function<void()>> answers;
    {
      base::MutexLock lock(&mutex_);
      held_ = false;
      answers.swap(answers_);
    }
    for (const auto& answer : answers) answer();
  }
  size_t held() const {
    base::MutexLock lock(&mutex_);
    return answers_.size();
  }

  int signatures() const {
    base::MutexLock lock(&mutex_);
    return signatures_;
  }
  int generated() const {
    base::MutexLock lock(&mutex_);
    return generated_;
  }

  absl::StatusOr<CardKey> Describe(const std::string& name) override {
    base::MutexLock lock(&mutex_);
    if (!failure_.ok()) return failure_;
    const auto found = keys_.find(name);
    if (found == keys_.end()) {
      return absl::NotFoundError(absl::StrCat("yubikey-agent: no such key: ", name));
    }
    return KeyOf(*found->second);
  }

  absl::StatusOr<CardKey> Generate(const std::string& slot, crypto::Algorithm algorithm) override {
    {
      base::MutexLock lock(&mutex_);
      if (!failure_.ok()) return failure_;
      if (keys_.count(slot) != 0) {
        return CardFailure(absl::StatusCode::kFailedPrecondition, "SLOT_IN_USE");
      }
      ++generated_;
    }
    return Describe(Insert(slot, algorithm));
  }

  void Sign(const std::string& key, crypto::Algorithm algorithm, std::string digest, Call call,
            SignDone done) override {
    absl::StatusOr<std::string> signature = absl::NotFoundError("yubikey-agent: no such key");
    {
      base::MutexLock lock(&mutex_);
      ++signatures_;
      const auto found = keys_.find(key);
      if (!failure_.ok()) {
        signature = failure_;
      } else if (signatures_ == failing_) {
        signature = one_failure_;
      } else if (found != keys_.end()) {
        signature = SignAs(*found->second, algorithm, spoilt_ ? digest + "x" : digest, spoilt_);
      }
      if (held_) {
        answers_.push_back([done = std::move(done), signature] { done(signature); });
        return;
      }
    }
    done(std::move(signature));
  }

 private:
  static CardKey KeyOf(const crypto::PrivateKey& key) {
    return {absl::StrCat("keys/", key.public_key().Fingerprint()), key.algorithm(),
            key.public_key()};
  }

  static absl::StatusOr<std::string> SignAs(const crypto::PrivateKey& key,
                                            crypto::Algorithm algorithm, const std::string& input,
                                            bool spoilt) {
    if (algorithm == crypto::Algorithm::kEd25519 || spoilt) return key.SignMessage(input);
    if (algorithm == key.algorithm()) return key.SignDigest(input);
    // RSA: one key, two paddings.
    auto pkcs8 = key.ToPkcs8();
    if (!pkcs8.ok()) return pkcs8.status();
    auto other = crypto::PrivateKey::FromPkcs8(*pkcs8, algorithm);
    if (!other.ok()) return other.status();
    return other->SignDigest(input);
  }

  mutable base::Mutex mutex_;
  std::map<std::string, std::shared_ptr<const crypto::PrivateKey>> keys_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  absl::Status one_failure_ ABSL_GUARDED_BY(mutex_);
  int failing_ ABSL_GUARDED_BY(mutex_) = -1;
  bool spoilt_ ABSL_GUARDED_BY(mutex_) = false;
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::function<void()>> answers_ ABSL_GUARDED_BY(mutex_);
  int signatures_ ABSL_GUARDED_BY(mutex_) = 0;
  int generated_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_FAKE_CARDS_H_
