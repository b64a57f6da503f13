#include "libs/storage/postgres_wire.h"

#include <endian.h>

#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"

namespace countersign::storage {
namespace {

// From the server's catalogue (pg_type.dat); fixed for ever.
constexpr Oid kBool = 16;
constexpr Oid kBytea = 17;
constexpr Oid kName = 19;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kText = 25;
constexpr Oid kUnknown = 705;
constexpr Oid kBpchar = 1042;
constexpr Oid kVarchar = 1043;
constexpr Oid kVoid = 2278;

constexpr size_t kMaxFieldBytes = (size_t{1} << 30) - 64;

std::string TypeName(Oid type) {
  switch (type) {
    case kBool:
      return "boolean";
    case kBytea:
      return "bytea";
    case kInt8:
      return "bigint";
    case kInt2:
      return "smallint";
    case kInt4:
      return "integer";
    case kText:
      return "text";
    case kVarchar:
      return "varchar";
    case 114:
      return "json";
    case 700:
    case 701:
      return "a floating-point number";
    case 1082:
      return "date";
    case 1114:
      return "timestamp";
    case 1184:
      return "timestamptz";
    case 1186:
      return "interval";
    case 1700:
      return "numeric";
    case 2950:
      return "uuid";
    case 3802:
      return "jsonb";
    default:
      return absl::StrCat("the type with OID ", type);
  }
}

Value::Type HeldBy(Oid type) {
  switch (type) {
    case kInt8:
    case kInt4:
    case kInt2:
    case kBool:
      return Value::Type::kInt;
    case kText:
    case kVarchar:
    case kBpchar:
    case kName:
    case kUnknown:
      return Value::Type::kText;
    case kBytea:
      return Value::Type::kBytes;
    default:
      return Value::Type::kNull;
  }
}

template <typename Integer>
Integer Load(const char* bytes) {
  Integer value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

int64_t DecodeInt(Oid type, const char* bytes) {
  switch (type) {
    case kInt8:
      return static_cast<int64_t>(be64toh(Load<uint64_t>(bytes)));
    case kInt4:
      return static_cast<int32_t>(be32toh(Load<uint32_t>(bytes)));
    case kInt2:
      return static_cast<int16_t>(be16toh(Load<uint16_t>(bytes)));
    default:
      return bytes[0];
  }
}

template <typename Integer>
void Append(Integer big_endian, std::string* out) {
  out->append(reinterpret_cast<const char*>(&big_endian), sizeof(big_endian));
}
void Append16(int16_t number, std::string* out) {
  Append(htobe16(static_cast<uint16_t>(number)), out);
}
void Append32(int32_t number, std::string* out) {
  Append(htobe32(static_cast<uint32_t>(number)), out);
}
void Append64(int64_t number, std::string* out) {
  Append(htobe64(static_cast<uint64_t>(number)), out);
}

absl::Status CheckText(const std::string& text) {
  if (text.find('\0') == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "database: PostgreSQL's TEXT holds no zero bytes; store them as bytes");
}

absl::Status CheckSize(const std::string& bytes) {
  if (bytes.size() <= kMaxFieldBytes) return absl::OkStatus();
  return absl::InvalidArgumentError("database: PostgreSQL holds values of less than 1 GB");
}

absl::Status OutOfRange(const PostgresColumn& column) {
  return absl::InvalidArgumentError(absl::StrCat("database: a number is out of range for column ",
                                                 column.name, ", ", TypeName(column.type)));
}

// Appends a field of COPY: its length and its bytes, -1 and none for null.
absl::Status AppendField(const PostgresColumn& column, Oid type, const Value& value,
                         std::string* out) {
  if (value.is_null()) {
    Append32(-1, out);
    return absl::OkStatus();
  }
  if (value.type() != HeldBy(type)) {
    return absl::InvalidArgumentError(absl::StrCat("database: column ", column.name, " is ",
                                                   TypeName(column.type),
                                                   ", which this kind of value does not fit"));
  }
  if (value.type() != Value::Type::kInt) {
    const std::string& bytes = value.AsString();
    if (value.type() == Value::Type::kText) RETURN_IF_ERROR(CheckText(bytes));
    RETURN_IF_ERROR(CheckSize(bytes));
    Append32(static_cast<int32_t>(bytes.size()), out);
    out->append(bytes);
    return absl::OkStatus();
  }
  const int64_t number = value.AsInt();
  switch (type) {
    case kInt8:
      Append32(8, out);
      Append64(number, out);
      return absl::OkStatus();
    case kInt4:
      if (number != static_cast<int32_t>(number)) return OutOfRange(column);
      Append32(4, out);
      Append32(static_cast<int32_t>(number), out);
      return absl::OkStatus();
    case kInt2:
      if (number != static_cast<int16_t>(number)) return OutOfRange(column);
      Append32(2, out);
      Append16(static_cast<int16_t>(number), out);
      return absl::OkStatus();
    default:
      if (number != 0 && number != 1) return OutOfRange(column);
      Append32(1, out);
      out->push_back(static_cast<char>(number));
      return absl::OkStatus();
  }
}

absl::Status CheckWidth(const std::vector<PostgresColumn>& columns, const Row& row) {
  if (row.size() == columns.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("database: the statement takes ", columns.size(),
                                                 " values a row, not ", row.size()));
}

// The type that a column's values travel in within an array; its assignment narrows them.
Oid ElementType(Oid type) {
  switch (HeldBy(type)) {
    case Value::Type::kInt:
      return type == kBool ? kBool : kInt8;
    case Value::Type::kText:
      return kText;
    default:
      return type;
  }
}

}  // namespace

// Signature, no flags, no extension; and the row count that stands for the end.
const absl::string_view kCopyHeader("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
const absl::string_view kCopyTrailer("\377\377", 2);

Oid ParameterType(const Value& value) {
  switch (value.type()) {
    case Value::Type::kInt:
      return kInt8;
    case Value::Type::kText:
      return kText;
    case Value::Type::kBytes:
      return kBytea;
    case Value::Type::kNull:
      break;
  }
  return InvalidOid;
}

absl::Status PostgresParameters::Check(Params params) {
  for (const Value& value : params) {
    if (value.type() == Value::Type::kText) RETURN_IF_ERROR(CheckText(value.AsString()));
    RETURN_IF_ERROR(CheckSize(value.AsString()));
  }
  return absl::OkStatus();
}

void PostgresParameters::Encode(Params params) {
  numbers_.assign(params.size(), 0);
  values_.assign(params.size(), nullptr);
  lengths_.assign(params.size(), 0);
  formats_.assign(params.size(), 1);
  for (size_t i = 0; i < params.size(); ++i) {
    const Value& value = params[i];
    if (value.is_null()) continue;
    if (value.type() == Value::Type::kInt) {
      numbers_[i] = htobe64(static_cast<uint64_t>(value.AsInt()));
      values_[i] = reinterpret_cast<const char*>(&numbers_[i]);
      lengths_[i] = sizeof(uint64_t);
    } else {
      values_[i] = value.AsString().data();
      lengths_[i] = static_cast<int>(value.AsString().size());
    }
  }
}

absl::StatusOr<Rows> DecodeRows(const PGresult* result) {
  const int columns = PQnfields(result);
  const int count = PQntuples(result);
  std::vector<Oid> types;
  for (int column = 0; column < columns; ++column) {
    const Oid type = PQftype(result, column);
    if (count > 0 && HeldBy(type) == Value::Type::kNull && type != kVoid) {
      return absl::InvalidArgumentError(absl::StrCat("database: column ", column + 1, " is ",
                                                     TypeName(type),
                                                     "; cast it to BIGINT, TEXT or BYTEA"));
    }
    types.push_back(type);
  }
  Rows rows;
  rows.reserve(static_cast<size_t>(count));
  for (int row = 0; row < count; ++row) {
    std::vector<Value> values;
    values.reserve(types.size());
    for (int column = 0; column < columns; ++column) {
      const Oid type = types[static_cast<size_t>(column)];
      const char* bytes = PQgetvalue(result, row, column);
      const absl::string_view view(bytes, static_cast<size_t>(PQgetlength(result, row, column)));
      if (PQgetisnull(result, row, column) != 0 || type == kVoid) {
        values.push_back(Value::Null());
      } else if (HeldBy(type) == Value::Type::kInt) {
        values.push_back(Value(DecodeInt(type, bytes)));
      } else if (HeldBy(type) == Value::Type::kText) {
        values.push_back(Value::Text(view));
      } else {
        values.push_back(Value::Bytes(view));
      }
    }
    rows.emplace_back(std::move(values));
  }
  return rows;
}

absl::Status PostgresCopyReader::Read(absl::string_view piece) {
  const bool whole = rest_.empty();
  if (!whole) rest_.append(piece.data(), piece.size());
  ASSIGN_OR_RETURN(const absl::string_view left, ReadRows(whole ? piece : rest_));
  rest_ = std::string(left);
  return absl::OkStatus();
}

absl::StatusOr<absl::string_view> PostgresCopyReader::ReadRows(absl::string_view bytes) {
  const absl::Status malformed = absl::InternalError("database: the server sent a malformed COPY");
  if (!header_read_) {
    if (bytes.size() < kCopyHeader.size()) return bytes;
    if (bytes.substr(0, kCopyHeader.size()) != kCopyHeader) return malformed;
    bytes.remove_prefix(kCopyHeader.size());
    header_read_ = true;
  }
  while (bytes.size() >= sizeof(uint16_t)) {
    const auto count = static_cast<int16_t>(be16toh(Load<uint16_t>(bytes.data())));
    if (count == -1) {
      done_ = true;
      return bytes.substr(sizeof(uint16_t));
    }
    if (count < 0 || done_) return malformed;
    absl::string_view row = bytes.substr(sizeof(uint16_t));
    fields_.assign(static_cast<size_t>(count), {});
    for (RowView::Field& field : fields_) {
      if (row.size() < sizeof(uint32_t)) return bytes;
      const auto size = static_cast<int32_t>(be32toh(Load<uint32_t>(row.data())));
      row.remove_prefix(sizeof(uint32_t));
      if (size == -1) continue;
      if (size < 0) return malformed;
      if (row.size() < static_cast<size_t>(size)) return bytes;
      field.null = false;
      field.bytes = row.substr(0, static_cast<size_t>(size));
      row.remove_prefix(static_cast<size_t>(size));
      switch (size) {
        case 8:
          field.number = DecodeInt(kInt8, field.bytes.data());
          break;
        case 4:
          field.number = DecodeInt(kInt4, field.bytes.data());
          break;
        case 2:
          field.number = DecodeInt(kInt2, field.bytes.data());
          break;
        case 1:
          field.number = DecodeInt(kBool, field.bytes.data());
          break;
        default:
          break;
      }
    }
    RETURN_IF_ERROR(on_row_(RowView(fields_)));
    bytes = row;
  }
  return bytes;
}

absl::Status AppendCopyRow(const std::vector<PostgresColumn>& columns, const Row& row,
                           std::string* out) {
  RETURN_IF_ERROR(CheckWidth(columns, row));
  Append16(static_cast<int16_t>(columns.size()), out);
  for (size_t i = 0; i < columns.size(); ++i) {
    RETURN_IF_ERROR(AppendField(columns[i], columns[i].type, row[i], out));
  }
  return absl::OkStatus();
}

absl::StatusOr<Oid> ArrayType(const PostgresColumn& column) {
  switch (ElementType(column.type)) {
    case kBool:
      return 1000;
    case kBytea:
      return 1001;
    case kText:
      return 1009;
    case kInt8:
      return 1016;
    default:
      return absl::InvalidArgumentError(absl::StrCat("database: column ", column.name, " is ",
                                                     TypeName(column.type),
                                                     ", which no value fits"));
  }
}

absl::StatusOr<std::string> EncodeArray(const std::vector<PostgresColumn>& columns, size_t column,
                                        absl::Span<const Row> rows) {
  const Oid type = ElementType(columns[column].type);
  std::string array;
  Append32(1, &array);  // dimensions
  Append32(1, &array);  // may hold nulls
  Append32(static_cast<int32_t>(type), &array);
  Append32(static_cast<int32_t>(rows.size()), &array);
  Append32(1, &array);  // the first index
  for (const Row& row : rows) {
    RETURN_IF_ERROR(CheckWidth(columns, row));
    RETURN_IF_ERROR(AppendField(columns[column], type, row[column], &array));
  }
  return array;
}

}  // namespace countersign::storage
