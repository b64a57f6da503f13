// The connections of one PostgreSQL server.
#ifndef COUNTERSIGN_LIBS_STORAGE_POSTGRES_POOL_H_
#define COUNTERSIGN_LIBS_STORAGE_POSTGRES_POOL_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "libs/storage/database.h"
#include "libs/storage/postgres_connection.h"

namespace countersign::storage {

// Thread-safe. Callers that wait are served in the order they came.
class PostgresPool {
 private:
  struct Pooled {
    std::unique_ptr<PostgresConnection> connection;
    absl::Time expires;
    absl::Time rested_since;
    // To be checked before use, however short its rest.
    bool suspect = false;
  };

 public:
  // A connection in use; goes back to the pool, which must outlive it, unless it was lost.
  class Lease {
   public:
    Lease(Lease&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), pooled_(std::move(other.pooled_)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (pool_ != nullptr) pool_->Return(std::move(pooled_));
    }
    PostgresConnection* operator->() const { return pooled_.connection.get(); }

   private:
    friend class PostgresPool;
    Lease(PostgresPool* pool, Pooled pooled) : pool_(pool), pooled_(std::move(pooled)) {}
    PostgresPool* pool_;
    Pooled pooled_;
  };

  // Connects at the first Acquire.
  PostgresPool(std::string url, const DatabaseOptions& options);
  ~PostgresPool() { Close(); }

  // A connection that has just been opened, has not rested long, or has answered; after one that
  // does not answer no other is asked, those that had to be are closed. Waits up to
  // connect_timeout for one that is free, ResourceExhausted, and as long for the server to let it
  // open one, unless not `patient`: then the server is asked once. Errors of opening as
  // PostgresConnection::Open; FailedPrecondition once closed.
  absl::StatusOr<Lease> Acquire(bool patient = true);

  PoolStats stats() const;

  // Waits for what is in use, then closes all. Idempotent.
  void Close();

 private:
  struct Waiter {
    base::CondVar granted_or_closed;
    bool granted = false;
  };

  absl::Status AwaitTurn(absl::Time deadline);
  void EndTurn();
  absl::StatusOr<Pooled> Connect();
  // The last used of those that rest and are not too old; none when there is none.
  std::optional<Pooled> TakeIdle();
  // Whether it has to answer before it is used.
  bool Doubtful(const Pooled& pooled) const;
  void Return(Pooled pooled);
  // Closes connections that rested too long, while there are more than enough.
  void ReapIdle();

  const std::string url_;
  const DatabaseOptions options_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  // How many have a turn: a lease, or the right to one. With the idle ones at most max_connections.
  int in_use_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<Waiter*> waiters_ ABSL_GUARDED_BY(mutex_);
  // The last used at the back, where the next one is taken from.
  std::deque<Pooled> idle_ ABSL_GUARDED_BY(mutex_);
  std::thread reaper_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_POSTGRES_POOL_H_
