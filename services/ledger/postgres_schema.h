// The tables of a ledger's database on PostgreSQL, and their upkeep by age. Described in FORMAT.md.
#ifndef COUNTERSIGN_SERVICES_LEDGER_POSTGRES_SCHEMA_H_
#define COUNTERSIGN_SERVICES_LEDGER_POSTGRES_SCHEMA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "libs/storage/database.h"

namespace countersign::ledger {

// Where the months of entries lie: names of tablespaces (letters, digits, _ and -) that the
// database's owner has made. An empty name leaves a month where it is.
struct Tablespaces {
  std::string hot;   // new months
  std::string warm;  // those that ended `warm_after` ago
  std::string cold;  // and `cold_after`
  absl::Duration warm_after = absl::Hours(24 * 30);
  absl::Duration cold_after = absl::Hours(24 * 90);
};

// Makes the tables, or brings them to the newest version. As storage::Migrate; FailedPrecondition
// when the database is not PostgreSQL.
absl::Status CreateLedgerSchema(storage::Database& database);

// A span of time for whose entries there are partitions.
struct PartitionedTime {
  absl::Time begin = absl::InfiniteFuture();
  absl::Time end = absl::InfiniteFuture();

  bool Contains(absl::Time time) const { return begin <= time && time < end; }
};

// Makes the partitions of the month (UTC) that `time` is in and of the two after it, those that are
// missing. Readers and writers of other months go on meanwhile. Safe from several processes at
// once.
absl::StatusOr<PartitionedTime> MakePartitions(storage::Database& database,
                                               const Tablespaces& tablespaces, absl::Time time);

// Moves months to the tablespace of their age, one after the other, each as a copy that then takes
// its place: readers go on meanwhile, and so do writers of other months. Does nothing while another
// process does it. NotFound names a tablespace that the database does not have.
absl::Status MovePartitions(storage::Database& database, const Tablespaces& tablespaces,
                            absl::Time now);

// Does both at its start and every day, on a thread of its own. What fails is logged and tried
// again after `retry`. Any number of processes may run one on the same database.
class PostgresUpkeep {
 public:
  struct Options {
    std::shared_ptr<storage::Database> database;
    Tablespaces tablespaces;
    absl::Duration interval = absl::Hours(24);
    absl::Duration retry = absl::Minutes(10);
    const base::Clock* clock = base::Clock::System();
  };

  explicit PostgresUpkeep(const Options& options);
  // Waits for a move that is under way.
  ~PostgresUpkeep();
  PostgresUpkeep(const PostgresUpkeep&) = delete;
  PostgresUpkeep& operator=(const PostgresUpkeep&) = delete;

 private:
  void Loop();
  absl::Status RunOnce();

  const Options options_;
  base::Mutex mutex_;
  base::CondVar wake_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_POSTGRES_SCHEMA_H_
