// One SQLite connection: its prepared statements, its transaction, and the map of its errors.
#ifndef COUNTERSIGN_LIBS_STORAGE_SQLITE_CONNECTION_H_
#define COUNTERSIGN_LIBS_STORAGE_SQLITE_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/storage/database.h"
#include "libs/storage/value.h"

struct sqlite3;
struct sqlite3_stmt;

namespace countersign::storage {

// Used by one thread at a time.
class SqliteConnection final : public Transaction {
 public:
  // Opens the existing file at `path`; one that is not `writable` refuses to change it.
  static absl::StatusOr<std::unique_ptr<SqliteConnection>> Open(const std::string& path,
                                                                bool writable,
                                                                absl::Duration busy_timeout);
  ~SqliteConnection() override;
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  absl::StatusOr<int64_t> Run(absl::string_view sql, Params params) override;
  absl::StatusOr<Rows> Query(absl::string_view sql, Params params) override;
  absl::Status Scan(absl::string_view sql, OnRow on_row) override;
  absl::StatusOr<std::vector<Rows>> Pipeline(absl::Span<const Statement> statements) override;
  absl::StatusOr<int64_t> BulkInsert(absl::string_view table,
                                     const std::vector<std::string>& columns,
                                     absl::Span<const Row> rows, OnConflict on_conflict) override;
  absl::Status RunScript(absl::string_view sql) override;

  // Runs BEGIN, SAVEPOINT, COMMIT and their like: allowed after a failed statement too.
  absl::Status Control(absl::string_view sql);

  // Runs `body` and returns its failure, or that of a statement which it passed over.
  absl::Status RunBody(const Database::Body& body);

  // Whether a transaction is open. Some failures (a full disk) make SQLite end it by itself.
  bool in_transaction() const;

  // Whether another connection's lock stopped a statement since the last call.
  bool TakeBusy();

 private:
  struct Prepared {
    ~Prepared();
    sqlite3_stmt* stmt = nullptr;
    // For each of the engine's parameters, which of ours it is, from 0.
    std::vector<size_t> parameters;
    // How many of ours there must be.
    size_t parameter_count = 0;
  };

  explicit SqliteConnection(sqlite3* db) : db_(db) {}

  absl::Status ToStatus(int code);
  // Notes the failure, so that the transaction cannot go on as if nothing were.
  absl::Status Fail(absl::Status status);
  absl::StatusOr<Prepared*> Prepare(absl::string_view sql);
  // Runs `statement` to its end, calling `on_row` at each of its rows.
  absl::Status Step(Prepared* statement, Params params,
                    absl::FunctionRef<absl::Status(sqlite3_stmt*)> on_row);
  absl::StatusOr<int64_t> StepCounting(Prepared* statement, Params params);

  sqlite3* const db_;
  absl::flat_hash_map<std::string, std::unique_ptr<Prepared>> statements_;
  absl::Status failure_;
  bool busy_ = false;
};

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_SQLITE_CONNECTION_H_
