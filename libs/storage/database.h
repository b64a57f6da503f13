// The SQL seam: statements, transactions and bulk insert over an engine that a URL names.
//
// One dialect, what SQLite and PostgreSQL both understand: $1 parameters, BIGINT, TEXT and BYTEA
// columns, ON CONFLICT, RETURNING. Statements are prepared once a connection and kept.
//
// Failures, from every method:
//   NOT_FOUND            the file's folder, or the database on the server, does not exist
//   ALREADY_EXISTS       a unique or primary key is taken
//   FAILED_PRECONDITION  another constraint (NOT NULL, CHECK, foreign key) refuses; the database is
//                        closed; a transaction was asked for inside a transaction, or goes on after
//                        a statement failed
//   INVALID_ARGUMENT     the parameters are not those of the statement, or a value does not fit
//                        its type; more than one statement; a result that no Value holds; a
//                        malformed URL
//   ABORTED              another connection holds the lock and held it through all retries, or
//                        others were in the way of being serialised with through all of them
//   RESOURCE_EXHAUSTED   the disk is full, or memory is; no connection is free; nothing was changed
//   DATA_LOSS            the file is damaged or no database
//   PERMISSION_DENIED    the file, the server or the transaction is read-only, or may not be opened
//   UNAVAILABLE          SQLite: the disk failed. A commit that failed so may or may not be there
//                        after the next Open; until then every write is refused.
//                        PostgreSQL: the server cannot be reached or went away. Only where the
//                        message says so may the transaction have happened all the same: the
//                        connection was lost while it committed; it is never repeated then
//   INTERNAL             the engine refuses the statement (syntax, no such table)
// Messages carry the engine's words and never a parameter's value, nor a URL's password.
//
// On PostgreSQL, parameters are BIGINT, TEXT or BYTEA by the kind of their value, which has to suit
// where they stand; INTEGER, SMALLINT and BOOLEAN are read as numbers, VARCHAR as text, and other
// types (numeric, as SUM gives it; timestamptz) are cast. TEXT holds no zero bytes.
#ifndef COUNTERSIGN_LIBS_STORAGE_DATABASE_H_
#define COUNTERSIGN_LIBS_STORAGE_DATABASE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/storage/value.h"

namespace countersign::storage {

enum class Engine { kSqlite, kPostgres };

// What BulkInsert does with a row whose key is taken.
enum class OnConflict { kFail, kSkip };

// What a transaction sees of others that commit while it runs.
enum class Isolation {
  // As if transactions ran one after the other. On PostgreSQL one that cannot be is run again.
  kSerializable,
  // Each statement sees what was committed when it began, so that one which has waited for a row's
  // lock (SELECT … FOR UPDATE) goes on with the newest row. SQLite has no need of it and is
  // serializable here too.
  kReadCommitted,
};

// How old a snapshot may be.
enum class Freshness {
  kLatest,   // everything committed before
  kReplica,  // may come from a replica of the database and lag behind it
};

// A statement with its parameters, for Pipeline.
struct Statement {
  absl::string_view sql;
  Params params;
};

// A transaction in progress. Belongs to the function it was given to, on the thread that runs it.
// After a statement failed, all that is left is to roll back: later statements fail, and so does
// the transaction even if its function returns OK. (Use ON CONFLICT for a key that may be taken.)
class Transaction {
 public:
  virtual ~Transaction() = default;

  // Runs one statement; returns how many rows it inserted, updated or deleted.
  virtual absl::StatusOr<int64_t> Run(absl::string_view sql, Params params = {}) = 0;

  // Runs one statement and returns all its rows.
  virtual absl::StatusOr<Rows> Query(absl::string_view sql, Params params = {}) = 0;

  // Runs one reading statement, which takes no parameters, and calls `on_row` for each row as it
  // comes, without copying it: for results of millions of rows. What else than OK `on_row` returns
  // ends the scan and is the failure of the statement. A transaction that is repeated calls it from
  // the first row again.
  using OnRow = absl::FunctionRef<absl::Status(const RowView&)>;
  virtual absl::Status Scan(absl::string_view sql, OnRow on_row) = 0;

  // Runs several statements in one round trip where the engine can; returns the rows of each, in
  // order. The first that fails is the failure of all.
  virtual absl::StatusOr<std::vector<Rows>> Pipeline(absl::Span<const Statement> statements) = 0;

  // Inserts `rows`, each with a value for each of `columns`, in as few round trips as the engine
  // allows; returns how many were inserted. `table` and `columns` are trusted identifiers.
  virtual absl::StatusOr<int64_t> BulkInsert(absl::string_view table,
                                             const std::vector<std::string>& columns,
                                             absl::Span<const Row> rows,
                                             OnConflict on_conflict = OnConflict::kFail) = 0;

