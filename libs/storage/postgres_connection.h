// One connection to a PostgreSQL server: its prepared statements and its transaction.
#ifndef COUNTERSIGN_LIBS_STORAGE_POSTGRES_CONNECTION_H_
#define COUNTERSIGN_LIBS_STORAGE_POSTGRES_CONNECTION_H_

#include <postgresql/libpq-fe.h>

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/storage/database.h"
#include "libs/storage/postgres_error.h"
#include "libs/storage/postgres_wire.h"
#include "libs/storage/value.h"

namespace countersign::storage {

// Used by one thread at a time.
//
// Statements go out in libpq's pipeline mode, BEGIN with the first of them, so that a transaction
// takes a round trip for each call and one for COMMIT.
class PostgresConnection final : public Transaction {
 public:
  // `url` has passed CheckPostgresUrl. NotFound, PermissionDenied, ResourceExhausted when the
  // server says so; Unavailable when it cannot be reached within `timeout`.
  static absl::StatusOr<std::unique_ptr<PostgresConnection>> Open(const std::string& url,
                                                                  absl::Duration timeout,
                                                                  absl::Duration lock_timeout);
  ~PostgresConnection() override = default;
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  absl::StatusOr<int64_t> Run(absl::string_view sql, Params params) override;
  absl::StatusOr<Rows> Query(absl::string_view sql, Params params) override;
  absl::Status Scan(absl::string_view sql, OnRow on_row) override;
  absl::StatusOr<std::vector<Rows>> Pipeline(absl::Span<const Statement> statements) override;
  absl::StatusOr<int64_t> BulkInsert(absl::string_view table,
                                     const std::vector<std::string>& columns,
                                     absl::Span<const Row> rows, OnConflict on_conflict) override;
  absl::Status RunScript(absl::string_view sql) override;

  struct Outcome {
    absl::Status status;
    // Nothing of it was committed, and run again it may succeed.
    bool retry = false;
    // It failed because another one succeeded.
    bool conflict = false;
  };
  // Runs `body` between `begin`, a BEGIN that is sent with its first statement, and COMMIT.
  Outcome RunTransaction(absl::string_view begin, bool read_only, const Database::Body& body);

  // Runs statements that cannot stand in a transaction.
  absl::Status RunAlone(absl::string_view sql);

  // Whether it may be used again.
  bool usable() const { return !lost_; }
  // Whether the server has sent something unasked, most likely its farewell.
  bool Disturbed() const;
  // Whether the server answers within `timeout`.
  bool Answers(absl::Duration timeout);
  // Whether the server synchronises what it writes; a setting of its own (fsync).
  bool server_synchronises() const { return server_synchronises_; }

 private:
  // A statement for parameters of certain types, on the server under `name`.
  struct Prepared {
    std::string sql;
    std::string name;
    std::vector<Oid> types;
    bool on_server = false;
  };
  using PreparedList = std::list<Prepared>;
  struct Variants {
    size_t parameter_count = 0;
    std::vector<PreparedList::iterator> prepared;
  };
  struct Finisher {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  enum class StepKind { kForget, kBegin, kPrepare, kExecute };
  // A command within a pipeline, and what it was sent for.
  struct Step {
    StepKind kind;
    Prepared* prepared = nullptr;
  };

  explicit PostgresConnection(PGconn* connection) : connection_(connection) {}

  absl::Status Connect(absl::Time deadline);
  absl::Status SetUp(absl::Duration lock_timeout);

  absl::Status CheckUsable() const;
  // Notes the failure, so that the transaction cannot go on as if nothing were.
  absl::Status Fail(absl::Status status);
  absl::Status Fail(const PGresult* result);
  // For a call of libpq's that failed without a result.
  absl::Status Lose();
  // After a round trip: whether the transaction is still the one that was begun.
  absl::Status CheckTransaction();

  absl::StatusOr<Prepared*> Find(absl::string_view sql, Params params);
  void Trim();
  absl::StatusOr<std::vector<PostgresResult>> RunBatch(absl::Span<const Statement> statements);
  bool Send(absl::Span<const Statement> statements, absl::Span<Prepared* const> prepared,
            std::vector<Step>* steps);
  absl::Status Receive(absl::Span<const Step> steps, std::vector<PostgresResult>* results);

  // Runs statements by the simple protocol, with a BEGIN that is due before them.
  absl::StatusOr<PostgresResult> Simple(absl::string_view sql);
  absl::StatusOr<std::vector<PostgresColumn>*> ColumnsOf(absl::string_view table,
                                                         const std::vector<std::string>& columns);
  absl::StatusOr<int64_t> Copy(absl::string_view table, const std::vector<PostgresColumn>& columns,
                               absl::Span<const Row> rows);
  absl::StatusOr<int64_t> InsertSkipping(absl::string_view table,
                                         const std::vector<PostgresColumn>& columns,
                                         absl::Span<const Row> rows);
  Outcome Commit(bool read_only);

  const std::unique_ptr<PGconn, Finisher> connection_;
  bool server_synchronises_ = true;
  // Not to be used again, and no word can be had from it.
  bool lost_ = false;

  // Most recently used first; `statements_` finds them.
  PreparedList prepared_;
  absl::flat_hash_map<std::string, Variants> statements_;
  int64_t last_name_ = 0;
  // Names that the server is still to be told to forget.
  std::vector<std::string> forgotten_;
  // What the columns of BulkInserts are, by table and columns.
  absl::flat_hash_map<std::string, std::vector<PostgresColumn>> columns_;

  // The transaction: its BEGIN while that has not been sent, whether one is open, what failed in
  // it, and whether that is worth another try.
  std::string begin_;
  bool begun_ = false;
  absl::Status failure_;
  bool retry_ = false;
  bool conflict_ = false;

  PostgresParameters parameters_;
  std::string copy_buffer_;
};

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_POSTGRES_CONNECTION_H_
