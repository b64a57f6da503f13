#include "libs/storage/sqlite_connection.h"

#include <sqlite3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "libs/base/status_macros.h"

namespace countersign::storage {
namespace {

// More statements than this means that someone builds SQL from values.
constexpr size_t kMaxStatements = 256;

absl::StatusCode CodeOf(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::StatusCode::kAborted;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return absl::StatusCode::kResourceExhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
      return absl::StatusCode::kPermissionDenied;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
      return absl::StatusCode::kUnavailable;
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
      return absl::StatusCode::kInvalidArgument;
    case SQLITE_CONSTRAINT:
      switch (code) {
        case SQLITE_CONSTRAINT_UNIQUE:
        case SQLITE_CONSTRAINT_PRIMARYKEY:
        case SQLITE_CONSTRAINT_ROWID:
          return absl::StatusCode::kAlreadyExists;
        default:
          return absl::StatusCode::kFailedPrecondition;
      }
    default:
      return absl::StatusCode::kInternal;
  }
}

int Bind(sqlite3_stmt* stmt, int index, const Value& value) {
  switch (value.type()) {
    case Value::Type::kNull:
      return sqlite3_bind_null(stmt, index);
    case Value::Type::kInt:
      return sqlite3_bind_int64(stmt, index, value.AsInt());
    case Value::Type::kText:
      return sqlite3_bind_text64(stmt, index, value.AsString().data(), value.AsString().size(),
                                 SQLITE_STATIC, SQLITE_UTF8);
    case Value::Type::kBytes:
      return sqlite3_bind_blob64(stmt, index, value.AsString().data(), value.AsString().size(),
                                 SQLITE_STATIC);
  }
  return SQLITE_MISMATCH;
}

absl::Status NotHeld(int column) {
  return absl::InvalidArgumentError(
      absl::StrCat("database: column ", column + 1, " is a floating-point number; cast it"));
}

absl::StatusOr<Value> Column(sqlite3_stmt* stmt, int column) {
  switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_NULL:
      return Value::Null();
    case SQLITE_INTEGER:
      return Value(static_cast<int64_t>(sqlite3_column_int64(stmt, column)));
    case SQLITE_TEXT: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(stmt, column));
      const auto size = static_cast<size_t>(sqlite3_column_bytes(stmt, column));
      return Value::Text(text == nullptr ? absl::string_view() : absl::string_view(text, size));
    }
    case SQLITE_BLOB: {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(stmt, column));
      const auto size = static_cast<size_t>(sqlite3_column_bytes(stmt, column));
      return Value::Bytes(bytes == nullptr ? absl::string_view() : absl::string_view(bytes, size));
    }
    default:
      return NotHeld(column);
  }
}

absl::Status AppendRow(sqlite3_stmt* stmt, Rows* rows) {
  std::vector<Value> values;
  const int columns = sqlite3_data_count(stmt);
  values.reserve(static_cast<size_t>(columns));
  for (int column = 0; column < columns; ++column) {
    ASSIGN_OR_RETURN(Value value, Column(stmt, column));
    values.push_back(std::move(value));
  }
  rows->emplace_back(std::move(values));
  return absl::OkStatus();
}

absl::Status PassRow(sqlite3_stmt*) { return absl::OkStatus(); }

}  // namespace

SqliteConnection::Prepared::~Prepared() { sqlite3_finalize(stmt); }

absl::StatusOr<std::unique_ptr<SqliteConnection>> SqliteConnection::Open(
    const std::string& path, bool writable, absl::Duration busy_timeout) {
  sqlite3* db = nullptr;
  const int code =
      sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  if (db == nullptr) return absl::ResourceExhaustedError("database: out of memory");
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(db));
  sqlite3_extended_result_codes(db, 1);
  if (code != SQLITE_OK) {
    const absl::Status status = connection->ToStatus(code);
    return absl::Status(status.code(), absl::StrCat("open ", path, ": ", status.message()));
  }
  sqlite3_busy_timeout(db, static_cast<int>(absl::ToInt64Milliseconds(busy_timeout)));
  std::vector<absl::string_view> settings = {"PRAGMA foreign_keys=ON", "PRAGMA temp_store=MEMORY"};
  if (writable) {
    // FULL also synchronises the log at each commit; secure_delete overwrites what is deleted, for
    // this may be a sealed private key.
    // Rows that arrive in the order of no index touch many pages: 64 MiB of them are kept, and 64
    // MiB of log before it is folded back, so that each is read and written less often.
    settings.insert(settings.end(),
                    {"PRAGMA synchronous=FULL", "PRAGMA secure_delete=ON",
                     "PRAGMA cache_size=-65536", "PRAGMA wal_autocheckpoint=16384"});
    const absl::StatusOr<Rows> mode = connection->Query("PRAGMA journal_mode=WAL", {});
    if (!mode.ok()) {
      return absl::Status(mode.status().code(),
                          absl::StrCat("open ", path, ": ", mode.status().message()));
    }
    if (mode->size() != 1 || (*mode)[0].Text(0) != "wal") {
      return absl::UnavailableError(absl::StrCat(
          "open ", path, ": this file system does not support SQLite's write-ahead log"));
    }
  } else {
    settings.push_back("PRAGMA query_only=ON");
  }
  for (const absl::string_view setting : settings) {
    RETURN_IF_ERROR(connection->Control(setting));
  }
  return connection;
}

