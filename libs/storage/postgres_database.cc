#include "libs/storage/postgres_database.h"

#include <algorithm>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/log.h"
#include "libs/base/mutex.h"
#include "libs/base/status_macros.h"
#include "libs/storage/backoff.h"
#include "libs/storage/postgres_pool.h"
#include "libs/storage/postgres_url.h"

namespace countersign::storage {
namespace {

// How long a replica that cannot be reached is left alone, and how long it has to answer: its
// callers wait for that before the primary answers them.
constexpr absl::Duration kReplicaRest = absl::Seconds(5);
constexpr absl::Duration kReplicaTimeout = absl::Seconds(1);

// What the arithmetic of clocks bears.
constexpr absl::Duration kLongestTimeout = absl::Hours(1);

// A conflict costs little, and cannot happen to all: it is tried so many times more often.
constexpr int kAttemptsAtConflict = 10;
constexpr int kLongestBackoff = 5;  // 64 ms

absl::string_view BeginOf(Isolation isolation) {
  return isolation == Isolation::kSerializable ? "BEGIN ISOLATION LEVEL SERIALIZABLE"
                                               : "BEGIN ISOLATION LEVEL READ COMMITTED";
}
constexpr absl::string_view kBeginSnapshot = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

class PostgresDatabase final : public Database {
 public:
  PostgresDatabase(const std::string& url, DatabaseOptions options)
      : options_(std::move(options)), primary_(url, options_) {
    DatabaseOptions of_replicas = options_;
    of_replicas.connect_timeout = std::min(options_.connect_timeout, kReplicaTimeout);
    for (const std::string& replica : options_.replicas) {
      replicas_.push_back(std::make_unique<Replica>(replica, of_replicas));
    }
  }
  ~PostgresDatabase() override { Close(); }

  // Whether the server can be reached, once.
  absl::Status Check();

  Engine engine() const override { return Engine::kPostgres; }
  absl::Status InTransaction(const Body& body, Isolation isolation) override;
  absl::Status InSnapshot(const Body& body, Freshness freshness) override;
  absl::Status EraseDeleted() override;
  PoolStats pool_stats() const override { return primary_.stats(); }
  void Close() override;

 private:
  struct Replica {
    Replica(const std::string& url, const DatabaseOptions& options) : pool(url, options) {}
    PostgresPool pool;
    // Guarded by the database's mutex_.
    absl::Time rests_until = absl::InfinitePast();
  };

  absl::Status CheckNotInTransaction();
  bool MayTryAgain(const PostgresConnection::Outcome& outcome, int attempts) const {
    return outcome.retry &&
           attempts < options_.max_attempts * (outcome.conflict ? kAttemptsAtConflict : 1);
  }
  // From a replica, in turn, or else from the primary.
  absl::StatusOr<PostgresPool::Lease> AcquireReplica();

  const DatabaseOptions options_;
  PostgresPool primary_;
  std::vector<std::unique_ptr<Replica>> replicas_;

  base::Mutex mutex_;
  size_t next_replica_ ABSL_GUARDED_BY(mutex_) = 0;
  // Threads inside a body of InTransaction.
  std::unordered_set<std::thread::id> in_transaction_ ABSL_GUARDED_BY(mutex_);
};

absl::Status PostgresDatabase::Check() {
  ASSIGN_OR_RETURN(const PostgresPool::Lease connection, primary_.Acquire(/*patient=*/false));
  if (!connection->server_synchronises()) {
    base::Log(base::Severity::kWarning,
              "the PostgreSQL server runs with fsync=off: a crash of its machine loses or damages "
              "what was committed");
  }
  return absl::OkStatus();
}

absl::Status PostgresDatabase::CheckNotInTransaction() {
  base::MutexLock lock(&mutex_);
  if (!in_transaction_.contains(std::this_thread::get_id())) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "database: used inside a transaction; use the transaction instead");
}

absl::Status PostgresDatabase::InTransaction(const Body& body, Isolation isolation) {
  RETURN_IF_ERROR(CheckNotInTransaction());
  const Body marked = [&](Transaction& transaction) {
    const auto mark = [this](bool inside) {
      base::MutexLock lock(&mutex_);
      if (inside) {
        in_transaction_.insert(std::this_thread::get_id());
      } else {
        in_transaction_.erase(std::this_thread::get_id());
      }
    };
    mark(true);
    absl::Status status = body(transaction);
    mark(false);
    return status;
  };
  for (int attempt = 0;; ++attempt) {
    PostgresConnection::Outcome outcome;
    {
      ASSIGN_OR_RETURN(const PostgresPool::Lease connection, primary_.Acquire());
      outcome = connection->RunTransaction(BeginOf(isolation), /*read_only=*/false, marked);
    }
    if (!MayTryAgain(outcome, attempt + 1)) return outcome.status;
    options_.sleep(Backoff(std::min(attempt, kLongestBackoff)));
  }
}

absl::StatusOr<PostgresPool::Lease> PostgresDatabase::AcquireReplica() {
  size_t first = 0;
  {
    base::MutexLock lock(&mutex_);
    first = next_replica_++;
  }
  for (size_t i = 0; i < replicas_.size(); ++i) {
    const size_t number = (first + i) % replicas_.size();
    Replica& replica = *replicas_[number];
    {
      base::MutexLock lock(&mutex_);
      if (absl::Now() < replica.rests_until) continue;
    }
    absl::StatusOr<PostgresPool::Lease> connection = replica.pool.Acquire(/*patient=*/false);
    if (connection.ok()) return connection;
    base::Log(base::Severity::kWarning, "a replica of the database is left alone for a while",
              {{"replica", absl::StrCat(number + 1)},
               {"reason", std::string(connection.status().message())}});
    base::MutexLock lock(&mutex_);
    replica.rests_until = absl::Now() + kReplicaRest;
  }
  return primary_.Acquire();
}

absl::Status PostgresDatabase::InSnapshot(const Body& body, Freshness freshness) {
  RETURN_IF_ERROR(CheckNotInTransaction());
  for (int attempt = 0;; ++attempt) {
    PostgresConnection::Outcome outcome;
    {
      // What a replica could not do (it stopped, or replay removed what was being read) the primary
      // does.
      const bool replica = freshness == Freshness::kReplica && attempt == 0;
      ASSIGN_OR_RETURN(const PostgresPool::Lease connection,
                       replica ? AcquireReplica() : primary_.Acquire());
      outcome = connection->RunTransaction(kBeginSnapshot, /*read_only=*/true, body);
    }
    if (!MayTryAgain(outcome, attempt + 1)) return outcome.status;
    options_.sleep(Backoff(std::min(attempt, kLongestBackoff)));
  }
}

absl::Status PostgresDatabase::EraseDeleted() {
  RETURN_IF_ERROR(CheckNotInTransaction());
  ASSIGN_OR_RETURN(const PostgresPool::Lease connection, primary_.Acquire());
  return connection->RunAlone("VACUUM");
}

void PostgresDatabase::Close() {
  for (const auto& replica : replicas_) replica->pool.Close();
  primary_.Close();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& url,
                                                       DatabaseOptions options) {
  RETURN_IF_ERROR(CheckPostgresUrl(url));
  options.connect_timeout = std::min(options.connect_timeout, kLongestTimeout);
  for (const std::string& replica : options.replicas) RETURN_IF_ERROR(CheckPostgresUrl(replica));
  auto database = std::make_unique<PostgresDatabase>(url, std::move(options));
  RETURN_IF_ERROR(database->Check());
  return database;
}

}  // namespace countersign::storage
