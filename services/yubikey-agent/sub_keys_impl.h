// What SubKeys holds, for its two files alone: use in sub_keys.cc, upkeep in sub_keys_upkeep.cc.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_IMPL_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_IMPL_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "libs/base/mutex.h"
#include "libs/runtime/metrics.h"
#include "services/yubikey-agent/sub_keys.h"

namespace countersign::yubikey {

// How often the inventory is asked of a certificate.
inline constexpr absl::Duration kInventoryInterval = absl::Minutes(1);

class SubKeys::Impl {
 public:
  explicit Impl(const Options& options);
  ~Impl();

  void Create(SubKeySpec spec, absl::Time deadline, Done done);
  absl::StatusOr<SubKeyInfo> Get(absl::string_view id) const;
  std::vector<SubKeyInfo> List() const;
  void Revoke(absl::string_view id, absl::Time deadline, Done done);
  absl::StatusOr<std::shared_ptr<const SubKeyGeneration>> Take(absl::string_view id, Use use,
                                                               int64_t count);
  absl::StatusOr<std::string> Decrypt(absl::string_view id, absl::string_view enc,
                                      absl::string_view info, absl::string_view aad,
                                      absl::string_view ciphertext);
  void Upkeep();

 private:
  using Generation = std::shared_ptr<SubKeyGeneration>;

  // When something that failed is tried again.
  struct Retry {
    int failures = 0;
    absl::Time next = absl::InfinitePast();

    // Whether it is time; also when the clock was set back since.
    bool Due(absl::Time now) const;
    void Failed(absl::Time now);
    void Succeeded() { *this = Retry(); }
  };

  // A generation, and what the inventory is known to say of it.
  struct Issued {
    Generation generation;
    bool revoked = false;  // in the inventory
    bool on_hold = false;
    absl::Time next_check = absl::InfinitePast();
  };

  struct Entry {
    explicit Entry(SubKeySpec what) : spec(std::move(what)) {}

    const SubKeySpec spec;

    mutable base::Mutex mutex;
    // Newest first; empty until the first is certified. The others have not expired.
    std::vector<Issued> issued ABSL_GUARDED_BY(mutex);
    absl::Time create_time ABSL_GUARDED_BY(mutex);
    bool revoked ABSL_GUARDED_BY(mutex) = false;
    bool renewing ABSL_GUARDED_BY(mutex) = false;
    bool telling ABSL_GUARDED_BY(mutex) = false;  // the inventory, of the revocation
    Retry renewal ABSL_GUARDED_BY(mutex);
    // When a renewal may be tried again that would have brought nothing.
    absl::Time not_renewed_before ABSL_GUARDED_BY(mutex) = absl::InfinitePast();
    Retry telling_retry ABSL_GUARDED_BY(mutex);

    SubKeyInfo Info() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    // Names in the inventory of what is to be revoked there.
    std::vector<std::string> Untold() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    void SetRevoked(const std::string& inventory_name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    bool RenewalDue(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
    // Whether nobody can use it any more, and nothing is left to be done about it.
    bool Ended(absl::Time now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  };
  using EntryPtr = std::shared_ptr<Entry>;

  // Counts what is under way. Callbacks own it, so that the last one may end after this object.
  struct Pending {
    base::Mutex mutex;
    base::CondVar none;
    int count ABSL_GUARDED_BY(mutex) = 0;
  };
  // One of them: held by a callback until it has ended.
  std::shared_ptr<void> Begin();

  EntryPtr Find(absl::string_view id) const;
  std::vector<EntryPtr> All() const;
  // Whether one more fits, after those that have ended were dropped as far as needed.
  bool MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Created(const EntryPtr& entry, std::shared_ptr<crypto::PrivateKey> key,
               absl::StatusOr<SubKeyCertificates> certificates, const Done& done);
  // Has names revoked in the inventory; `done` gets the first failure.
  void Tell(const EntryPtr& entry, std::vector<std::string> names, absl::Time deadline,
            std::function<void(absl::Status)> done);

  // sub_keys_upkeep.cc
  void Run();
  void Wake();
  void Renew(const EntryPtr& entry);
  void Renewed(const EntryPtr& entry, std::shared_ptr<crypto::PrivateKey> key, int64_t number,
               absl::StatusOr<SubKeyCertificates> certificates);
  void CheckInventory(const EntryPtr& entry, absl::Time now);
  void Checked(const EntryPtr& entry, const std::string& name,
               absl::StatusOr<SubKeyAuthority::State> state);
  void TellAgain(const EntryPtr& entry, absl::Time now);
  void DropEnded(absl::Time now);

  const Options options_;
  const std::shared_ptr<Pending> pending_ = std::make_shared<Pending>();
  // Where the counts go when nobody asks for them.
  std::unique_ptr<runtime::Metrics> own_metrics_;
  runtime::Counter* certified_;
  runtime::Counter* certification_failures_;
  runtime::Counter* inventory_failures_;
  runtime::Gauge* held_;
  std::atomic<int> renewals_{0};

  mutable base::Mutex mutex_;  // taken before an entry's
  absl::flat_hash_map<std::string, EntryPtr> entries_ ABSL_GUARDED_BY(mutex_);

  base::Mutex thread_mutex_;
  base::CondVar wake_;
  bool woken_ ABSL_GUARDED_BY(thread_mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(thread_mutex_) = false;
  std::thread thread_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SUB_KEYS_IMPL_H_
