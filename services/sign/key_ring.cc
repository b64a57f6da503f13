#include "services/sign/key_ring.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/sign/card_signer.h"
#include "services/sign/errors.h"

namespace countersign::sign {

KeyRing::KeyRing(KeyStore* store, base::ThreadPool* executor, const Options& options)
    : store_(store),
      executor_(executor),
      cache_({.capacity = options.capacity,
              .ttl = options.ttl,
              .clock = options.clock,
              .shards = options.shards}) {
  store_->OnChange([this](const KeyName& name) { Forget(name); });
}

KeyRing::KeyRing(KeyStore* store, base::ThreadPool* executor)
    : KeyRing(store, executor, Options()) {}

std::shared_ptr<const LiveKey> KeyRing::Find(const std::string& name) {
  return cache_.Get(name).value_or(nullptr);
}

absl::StatusOr<std::shared_ptr<const LiveKey>> KeyRing::Load(const std::string& name) {
  if (auto found = Find(name)) return found;
  ASSIGN_OR_RETURN(const KeyName parsed, ParseKeyName("name", name, Want::kKeyOrVersion));
  uint64_t changes;
  {
    base::MutexLock lock(&mutex_);
    changes = changes_;
  }
  ASSIGN_OR_RETURN(KeyStore::LoadedKey loaded, store_->Load(parsed));
  auto live = std::make_shared<LiveKey>(LiveKey{.version = loaded.version.ToString(),
                                                .tenant = loaded.version.tenant,
                                                .algorithm = loaded.algorithm,
                                                .public_key = loaded.public_key});
  if (!loaded.card_key.empty()) {
    if (store_->cards() == nullptr) {
      return PreconditionError(kNoYubikeyAgent,
                               absl::StrCat(live->version,
                                            " is on a card, and this service has no YubiKey agent "
                                            "configured; start it with --yubikey-agent"));
    }
    live->signer = std::make_unique<CardSigner>(store_->cards(), loaded.card_key, live->algorithm,
                                                live->public_key, executor_);
  } else {
    live->key = std::make_shared<const crypto::PrivateKey>(*std::move(loaded.key));
    if (crypto::CanSign(live->algorithm)) {
      live->signer = std::make_unique<SoftwareSigner>(live->key, executor_);
    }
  }
  {
    base::MutexLock lock(&mutex_);
    if (changes == changes_) cache_.Put(name, live);
  }
  return std::shared_ptr<const LiveKey>(std::move(live));
}

std::shared_ptr<const LiveKey> KeyRing::Wrap(std::shared_ptr<const crypto::PrivateKey> key) const {
  auto live = std::make_shared<LiveKey>(
      LiveKey{.algorithm = key->algorithm(), .public_key = key->public_key(), .key = key});
  if (crypto::CanSign(live->algorithm)) {
    live->signer = std::make_unique<SoftwareSigner>(std::move(key), executor_);
  }
  return live;
}

void KeyRing::Forget(const KeyName& name) {
  base::MutexLock lock(&mutex_);
  ++changes_;
  cache_.Erase(name.WithVersion(0).ToString());
  if (name.version != 0) cache_.Erase(name.ToString());
}

}  // namespace countersign::sign
