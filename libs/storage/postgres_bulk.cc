// PostgresConnection's BulkInsert.
#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "libs/base/status_macros.h"
#include "libs/storage/postgres_connection.h"
#include "libs/storage/postgres_sql.h"

namespace countersign::storage {
namespace {

// What is handed to libpq at a time.
constexpr size_t kCopyChunkBytes = size_t{256} << 10;
// What one INSERT takes, in all and in rows.
constexpr size_t kInsertBytes = size_t{16} << 20;
constexpr size_t kInsertRows = 20000;

std::string Names(const std::vector<PostgresColumn>& columns) {
  return absl::StrJoin(columns, ", ", [](std::string* out, const PostgresColumn& column) {
    out->append(column.name);
  });
}

size_t BytesOf(const Row& row) {
  size_t bytes = 0;
  for (size_t i = 0; i < row.size(); ++i) bytes += 12 + row[i].AsString().size();
  return bytes;
}

// How many of `rows`, from the first, go into one INSERT.
size_t ChunkRows(absl::Span<const Row> rows) {
  size_t count = 0;
  size_t bytes = 0;
  while (count < rows.size() && count < kInsertRows && bytes < kInsertBytes) {
    bytes += BytesOf(rows[count++]);
  }
  return count;
}

}  // namespace

absl::StatusOr<int64_t> PostgresConnection::BulkInsert(absl::string_view table,
                                                       const std::vector<std::string>& columns,
                                                       absl::Span<const Row> rows,
                                                       OnConflict on_conflict) {
  RETURN_IF_ERROR(CheckUsable());
  if (rows.empty()) return 0;
  ASSIGN_OR_RETURN(const std::vector<PostgresColumn>* typed, ColumnsOf(table, columns));
  return on_conflict == OnConflict::kSkip ? InsertSkipping(table, *typed, rows)
                                          : Copy(table, *typed, rows);
}

// Binary formats carry no types: eight letters would quietly become a number.
absl::StatusOr<std::vector<PostgresColumn>*> PostgresConnection::ColumnsOf(
    absl::string_view table, const std::vector<std::string>& columns) {
  const std::string sql =
      absl::StrCat("SELECT ", absl::StrJoin(columns, ", "), " FROM ", table, " WHERE false");
  const auto known = columns_.find(sql);
  if (known != columns_.end()) return &known->second;
  ASSIGN_OR_RETURN(const std::vector<PostgresResult> results, RunBatch({{sql, {}}}));
  std::vector<PostgresColumn> typed;
  for (size_t i = 0; i < columns.size(); ++i) {
    typed.push_back({columns[i], PQftype(results[0].get(), static_cast<int>(i))});
  }
  return &columns_.emplace(sql, std::move(typed)).first->second;
}

absl::StatusOr<int64_t> PostgresConnection::Copy(absl::string_view table,
                                                 const std::vector<PostgresColumn>& columns,
                                                 absl::Span<const Row> rows) {
  PGconn* const connection = connection_.get();
  RETURN_IF_ERROR(
      Simple(absl::StrCat("COPY ", table, " (", Names(columns), ") FROM STDIN (FORMAT binary)"))
          .status());
  bool sent = true;
  const auto flush = [&] {
    sent =
        PQputCopyData(connection, copy_buffer_.data(), static_cast<int>(copy_buffer_.size())) == 1;
    copy_buffer_.clear();
  };
  copy_buffer_.assign(kCopyHeader.data(), kCopyHeader.size());
  absl::Status encoded;
  for (size_t i = 0; i < rows.size() && sent && encoded.ok(); ++i) {
    encoded = AppendCopyRow(columns, rows[i], &copy_buffer_);
    if (copy_buffer_.size() >= kCopyChunkBytes) flush();
  }
  if (encoded.ok()) copy_buffer_.append(kCopyTrailer.data(), kCopyTrailer.size());
  if (sent && encoded.ok()) flush();
  // A row may have made it large.
  if (copy_buffer_.capacity() > 4 * kCopyChunkBytes) copy_buffer_ = std::string();
  // What the server says counts, also where it stopped listening half-way; a part of the rows it is
  // not to take for all.
  const char* const error = !encoded.ok() ? "the rows do not fit the table"
                            : !sent       ? "the rows could not be sent"
                                          : nullptr;
  (void)PQputCopyEnd(connection, error);
  const PostgresResult result(PQgetResult(connection));
  if (!encoded.ok()) Fail(std::move(encoded)).IgnoreError();
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
    Fail(result.get()).IgnoreError();
    if (lost_) return failure_;
  }
  while (const PostgresResult end{PQgetResult(connection)}) {
  }
  RETURN_IF_ERROR(failure_);
  RETURN_IF_ERROR(CheckTransaction());
  int64_t inserted = 0;
  (void)absl::SimpleAtoi(PQcmdTuples(result.get()), &inserted);
  if (inserted != static_cast<int64_t>(rows.size())) {
    return Fail(absl::InternalError(absl::StrCat("database: of ", rows.size(), " rows ", inserted,
                                                 " were inserted into ", table)));
  }
  return inserted;
}