SqliteConnection::~SqliteConnection() {
  statements_.clear();
  sqlite3_close(db_);
}

absl::Status SqliteConnection::ToStatus(int code) {
  if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED) busy_ = true;
  return absl::Status(CodeOf(code), absl::StrCat("database: ", sqlite3_errmsg(db_)));
}

absl::Status SqliteConnection::Fail(absl::Status status) {
  if (failure_.ok()) failure_ = status;
  return status;
}

absl::StatusOr<SqliteConnection::Prepared*> SqliteConnection::Prepare(absl::string_view sql) {
  if (const auto it = statements_.find(sql); it != statements_.end()) return it->second.get();
  auto statement = std::make_unique<Prepared>();
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement->stmt, &tail);
  if (code != SQLITE_OK) return ToStatus(code);
  const absl::string_view rest(tail, static_cast<size_t>(sql.data() + sql.size() - tail));
  if (statement->stmt == nullptr || !absl::StripAsciiWhitespace(rest).empty()) {
    return absl::InvalidArgumentError("database: exactly one statement is needed");
  }
  const int count = sqlite3_bind_parameter_count(statement->stmt);
  for (int i = 1; i <= count; ++i) {
    const char* name = sqlite3_bind_parameter_name(statement->stmt, i);
    absl::string_view number = name == nullptr ? "" : name;
    int position = 0;
    if (!absl::ConsumePrefix(&number, "$") || !absl::SimpleAtoi(number, &position) ||
        position < 1) {
      return absl::InvalidArgumentError("database: parameters are written $1, $2 and so on");
    }
    statement->parameters.push_back(static_cast<size_t>(position - 1));
    statement->parameter_count =
        std::max(statement->parameter_count, static_cast<size_t>(position));
  }
  if (statements_.size() >= kMaxStatements) statements_.clear();
  Prepared* raw = statement.get();
  statements_.emplace(std::string(sql), std::move(statement));
  return raw;
}

absl::Status SqliteConnection::Step(Prepared* statement, Params params,
                                    absl::FunctionRef<absl::Status(sqlite3_stmt*)> on_row) {
  if (params.size() != statement->parameter_count) {
    return absl::InvalidArgumentError(absl::StrCat("database: the statement takes ",
                                                   statement->parameter_count, " parameters, not ",
                                                   params.size()));
  }
  sqlite3_stmt* stmt = statement->stmt;
  absl::Status status;
  for (size_t i = 0; i < statement->parameters.size() && status.ok(); ++i) {
    const int code = Bind(stmt, static_cast<int>(i + 1), params[statement->parameters[i]]);
    if (code != SQLITE_OK) status = ToStatus(code);
  }
  while (status.ok()) {
    const int code = sqlite3_step(stmt);
    if (code == SQLITE_DONE) break;
    if (code != SQLITE_ROW) {
      status = ToStatus(code);
      break;
    }
    status = on_row(stmt);
  }
  sqlite3_reset(stmt);
  // The bound bytes are the caller's and end with this call.
  sqlite3_clear_bindings(stmt);
  return status;
}

absl::StatusOr<int64_t> SqliteConnection::StepCounting(Prepared* statement, Params params) {
  const sqlite3_int64 before = sqlite3_total_changes64(db_);
  RETURN_IF_ERROR(Step(statement, params, PassRow));
  // The engine's count keeps the last change's value where a statement changed nothing.
  return sqlite3_total_changes64(db_) == before ? 0 : sqlite3_changes64(db_);
}

absl::StatusOr<int64_t> SqliteConnection::Run(absl::string_view sql, Params params) {
  if (!failure_.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("database: the transaction has failed already: ", failure_.message()));
  }
  absl::StatusOr<Prepared*> statement = Prepare(sql);
  if (!statement.ok()) return Fail(statement.status());
  absl::StatusOr<int64_t> changed = StepCounting(*statement, params);
  if (!changed.ok()) return Fail(changed.status());
  return changed;
}

