// What a responder knows: the authorities, the records, and how fresh they are.
#ifndef COUNTERSIGN_SERVICES_OCSP_RESPONSES_H_
#define COUNTERSIGN_SERVICES_OCSP_RESPONSES_H_

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "libs/base/rcu.h"
#include "services/ocsp/directory.h"
#include "services/ocsp/response_index.h"

namespace countersign::ocsp {

// Thread-safe. ChangeSource fills it, Resigner renews it, Responder answers from it.
class Responses {
 public:
  // Beyond this age of what was read last, a serial number that is not here may have been issued.
  static constexpr absl::Duration kFreshFor = absl::Seconds(3);
  // How long after its expiry a certificate is still answered for.
  static constexpr absl::Duration kKeptAfterExpiry = absl::Hours(24);

  Responses();
  ~Responses();
  Responses(const Responses&) = delete;
  Responses& operator=(const Responses&) = delete;

  const base::Rcu& rcu() const { return rcu_; }
  ResponseIndex& index() { return index_; }
  const ResponseIndex& index() const { return index_; }

  // Valid while `lock`, on rcu(), lives. Never null.
  const Directory& directory(const base::Rcu::ReadLock& lock) const { return *directory_.load(); }
  // For longer.
  std::shared_ptr<const Directory> directory() const;
  // Not to be called under a ReadLock.
  void SetDirectory(std::shared_ptr<const Directory> directory);

  // Notes that everything up to `change_number` is here, as of `time`, when the database was asked.
  void Synchronised(int64_t change_number, absl::Time time);
  // Whether that has happened at all, the last change's number, and the last time.
  bool loaded() const { return loaded_.load(std::memory_order_acquire); }
  int64_t change_number() const { return change_number_.load(std::memory_order_acquire); }
  absl::Time sync_time() const;

  // Notes that a change is known to be in the database; 0 for none.
  void SetAwaited(int64_t change_number) { awaited_ = change_number; }

  // Whether what is not here was not there either, within kFreshFor of `now`.
  bool Fresh(absl::Time now) const;

 private:
  base::Rcu rcu_;
  ResponseIndex index_{&rcu_};
  std::atomic<const Directory*> directory_;
  std::atomic<bool> loaded_{false};
  std::atomic<int64_t> change_number_{0};
  std::atomic<int64_t> sync_time_us_{0};
  std::atomic<int64_t> awaited_{0};
  mutable base::Mutex mutex_;
  std::shared_ptr<const Directory> owned_directory_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_RESPONSES_H_
