#include "libs/storage/migrations.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::storage {
namespace {

absl::Status Apply(Database& database, const Migration& migration) {
  absl::Status status = database.InTransaction([&](Transaction& transaction) -> absl::Status {
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
    if (database.engine() == Engine::kSqlite) {
      RETURN_IF_ERROR(transaction.RunScript(migration.sqlite_sql));
    }
    return transaction
        .Run("INSERT INTO schema_migrations (version, name) VALUES ($1, $2)",
             {migration.version, Value::Text(migration.name)})
        .status();
  });
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
  RETURN_IF_ERROR(database
                      .Run("CREATE TABLE IF NOT EXISTS schema_migrations "
                           "(version BIGINT PRIMARY KEY, name TEXT NOT NULL)")
                      .status());
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
