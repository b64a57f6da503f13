#include "libs/storage/database.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/storage/postgres_database.h"
#include "libs/storage/sqlite_database.h"

namespace countersign::storage {

absl::StatusOr<std::unique_ptr<Database>> Database::Open(absl::string_view url,
                                                         DatabaseOptions options) {
  if (options.readers < 1 || options.max_attempts < 1 || options.max_connections < 1) {
    return absl::InvalidArgumentError(
        "a database needs at least one reader, one connection and one attempt");
  }
  if (!options.sleep) options.sleep = [](absl::Duration delay) { absl::SleepFor(delay); };
  absl::string_view path = url;
  if (absl::ConsumePrefix(&path, "sqlite:") && !path.empty()) {
    return OpenSqlite(std::string(path), std::move(options));
  }
  if (absl::StartsWith(url, "postgresql://") || absl::StartsWith(url, "postgres://")) {
    return OpenPostgres(std::string(url), std::move(options));
  }
  // It is not shown: a mistyped one may hold a password anywhere.
  return absl::InvalidArgumentError(
      "the URL names no database: use sqlite:PATH or postgresql://USER@HOST/DATABASE");
}

absl::StatusOr<int64_t> Database::Run(absl::string_view sql, Params params) {
  int64_t changed = 0;
  RETURN_IF_ERROR(InTransaction([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(changed, transaction.Run(sql, params));
    return absl::OkStatus();
  }));
  return changed;
}

absl::StatusOr<Rows> Database::Query(absl::string_view sql, Params params) {
  Rows rows;
  RETURN_IF_ERROR(InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(rows, transaction.Query(sql, params));
    return absl::OkStatus();
  }));
  return rows;
}

}  // namespace countersign::storage
