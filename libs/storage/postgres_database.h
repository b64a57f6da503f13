// The PostgreSQL driver of the SQL seam, by libpq.
//
// Each transaction has a connection of a pool to itself; what runs beside it is the server's
// business. Statements are pipelined: a transaction of one call costs two round trips.
#ifndef COUNTERSIGN_LIBS_STORAGE_POSTGRES_DATABASE_H_
#define COUNTERSIGN_LIBS_STORAGE_POSTGRES_DATABASE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "libs/storage/database.h"

namespace countersign::storage {

// Database::Open for a libpq connection URI.
absl::StatusOr<std::unique_ptr<Database>> OpenPostgres(const std::string& url,
                                                       DatabaseOptions options);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_POSTGRES_DATABASE_H_