absl::StatusOr<Rows> SqliteConnection::Query(absl::string_view sql, Params params) {
  if (!failure_.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("database: the transaction has failed already: ", failure_.message()));
  }
  absl::StatusOr<Prepared*> statement = Prepare(sql);
  if (!statement.ok()) return Fail(statement.status());
  Rows rows;
  const auto append = [&rows](sqlite3_stmt* stmt) { return AppendRow(stmt, &rows); };
  if (absl::Status status = Step(*statement, params, append); !status.ok()) return Fail(status);
  return rows;
}

absl::Status SqliteConnection::Scan(absl::string_view sql, OnRow on_row) {
  if (!failure_.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("database: the transaction has failed already: ", failure_.message()));
  }
  absl::StatusOr<Prepared*> statement = Prepare(sql);
  if (!statement.ok()) return Fail(statement.status());
  std::vector<RowView::Field> fields;
  const auto view = [&](sqlite3_stmt* stmt) -> absl::Status {
    fields.assign(static_cast<size_t>(sqlite3_data_count(stmt)), {});
    for (int column = 0; column < static_cast<int>(fields.size()); ++column) {
      RowView::Field& field = fields[static_cast<size_t>(column)];
      const int type = sqlite3_column_type(stmt, column);
      if (type == SQLITE_FLOAT) return NotHeld(column);
      field.null = type == SQLITE_NULL;
      if (type == SQLITE_INTEGER) {
        field.number = sqlite3_column_int64(stmt, column);
      } else if (!field.null) {
        const void* bytes = type == SQLITE_TEXT ? sqlite3_column_text(stmt, column)
                                                : sqlite3_column_blob(stmt, column);
        field.bytes = absl::string_view(static_cast<const char*>(bytes),
                                        static_cast<size_t>(sqlite3_column_bytes(stmt, column)));
      }
    }
    return on_row(RowView(fields));
  };
  if (absl::Status status = Step(*statement, {}, view); !status.ok()) return Fail(status);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Rows>> SqliteConnection::Pipeline(
    absl::Span<const Statement> statements) {
  std::vector<Rows> results;
  for (const Statement& statement : statements) {
    ASSIGN_OR_RETURN(results.emplace_back(), Query(statement.sql, statement.params));
  }
  return results;
}

absl::StatusOr<int64_t> SqliteConnection::BulkInsert(absl::string_view table,
                                                     const std::vector<std::string>& columns,
                                                     absl::Span<const Row> rows,
                                                     OnConflict on_conflict) {
  if (!failure_.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("database: the transaction has failed already: ", failure_.message()));
  }
  std::vector<std::string> parameters;
  for (size_t i = 1; i <= columns.size(); ++i) parameters.push_back(absl::StrCat("$", i));
  absl::StatusOr<Prepared*> statement =
      Prepare(absl::StrCat("INSERT INTO ", table, " (", absl::StrJoin(columns, ", "), ") VALUES (",
                           absl::StrJoin(parameters, ", "), ")",
                           on_conflict == OnConflict::kSkip ? " ON CONFLICT DO NOTHING" : ""));
  if (!statement.ok()) return Fail(statement.status());
  int64_t inserted = 0;
  for (const Row& row : rows) {
    const Params values = row.size() == 0 ? Params() : Params(&row[0], row.size());
    absl::StatusOr<int64_t> changed = StepCounting(*statement, values);
    if (!changed.ok()) return Fail(changed.status());
    inserted += *changed;
  }
  return inserted;
}

absl::Status SqliteConnection::RunScript(absl::string_view sql) {
  if (!failure_.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("database: the transaction has failed already: ", failure_.message()));
  }
  while (!sql.empty()) {
    Prepared statement;
    const char* tail = nullptr;
    const int code = sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), 0,
                                        &statement.stmt, &tail);
    if (code != SQLITE_OK) return Fail(ToStatus(code));
    sql.remove_prefix(static_cast<size_t>(tail - sql.data()));
    if (statement.stmt == nullptr) continue;  // a comment or white space
    if (sqlite3_bind_parameter_count(statement.stmt) != 0) {
      return Fail(absl::InvalidArgumentError("database: a script takes no parameters"));
    }
    if (absl::Status status = Step(&statement, {}, PassRow); !status.ok()) return Fail(status);
  }
  return absl::OkStatus();
}

absl::Status SqliteConnection::Control(absl::string_view sql) {
  ASSIGN_OR_RETURN(Prepared * statement, Prepare(sql));
  return Step(statement, {}, PassRow);
}

absl::Status SqliteConnection::RunBody(const Database::Body& body) {
  failure_ = absl::OkStatus();
  absl::Status status = body(*this);
  if (status.ok()) status = std::move(failure_);
  failure_ = absl::OkStatus();
  return status;
}

bool SqliteConnection::in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

bool SqliteConnection::TakeBusy() { return std::exchange(busy_, false); }

}  // namespace countersign::storage