absl::Status PostgresConnection::Scan(absl::string_view sql, OnRow on_row) {
  RETURN_IF_ERROR(CheckUsable());
  // COPY takes no parameters, and what is sent by the simple protocol may be several statements.
  absl::StatusOr<size_t> parameters = CountParameters(sql);
  if (!parameters.ok()) return Fail(parameters.status());
  if (*parameters != 0) {
    return Fail(absl::InvalidArgumentError("database: a scan takes no parameters"));
  }
  PGconn* const connection = connection_.get();
  ASSIGN_OR_RETURN(const PostgresResult begun,
                   Simple(absl::StrCat("COPY (", sql, ") TO STDOUT (FORMAT binary)")));
  if (PQresultStatus(begun.get()) != PGRES_COPY_OUT) {
    return Fail(absl::InvalidArgumentError("database: exactly one reading statement is needed"));
  }
  // After a failure of the caller's the rest is read all the same: so the connection stays usable.
  PostgresCopyReader reader(on_row);
  absl::Status read;
  while (true) {
    char* bytes = nullptr;
    const int size = PQgetCopyData(connection, &bytes, /*async=*/0);
    if (size < 0) break;
    if (read.ok()) read = reader.Read(absl::string_view(bytes, static_cast<size_t>(size)));
    PQfreemem(bytes);
  }
  const PostgresResult result(PQgetResult(connection));
  if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
    Fail(result.get()).IgnoreError();
    if (lost_) return failure_;
  }
  while (const PostgresResult end{PQgetResult(connection)}) {
  }
  RETURN_IF_ERROR(failure_);
  if (read.ok() && !reader.done()) {
    read = absl::InternalError("database: the rows of a scan ended half-way");
  }
  if (!read.ok()) return Fail(std::move(read));
  return CheckTransaction();
}

// COPY cannot skip. An array a column makes it one statement for any number of rows.
absl::StatusOr<int64_t> PostgresConnection::InsertSkipping(
    absl::string_view table, const std::vector<PostgresColumn>& columns,
    absl::Span<const Row> rows) {
  std::vector<Oid> types;
  std::vector<std::string> parameters;
  for (const PostgresColumn& column : columns) {
    const absl::StatusOr<Oid> type = ArrayType(column);
    if (!type.ok()) return Fail(type.status());
    types.push_back(*type);
    parameters.push_back(absl::StrCat("$", types.size()));
  }
  const std::string sql =
      absl::StrCat("INSERT INTO ", table, " (", Names(columns), ") SELECT * FROM unnest(",
                   absl::StrJoin(parameters, ", "), ") ON CONFLICT DO NOTHING");
  if (!begin_.empty()) RETURN_IF_ERROR(Simple("").status());
  int64_t inserted = 0;
  while (!rows.empty()) {
    const absl::Span<const Row> chunk = rows.subspan(0, ChunkRows(rows));
    rows.remove_prefix(chunk.size());
    std::vector<Value> arrays;
    for (size_t column = 0; column < columns.size(); ++column) {
      absl::StatusOr<std::string> array = EncodeArray(columns, column, chunk);
      if (!array.ok()) return Fail(array.status());
      arrays.push_back(Value::Bytes(*array));
    }
    parameters_.Encode(arrays);
    const PostgresResult result(PQexecParams(
        connection_.get(), sql.c_str(), parameters_.size(), types.data(), parameters_.values(),
        parameters_.lengths(), parameters_.formats(), /*resultFormat=*/1));
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) return Fail(result.get());
    int64_t some = 0;
    (void)absl::SimpleAtoi(PQcmdTuples(result.get()), &some);
    inserted += some;
  }
  return inserted;
}

}  // namespace countersign::storage