  // Runs any number of statements without parameters, separated by semicolons: for migrations.
  virtual absl::Status RunScript(absl::string_view sql) = 0;
};

struct DatabaseOptions {
  // SQLite: connections for reads; writes have one of their own.
  int readers = 4;
  // PostgreSQL: connections to a server, opened when needed, at most. Of those that nobody uses,
  // `min_connections` stay; the others are closed after `idle_timeout`. Each is replaced once it is
  // `max_lifetime` old, and checked before use when it has rested.
  int min_connections = 5;
  int max_connections = 100;
  absl::Duration idle_timeout = absl::Seconds(300);
  absl::Duration max_lifetime = absl::Hours(1);
  // PostgreSQL: after how long a rest a connection has to answer before it is used.
  absl::Duration check_after = absl::Seconds(30);
  // PostgreSQL: how long opening a connection, or waiting for one that is free, may take.
  absl::Duration connect_timeout = absl::Seconds(5);
  // PostgreSQL: URLs of replicas, which take the Freshness::kReplica snapshots in turn. One that
  // cannot be reached is left alone for a while; with none left, the primary answers.
  std::vector<std::string> replicas;
  // How long one attempt waits for a lock that another process holds.
  absl::Duration busy_timeout = absl::Seconds(5);
  // How often a transaction is tried in all when others keep it from its lock, or its connection
  // is lost; on PostgreSQL ten times as often when it could not be serialised with others.
  int max_attempts = 6;
  // Waits between attempts (2 ms, doubled each time, less up to a half by chance).
  std::function<void(absl::Duration)> sleep;
};

// The connections to the primary, for metrics.
struct PoolStats {
  int in_use = 0;
  int idle = 0;
  // Callers that wait for one.
  int waiting = 0;
};

// Thread-safe.
class Database {
 public:
  // Runs inside a transaction. An error rolls it back and becomes the transaction's result. May run
  // more than once, so it changes nothing but the database and variables that it sets anew.
  using Body = std::function<absl::Status(Transaction&)>;

  // `url` is "sqlite:PATH" (a missing file is created, mode 0600, in an existing folder) or
  // "postgresql://…", a libpq connection URI (its database must exist; what it leaves open libpq
  // takes from PGPASSWORD, ~/.pgpass and the like; a proxy between has to keep a session on one
  // connection to the server).
  static absl::StatusOr<std::unique_ptr<Database>> Open(absl::string_view url,
                                                        DatabaseOptions options = {});

  virtual ~Database() = default;

  virtual Engine engine() const = 0;

  // Runs `body` as one atomic, serialised, durable unit: OK means that its changes are on disk.
  // On SQLite, transactions that wait at the same time share one synchronisation (group commit),
  // each still atomic on its own; `body` may so run on the thread of another caller. On PostgreSQL
  // they run side by side. Repeats `body` when the engine asks for it (a lock, a serialisation
  // failure) and when the connection was lost before the commit was sent.
  virtual absl::Status InTransaction(const Body& body,
                                     Isolation isolation = Isolation::kSerializable) = 0;

  // Runs `body` over one consistent snapshot, beside writers; it may not change anything. Not to be
  // called from a Body.
  virtual absl::Status InSnapshot(const Body& body, Freshness freshness = Freshness::kLatest) = 0;

  // One statement in a transaction of its own; as Transaction::Run.
  absl::StatusOr<int64_t> Run(absl::string_view sql, Params params = {});

  // One reading statement in a snapshot of its own; as Transaction::Query. Statements that write
  // and return (RETURNING) need InTransaction.
  absl::StatusOr<Rows> Query(absl::string_view sql, Params params = {});

  // SQLite: overwrites what was deleted or replaced before the call wherever the engine's files
  // still hold it. ABORTED when a reader went on needing it; then, or after another failure, call
  // again. PostgreSQL: cannot promise that. It runs VACUUM over the database, which frees the room
  // of deleted rows to be written over; until that happens their bytes stay in the server's files,
  // and in its write-ahead log, replicas and backups for as long as those are kept. What has to be
  // gone for good is stored there encrypted, and its key destroyed. Not to be called from a Body.
  virtual absl::Status EraseDeleted() = 0;

  // Zeros for an engine without a pool.
  virtual PoolStats pool_stats() const { return {}; }

  // Ends what runs, then refuses everything. Idempotent; the destructor does it too. Not to be
  // called from a Body.
  virtual void Close() = 0;
};

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_DATABASE_H_
