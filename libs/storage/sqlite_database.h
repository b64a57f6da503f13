// The SQLite driver of the SQL seam.
//
// One connection writes; callers that wait for it are taken together into one transaction, each
// under a savepoint, by whichever of them comes first. Others read, each from its own snapshot
// (WAL). synchronous=FULL: a commit is on disk when it returns.
#ifndef COUNTERSIGN_LIBS_STORAGE_SQLITE_DATABASE_H_
#define COUNTERSIGN_LIBS_STORAGE_SQLITE_DATABASE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/storage/database.h"

namespace countersign::storage {

// Database::Open for the file at `path`.
absl::StatusOr<std::unique_ptr<Database>> OpenSqlite(const std::string& path,
                                                     DatabaseOptions options);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_SQLITE_DATABASE_H_
