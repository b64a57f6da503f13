// Numbered migrations: brings a database's schema from whatever version it has to the newest.
#ifndef COUNTERSIGN_LIBS_STORAGE_MIGRATIONS_H_
#define COUNTERSIGN_LIBS_STORAGE_MIGRATIONS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/storage/database.h"

namespace countersign::storage {

// A step that, once released, never changes.
struct Migration {
  // 1, 2, 3 and so on without gaps.
  int64_t version;
  // What it does, in a few words.
  absl::string_view name;
  // Statements, separated by semicolons, that every engine understands.
  absl::string_view sql;
  // Statements for SQLite alone, run after those.
  absl::string_view sqlite_sql = "";
  // Statements for PostgreSQL alone (partitions, index kinds), run after those.
  absl::string_view postgres_sql = "";
};

// Applies those of `migrations` that the database does not have, each in a transaction of its own
// that also notes it in the table schema_migrations(version, name). Safe to call from several
// processes at once (they take turns, however long a migration lasts), and again.
// InvalidArgument when the versions have gaps; FailedPrecondition when the database was made by a
// newer program or by one with other migrations; else what the database answered.
absl::Status Migrate(Database& database, absl::Span<const Migration> migrations);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_MIGRATIONS_H_
