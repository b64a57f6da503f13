#include "benchmarks/durable_postgres.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"

namespace countersign::bench {

absl::StatusOr<std::unique_ptr<testing::PostgresServer>> StartPostgres(
    const Environment& environment) {
  return testing::PostgresServer::Start(
      {.data_folder = environment.work(), .settings = absl::StrSplit(kPostgresSettings, ", ")});
}

absl::StatusOr<uint64_t> CountWalSyncs(const testing::PostgresServer& server) {
  // A backend hands in its counts when it has nothing else to do.
  absl::SleepFor(absl::Seconds(1));
  ASSIGN_OR_RETURN(const std::string count, server.Execute("SELECT wal_sync FROM pg_stat_wal"));
  uint64_t value = 0;
  if (absl::SimpleAtoi(count, &value)) return value;
  return absl::InternalError("pg_stat_wal counts no synchronisations");
}

}  // namespace countersign::bench
