#include "services/yubikey-agent/sessions.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"

namespace countersign::yubikey {
namespace {

constexpr size_t kShards = 64;
constexpr size_t kTokenBytes = 32;
constexpr size_t kTokenCharacters = 43;
// How far the clock may go back before sessions are looked through: threads that read it at the
// same time differ by less.
constexpr absl::Duration kClockSlack = absl::Seconds(1);
// How often expired sessions that nobody asks for are dropped.
constexpr absl::Duration kSweepInterval = absl::Minutes(1);

// The SHA-256 of a token: as good as random, so that any of its bytes are a hash.
using Key = std::array<uint8_t, 32>;

struct KeyHash {
  size_t operator()(const Key& key) const {
    size_t hash;
    std::memcpy(&hash, key.data(), sizeof hash);
    return hash;
  }
};

absl::Status Invalid() {
  return runtime::AttachReason(absl::UnauthenticatedError("the call needs an open session's token"),
                               "SESSION_INVALID");
}

}  // namespace

class Sessions::Impl {
 public:
  explicit Impl(const Options& options) : options_(options) {}

  std::string Open(Session session);
  absl::StatusOr<std::shared_ptr<const Session>> Find(absl::string_view token,
                                                      absl::string_view transport);
  void Close(absl::string_view token, absl::string_view transport);
  int64_t Revoke(absl::string_view caller);
  Stats stats() const;

 private:
  struct Entry {
    std::shared_ptr<const Session> session;
    uint64_t number;
  };
  struct Shard {
    mutable base::Mutex mutex;
    absl::flat_hash_map<Key, Entry, KeyHash> sessions ABSL_GUARDED_BY(mutex);
    // The same sessions by the number that Open gave them: the oldest first.
    std::map<uint64_t, Key> order ABSL_GUARDED_BY(mutex);

    void Remove(absl::flat_hash_map<Key, Entry, KeyHash>::iterator it)
        ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      order.erase(it->second.number);
      sessions.erase(it);
    }
    // Removes those for which `condition` holds; returns how many.
    template <typename Condition>
    int64_t RemoveIf(Condition condition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
      int64_t removed = 0;
      for (auto it = sessions.begin(); it != sessions.end();) {
        const auto here = it++;
        if (!condition(*here->second.session)) continue;
        Remove(here);
        ++removed;
      }
      return removed;
    }
  };

