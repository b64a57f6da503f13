// Connection URLs, and what may be said about them.
#ifndef COUNTERSIGN_LIBS_STORAGE_POSTGRES_URL_H_
#define COUNTERSIGN_LIBS_STORAGE_POSTGRES_URL_H_

#include <postgresql/libpq-fe.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::storage {

// InvalidArgument unless libpq understands `url` and would never quote a password out of it: one
// with an unescaped @, / or : is taken for a host or a port, which error messages name.
absl::Status CheckPostgresUrl(absl::string_view url);

// Why `connection`, whose verbosity is PQERRORS_VERBOSE, could not be opened.
absl::Status ConnectError(PGconn* connection);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_POSTGRES_URL_H_
