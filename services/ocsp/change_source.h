// Reads the sign service's database into Responses: all of it at the start, then what changes.
//
// Changes bear numbers that are given under the lock of the row in ocsp_head, so that they become
// visible in the order of their numbers: what is above the last number seen is all that is new. One
// statement a second asks for the head, for what identifies the state of the small tables, and for
// the changed records, all at once.
#ifndef COUNTERSIGN_SERVICES_OCSP_CHANGE_SOURCE_H_
#define COUNTERSIGN_SERVICES_OCSP_CHANGE_SOURCE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/aead.h"
#include "libs/storage/database.h"
#include "services/ocsp/responses.h"

namespace countersign::ocsp {

// Thread-safe. Works on a thread of its own. While the database cannot be read, Responses keeps
// what it has and reading is tried again, after 50 ms, then twice as long each time, at most
// `max_back_off`.
class ChangeSource {
 public:
  struct Options {
    // Opens the database; called until it succeeds.
    std::function<absl::StatusOr<std::unique_ptr<storage::Database>>()> open;
    // Opens the signers' keys.
    const crypto::Kek* kek;
    Responses* responses;
    const base::Clock* clock = base::Clock::System();
    absl::Duration interval = absl::Seconds(1);
    absl::Duration max_back_off = absl::Milliseconds(500);
    // Told how long a query took, and of what type it was: "load", "poll", "directory", "crl".
    std::function<void(absl::string_view type, absl::Duration took)> on_query = [](auto, auto) {};
  };

  // What `options` points to must outlive it.
  explicit ChangeSource(Options options);
  // Answers those who wait with Unavailable.
  ~ChangeSource();
  ChangeSource(const ChangeSource&) = delete;
  ChangeSource& operator=(const ChangeSource&) = delete;

  // Calls `done` once, with the last change's number, when everything up to `change_number` (0:
  // what is in the database at the call) is in Responses. Those who wait at the same time share a
  // query. Unavailable when the database cannot be read; OutOfRange when it holds no such change.
  using Done = std::function<void(absl::StatusOr<int64_t> change_number)>;
  void Refresh(int64_t change_number, Done done);

  // Queries so far, failed ones included; and how many readings failed.
  int64_t queries() const { return queries_; }
  int64_t failures() const { return failures_; }

  // Something that differs when a CRL was published since.
  int64_t crl_version() const { return crl_version_; }
  // The newest CRL of a shard, DER. NotFound when there is none. Blocks on the database.
  absl::StatusOr<std::string> ReadCrl(int64_t authority_id, int64_t shard);

 private:
  struct Waiter {
    int64_t change_number;
    Done done;
  };
  // What the small tables looked like: counts and sums of each.
  using Fingerprint = std::array<int64_t, 4>;

  void Work();
  // Reads all that is new, or everything the first time.
  absl::Status Read();
  absl::Status Load(storage::Database& database);
  // One page; sets `*more` when there may be another one.
  absl::Status Poll(storage::Database& database, bool* more);
  absl::Status ReadDirectory(storage::Transaction& transaction, const Fingerprint& fingerprint);
  void Answer(std::vector<Waiter> waiters, const absl::Status& read);
  absl::Status Timed(absl::string_view type, std::function<absl::Status()> function);
  std::shared_ptr<storage::Database> database() const;

  const Options options_;
  std::atomic<int64_t> queries_{0};
  std::atomic<int64_t> failures_{0};
  std::atomic<int64_t> crl_version_{0};
  // The working thread's.
  int64_t last_change_ = 0;
  bool loaded_ = false;
  Fingerprint fingerprint_{};

  mutable base::Mutex mutex_;
  base::CondVar wake_;
  std::shared_ptr<storage::Database> database_ ABSL_GUARDED_BY(mutex_);
  std::vector<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  int64_t awaited_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace countersign::ocsp

#endif  // COUNTERSIGN_SERVICES_OCSP_CHANGE_SOURCE_H_
