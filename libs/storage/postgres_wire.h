// PostgreSQL's binary formats: parameters, results, COPY rows and arrays.
#ifndef COUNTERSIGN_LIBS_STORAGE_POSTGRES_WIRE_H_
#define COUNTERSIGN_LIBS_STORAGE_POSTGRES_WIRE_H_

#include <postgresql/libpq-fe.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/storage/value.h"

namespace countersign::storage {

struct PostgresResultDeleter {
  void operator()(PGresult* result) const { PQclear(result); }
};
using PostgresResult = std::unique_ptr<PGresult, PostgresResultDeleter>;

// The type that a parameter is declared to have: BIGINT, TEXT or BYTEA; for null 0, which leaves
// it to the server.
Oid ParameterType(const Value& value);

// Parameters as libpq takes them. Points into what Encode was given; reusable.
class PostgresParameters {
 public:
  // InvalidArgument for what PostgreSQL cannot hold.
  static absl::Status Check(Params params);
  // `params` have passed Check.
  void Encode(Params params);

  int size() const { return static_cast<int>(values_.size()); }
  const char* const* values() const { return values_.data(); }
  const int* lengths() const { return lengths_.data(); }
  const int* formats() const { return formats_.data(); }

 private:
  std::vector<uint64_t> numbers_;  // big-endian
  std::vector<const char*> values_;
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

// All rows of a result in binary format. InvalidArgument names the first column whose type a Value
// cannot hold.
absl::StatusOr<Rows> DecodeRows(const PGresult* result);

// A column that BulkInsert fills: what it is called, and its type.
struct PostgresColumn {
  std::string name;
  Oid type;
};

// The stream of COPY … (FORMAT binary) is kCopyHeader, rows, kCopyTrailer.
extern const absl::string_view kCopyHeader;
extern const absl::string_view kCopyTrailer;

// Takes such a stream apart, as it comes: pieces may end anywhere, but usually hold whole rows,
// which are then not copied. Numbers are what is 1, 2, 4 or 8 bytes long.
class PostgresCopyReader {
 public:
  explicit PostgresCopyReader(absl::FunctionRef<absl::Status(const RowView&)> on_row)
      : on_row_(on_row) {}

  // Not to be called again once it failed: with what `on_row` returned, or Internal for what is no
  // such stream.
  absl::Status Read(absl::string_view piece);
  // Whether the trailer has come.
  bool done() const { return done_; }

 private:
  // Calls on_row for the whole rows in front and returns what is left of `bytes`.
  absl::StatusOr<absl::string_view> ReadRows(absl::string_view bytes);

  const absl::FunctionRef<absl::Status(const RowView&)> on_row_;
  std::string rest_;
  std::vector<RowView::Field> fields_;
  bool header_read_ = false;
  bool done_ = false;
};

// Appends one row. InvalidArgument when it is no row of these columns.
absl::Status AppendCopyRow(const std::vector<PostgresColumn>& columns, const Row& row,
                           std::string* out);

// An array that holds a column's values of all `rows`, widened to BIGINT, TEXT or BYTEA.
absl::StatusOr<std::string> EncodeArray(const std::vector<PostgresColumn>& columns, size_t column,
                                        absl::Span<const Row> rows);
// The type of that array.
absl::StatusOr<Oid> ArrayType(const PostgresColumn& column);

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_POSTGRES_WIRE_H_