  Shard& ShardOf(const Key& key) { return shards_[key[31] % kShards]; }
  // The time by the clock, never earlier than another thread has seen it, but for a clock that was
  // set back.
  absl::Time Now();
  void SetBack(absl::Time from, absl::Time to);
  void Sweep(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(open_mutex_);
  void EvictOldest() ABSL_EXCLUSIVE_LOCKS_REQUIRED(open_mutex_);

  const Options options_;
  std::array<Shard, kShards> shards_;
  std::atomic<int64_t> latest_{absl::ToUnixNanos(absl::UnixEpoch())};
  std::atomic<uint64_t> open_{0};
  std::atomic<uint64_t> opened_{0};
  std::atomic<uint64_t> refused_{0};
  std::atomic<uint64_t> evicted_{0};

  base::Mutex set_back_mutex_;
  // One Open at a time, so that what is evicted is the oldest of all shards. Taken before a
  // shard's.
  base::Mutex open_mutex_;
  uint64_t next_number_ ABSL_GUARDED_BY(open_mutex_) = 1;
  absl::Time next_sweep_ ABSL_GUARDED_BY(open_mutex_) = absl::InfinitePast();
  // Each caller's last scope, which its next session shares when it is the same.
  absl::flat_hash_map<std::string, std::weak_ptr<const Scope>> scopes_ ABSL_GUARDED_BY(open_mutex_);
};

absl::Time Sessions::Impl::Now() {
  const absl::Time now = options_.clock->Now();
  const int64_t nanos = absl::ToUnixNanos(now);
  int64_t latest = latest_.load();
  while (latest < nanos) {
    if (latest_.compare_exchange_weak(latest, nanos)) return now;
  }
  const absl::Time seen = absl::FromUnixNanos(latest);
  if (seen - now <= kClockSlack) return seen;
  SetBack(seen, now);
  return now;
}

// What had expired by the old time goes, and what was opened in a future that is none any more
// lasts no longer than its lifetime from now.
void Sessions::Impl::SetBack(absl::Time from, absl::Time to) {
  base::MutexLock one_at_a_time(&set_back_mutex_);
  if (absl::ToUnixNanos(from) != latest_.load()) return;
  for (Shard& shard : shards_) {
    base::MutexLock lock(&shard.mutex);
    open_ -= shard.RemoveIf([from](const Session& s) { return s.expire_time <= from; });
    for (auto& [key, entry] : shard.sessions) {
      const absl::Duration lifetime = entry.session->expire_time - entry.session->create_time;
      if (to + lifetime >= entry.session->expire_time) continue;
      auto shortened = std::make_shared<Session>(*entry.session);
      shortened->create_time = to;
      shortened->expire_time = to + lifetime;
      entry.session = std::move(shortened);
    }
  }
  latest_ = absl::ToUnixNanos(to);
}

void Sessions::Impl::Sweep(absl::Time now) {
  if (now < next_sweep_ && next_sweep_ - now <= kSweepInterval) return;
  next_sweep_ = now + kSweepInterval;
  for (Shard& shard : shards_) {
    base::MutexLock lock(&shard.mutex);
    open_ -= shard.RemoveIf([now](const Session& s) { return s.expire_time <= now; });
  }
  absl::erase_if(scopes_, [](const auto& scope) { return scope.second.expired(); });
}

void Sessions::Impl::EvictOldest() {
  Shard* oldest = nullptr;
  uint64_t number = next_number_;
  for (Shard& shard : shards_) {
    base::MutexLock lock(&shard.mutex);
    if (shard.order.empty() || shard.order.begin()->first >= number) continue;
    number = shard.order.begin()->first;
    oldest = &shard;
  }
  if (oldest == nullptr) return;
  base::MutexLock lock(&oldest->mutex);
  // It may have been closed meanwhile, which makes room as well.
  const auto first = oldest->order.find(number);
  if (first == oldest->order.end()) return;
  oldest->Remove(oldest->sessions.find(first->second));
  --open_;
  ++evicted_;
}

std::string Sessions::Impl::Open(Session session) {
  const std::string token = absl::WebSafeBase64Escape(crypto::RandomBytes(kTokenBytes));
  const Key key = crypto::Sha256(token);
  const absl::Time now = Now();
  base::MutexLock open(&open_mutex_);
  Sweep(now);
  std::weak_ptr<const Scope>& last = scopes_[session.caller];
  if (const std::shared_ptr<const Scope> shared = last.lock();
      shared != nullptr && shared->operations == session.scope->operations &&
      shared->names == session.scope->names) {
    session.scope = shared;
  } else {
    last = session.scope;
  }
  while (open_ >= std::max<size_t>(options_.capacity, 1)) EvictOldest();
  const uint64_t number = next_number_++;
  Shard& shard = ShardOf(key);
  base::MutexLock lock(&shard.mutex);
  shard.sessions.emplace(key, Entry{std::make_shared<Session>(std::move(session)), number});
  shard.order.emplace(number, key);
  ++open_;
  ++opened_;
  return token;
}

absl::StatusOr<std::shared_ptr<const Session>> Sessions::Impl::Find(absl::string_view token,
                                                                    absl::string_view transport) {
  std::shared_ptr<const Session> found;
  if (token.size() == kTokenCharacters) {
    const Key key = crypto::Sha256(token);
    const absl::Time now = Now();
    Shard& shard = ShardOf(key);
    base::MutexLock lock(&shard.mutex);
    const auto it = shard.sessions.find(key);
    if (it != shard.sessions.end()) {
      if (it->second.session->expire_time <= now) {
        shard.Remove(it);
        --open_;
      } else if (it->second.session->transport == transport) {
        found = it->second.session;
      }
    }
  }
  if (found == nullptr) {
    ++refused_;
    return Invalid();
  }
  return found;
}

void Sessions::Impl::Close(absl::string_view token, absl::string_view transport) {
  const Key key = crypto::Sha256(token);
  Shard& shard = ShardOf(key);
  base::MutexLock lock(&shard.mutex);
  const auto it = shard.sessions.find(key);
  if (it == shard.sessions.end() || it->second.session->transport != transport) return;
  shard.Remove(it);
  --open_;
}

int64_t Sessions::Impl::Revoke(absl::string_view caller) {
  const bool all = caller == "*";
  int64_t revoked = 0;
  for (Shard& shard : shards_) {
    base::MutexLock lock(&shard.mutex);
    revoked += shard.RemoveIf([&](const Session& s) { return all || s.caller == caller; });
  }
  open_ -= revoked;
  return revoked;
}

Sessions::Stats Sessions::Impl::stats() const {
  return {.open = open_, .opened = opened_, .refused = refused_, .evicted = evicted_};
}

Sessions::Sessions(const Options& options) : impl_(std::make_unique<Impl>(options)) {}

Sessions::~Sessions() = default;

std::string Sessions::Open(Session session) { return impl_->Open(std::move(session)); }

absl::StatusOr<std::shared_ptr<const Session>> Sessions::Find(absl::string_view token,
                                                              absl::string_view transport) {
  return impl_->Find(token, transport);
}

absl::Status Sessions::Check(absl::string_view token, absl::string_view transport,
                             Operation operation, absl::string_view name) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const Session> session, Find(token, transport));
  if (session->scope->Has(operation) && session->scope->Covers(name)) return absl::OkStatus();
  return runtime::AttachReason(
      absl::PermissionDeniedError(absl::StrCat("the session does not cover this use of ", name)),
      "NOT_IN_SCOPE");
}

void Sessions::Close(absl::string_view token, absl::string_view transport) {
  impl_->Close(token, transport);
}

int64_t Sessions::Revoke(absl::string_view caller) { return impl_->Revoke(caller); }

Sessions::Stats Sessions::stats() const { return impl_->stats(); }

}  // namespace countersign::yubikey
