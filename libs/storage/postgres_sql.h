// Reads a statement as PostgreSQL's lexer does, as far as the contract of database.h needs it: the
// server itself neither counts parameters strictly nor says well that there are two statements.
#ifndef COUNTERSIGN_LIBS_STORAGE_POSTGRES_SQL_H_
#define COUNTERSIGN_LIBS_STORAGE_POSTGRES_SQL_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::storage {

// The highest n of the parameters $n of `sql`. InvalidArgument unless it is exactly one statement
// whose parameters are all written so.
absl::StatusOr<size_t> CountParameters(absl::string_view sql);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_POSTGRES_SQL_H_
