// From PostgreSQL's SQLSTATE codes to the statuses of database.h.
#ifndef COUNTERSIGN_LIBS_STORAGE_POSTGRES_ERROR_H_
#define COUNTERSIGN_LIBS_STORAGE_POSTGRES_ERROR_H_

#include <postgresql/libpq-fe.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::storage {

// What a statement's failure means for its transaction.
struct PostgresError {
  absl::Status status;
  std::string sqlstate;  // empty when the failure is libpq's own: the connection is lost
  // The same transaction may well succeed when it is run again.
  bool retry = false;
  // It lost a race that another transaction has won: so while it is tried again, others get on.
  bool conflict = false;
  // The server ended the connection with this error.
  bool fatal = false;
};

// The status alone. `message` is the server's primary message; what may be a parameter's value is
// taken out of it.
absl::Status PostgresStatus(absl::string_view sqlstate, absl::string_view message);

// `result` is a failed one.
PostgresError ReadPostgresError(const PGresult* result);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_POSTGRES_ERROR_H_
