// PostgreSQL as benchmarks use it: durable, on the disk to measure, its synchronisations counted.
#ifndef COUNTERSIGN_BENCHMARKS_DURABLE_POSTGRES_H_
#define COUNTERSIGN_BENCHMARKS_DURABLE_POSTGRES_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "benchmarks/environment.h"
#include "libs/testing/postgres_server.h"

namespace countersign::bench {

inline constexpr char kPostgresSettings[] =
    "fsync=on, synchronous_commit=on, shared_buffers=1GB, max_wal_size=8GB";

// Durable as it comes; room for the log that a measurement makes.
absl::StatusOr<std::unique_ptr<testing::PostgresServer>> StartPostgres(
    const Environment& environment);

// Synchronisations of the write-ahead log so far. Takes a second.
absl::StatusOr<uint64_t> CountWalSyncs(const testing::PostgresServer& server);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_DURABLE_POSTGRES_H_
