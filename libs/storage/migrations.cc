#include "libs/storage/migrations.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::storage {
namespace {

// Any number that nothing else in the database locks.
constexpr int64_t kMigrationLock = 0x636f756e746572;

// Lets one process at a time through, until its transaction ends. SQLite has one writer anyway.
// CREATE TABLE IF NOT EXISTS of two transactions at once can fail on PostgreSQL, and so needs it
// too. Only this lock may be waited for without limit: a migration takes as long as it takes.
absl::Status TakeTurn(const Database& database, Transaction& transaction) {
  if (database.engine() != Engine::kPostgres) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Rows limit, transaction.Query("SELECT current_setting('lock_timeout')"));
  return transaction
      .Pipeline({{"SELECT set_config('lock_timeout', '0', true)", {}},
                 {"SELECT pg_advisory_xact_lock($1)", {kMigrationLock}},
                 {"SELECT set_config('lock_timeout', $1, true)", {limit[0][0]}}})
      .status();
}

absl::Status Apply(Database& database, const Migration& migration) {
  const auto body = [&](Transaction& transaction) -> absl::Status {
    RETURN_IF_ERROR(TakeTurn(database, transaction));
    ASSIGN_OR_RETURN(const Rows applied,
                     transaction.Query("SELECT name FROM schema_migrations WHERE version = $1",
                                       {migration.version}));
    if (!applied.empty()) {
      if (applied[0].Text(0) == std::string(migration.name)) return absl::OkStatus();
      return absl::FailedPreconditionError(
          absl::StrCat("the database has another migration of this number, \"", applied[0].Text(0),
                       "\": it belongs to another program"));
    }
    RETURN_IF_ERROR(transaction.RunScript(migration.sql));
    RETURN_IF_ERROR(transaction.RunScript(
        database.engine() == Engine::kSqlite ? migration.sqlite_sql : migration.postgres_sql));
    return transaction
        .Run("INSERT INTO schema_migrations (version, name) VALUES ($1, $2)",
             {migration.version, Value::Text(migration.name)})
        .status();
  };
  // What another process has committed meanwhile is seen after the turn.
  const absl::Status status = database.InTransaction(body, Isolation::kReadCommitted);
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat("migration ", migration.version, " (",
                                                  migration.name, "): ", status.message()));
}

}  // namespace

absl::Status Migrate(Database& database, absl::Span<const Migration> migrations) {
  for (size_t i = 0; i < migrations.size(); ++i) {
    if (migrations[i].version != static_cast<int64_t>(i) + 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("migration ", i + 1, " is numbered ", migrations[i].version));
    }
  }
  RETURN_IF_ERROR(database.InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(TakeTurn(database, transaction));
        return transaction.RunScript(
            "CREATE TABLE IF NOT EXISTS schema_migrations "
            "(version BIGINT PRIMARY KEY, name TEXT NOT NULL)");
      },
      Isolation::kReadCommitted));
  ASSIGN_OR_RETURN(const Rows newest,
                   database.Query("SELECT COALESCE(MAX(version), 0) FROM schema_migrations"));
  if (newest[0].Int(0) > static_cast<int64_t>(migrations.size())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the database has schema version ", newest[0].Int(0), ", this program knows ",
                     migrations.size(), ": run the newer program that made it"));
  }
  for (const Migration& migration : migrations) RETURN_IF_ERROR(Apply(database, migration));
  return absl::OkStatus();
}

}  // namespace countersign::storage
