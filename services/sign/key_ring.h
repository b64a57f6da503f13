// Keys in use: loaded once, kept opened in memory, forgotten when they change.
#ifndef COUNTERSIGN_SERVICES_SIGN_KEY_RING_H_
#define COUNTERSIGN_SERVICES_SIGN_KEY_RING_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/cache/lru_cache.h"
#include "services/sign/key_store.h"
#include "services/sign/signer.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// An enabled key version, ready for use. Immutable and thread-safe.
struct LiveKey {
  std::string version;  // resource name
  std::string tenant;
  crypto::Algorithm algorithm;
  crypto::PublicKey public_key;
  std::shared_ptr<const crypto::PrivateKey> key;  // null for keys on cards
  std::unique_ptr<Signer> signer;                 // null for keys that encrypt
};

// A bounded cache over a KeyStore. Thread-safe.
//
// A change that this process makes (rotate, disable, destroy) is in force when the method that made
// it returns; one that another process made on the same database, when the entry's hour is over.
class KeyRing {
 public:
  struct Options {
    uint64_t capacity = 10000;
    absl::Duration ttl = absl::Hours(1);
    const base::Clock* clock = base::Clock::System();
    int shards = 16;
  };

  // Becomes the store's change listener. `store` and `executor` must outlive it.
  KeyRing(KeyStore* store, base::ThreadPool* executor, const Options& options);
  KeyRing(KeyStore* store, base::ThreadPool* executor);

  // The key or version of this resource name when it is cached, else null. Never blocks.
  std::shared_ptr<const LiveKey> Find(const std::string& name);

  // The same, read from the database when it is not cached. Blocks. Errors as KeyStore::Load,
  // InvalidArgument for a malformed name, and FailedPrecondition with reason NO_YUBIKEY_AGENT for a
  // key on a card when there is no agent. (Whether the card is there shows when it is to sign.)
  absl::StatusOr<std::shared_ptr<const LiveKey>> Load(const std::string& name);

  // `key`, which is in no database yet, for use as others are. It has no name.
  std::shared_ptr<const LiveKey> Wrap(std::shared_ptr<const crypto::PrivateKey> key) const;

  cache::LruCache<std::string, std::shared_ptr<const LiveKey>>::Stats stats() const {
    return cache_.stats();
  }

 private:
  void Forget(const KeyName& name);

  KeyStore* const store_;
  base::ThreadPool* const executor_;
  cache::LruCache<std::string, std::shared_ptr<const LiveKey>> cache_;
  // Guards the order of Put and Forget: what was read before a change is not put after it.
  base::Mutex mutex_;
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_KEY_RING_H_
