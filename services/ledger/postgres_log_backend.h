// LogBackend on a PostgreSQL database that any number of ledgers share: a row of ledger_logs for
// each log, with its key sealed under a KEK that they all have. Tables: FORMAT.md.
#ifndef COUNTERSIGN_SERVICES_LEDGER_POSTGRES_LOG_BACKEND_H_
#define COUNTERSIGN_SERVICES_LEDGER_POSTGRES_LOG_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "libs/crypto/aead.h"
#include "libs/storage/database.h"
#include "services/ledger/log_backend.h"
#include "services/ledger/postgres_log_store.h"
#include "services/ledger/postgres_schema.h"

namespace countersign::ledger {

class PostgresLogBackend final : public LogBackend {
 public:
  struct Options {
    PostgresLogStore::Options store;  // of each log; its name and origin are set by the log
    // Made on first use, where the database has no log yet; every ledger of the database needs a
    // copy of the same.
    std::string kek_path;
  };

  // Makes the tables when they are not there, and starts their upkeep.
  static absl::StatusOr<std::unique_ptr<PostgresLogBackend>> Open(Options options);

  absl::StatusOr<std::vector<std::string>> List() override;
  absl::StatusOr<StoredLog> Open(const LogName& name) override;
  absl::Status Create(const LogName& name, const std::string& origin,
                      const std::string& witness_policy) override;
  bool shared() const override { return true; }

 private:
  explicit PostgresLogBackend(Options options);

  // The KEK; FailedPrecondition when it is missing though the database has logs.
  absl::StatusOr<crypto::Kek> LoadKek();

  const Options options_;
  storage::Database& database_;
  std::unique_ptr<PostgresUpkeep> upkeep_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_POSTGRES_LOG_BACKEND_H_
