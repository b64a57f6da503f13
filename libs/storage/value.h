// What goes into SQL parameters and comes out of rows.
#ifndef COUNTERSIGN_LIBS_STORAGE_VALUE_H_
#define COUNTERSIGN_LIBS_STORAGE_VALUE_H_

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace countersign::storage {

// A 64-bit integer (BIGINT), text (TEXT, UTF-8), bytes (BYTEA) or null. A plain value; text and
// bytes may hold any byte, zeros included, where the engine allows it (PostgreSQL's TEXT holds no
// zeros).
class Value {
 public:
  enum class Type { kNull, kInt, kText, kBytes };

  Value() = default;
  // Implicit, so that integers stand in a parameter list as they are.
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) Value(Integer number)
      : type_(Type::kInt), number_(static_cast<int64_t>(number)) {}  // NOLINT
  static Value Null() { return Value(); }
  static Value Text(absl::string_view text) { return Value(Type::kText, std::string(text)); }
  static Value Bytes(absl::string_view bytes) { return Value(Type::kBytes, std::string(bytes)); }

  Type type() const { return type_; }
  bool is_null() const { return type_ == Type::kNull; }

  // The number; 0 when this is none.
  int64_t AsInt() const { return number_; }
  // The content of text or bytes; empty for a number or null.
  const std::string& AsString() const& { return string_; }
  std::string AsString() && { return std::move(string_); }

  friend bool operator==(const Value& a, const Value& b) {
    return a.type_ == b.type_ && a.number_ == b.number_ && a.string_ == b.string_;
  }

 private:
  Value(Type type, std::string string) : type_(type), string_(std::move(string)) {}

  Type type_ = Type::kNull;
  int64_t number_ = 0;
  std::string string_;
};

// The values of $1, $2 and so on. Written in place: {Value::Text(name), 7}.
using Params = absl::Span<const Value>;

// One row of a result, its columns in the order of the statement.
class Row {
 public:
  explicit Row(std::vector<Value> values) : values_(std::move(values)) {}

  size_t size() const { return values_.size(); }
  const Value& operator[](size_t column) const { return values_[column]; }
  Value& operator[](size_t column) { return values_[column]; }

  bool IsNull(size_t column) const { return values_[column].is_null(); }
  int64_t Int(size_t column) const { return values_[column].AsInt(); }
  const std::string& Text(size_t column) const { return values_[column].AsString(); }
  const std::string& Bytes(size_t column) const { return values_[column].AsString(); }

 private:
  std::vector<Value> values_;
};

using Rows = std::vector<Row>;

// A row of Transaction::Scan, in the engine's own memory: gone when the callback returns.
class RowView {
 public:
  struct Field {
    bool null = true;
    int64_t number = 0;
    absl::string_view bytes;
  };

  explicit RowView(absl::Span<const Field> fields) : fields_(fields) {}

  size_t size() const { return fields_.size(); }
  bool IsNull(size_t column) const { return fields_[column].null; }
  // Of a number's column.
  int64_t Int(size_t column) const { return fields_[column].number; }
  // Of a column of text or bytes.
  absl::string_view Bytes(size_t column) const { return fields_[column].bytes; }

 private:
  absl::Span<const Field> fields_;
};

}  // namespace countersign::storage

#endif  // COUNTERSIGN_LIBS_STORAGE_VALUE_H_
