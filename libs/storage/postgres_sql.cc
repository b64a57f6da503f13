#include "libs/storage/postgres_sql.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace countersign::storage {
namespace {

// The protocol counts them in 16 bits.
constexpr size_t kMaxParameters = 65535;

bool IsWordStart(char c) { return absl::ascii_isalpha(c) || c == '_' || (c & 0x80) != 0; }
bool IsWord(char c) { return IsWordStart(c) || absl::ascii_isdigit(c); }

// What these return is how many bytes of `sql` the token at its start takes; all of them where its
// end is missing, about which the server complains.

size_t LineComment(absl::string_view sql) { return std::min(sql.find('\n'), sql.size()); }

// Comments nest.
size_t BlockComment(absl::string_view sql) {
  int depth = 0;
  for (size_t i = 0; i + 1 < sql.size(); ++i) {
    if (sql[i] == '/' && sql[i + 1] == '*') {
      ++depth;
      ++i;
    } else if (sql[i] == '*' && sql[i + 1] == '/') {
      ++i;
      if (--depth == 0) return i + 1;
    }
  }
  return sql.size();
}

// A doubled quote ends one string and begins the next, which comes to the same.
size_t Quoted(absl::string_view sql, bool backslash_escapes) {
  for (size_t i = 1; i < sql.size(); ++i) {
    if (sql[i] == sql[0]) return i + 1;
    if (backslash_escapes && sql[i] == '\\') ++i;
  }
  return sql.size();
}

// $$…$$ or $tag$…$tag$; 0 when the dollar begins neither.
size_t DollarQuoted(absl::string_view sql) {
  size_t tag = 1;
  while (tag < sql.size() && IsWord(sql[tag])) ++tag;
  if (tag >= sql.size() || sql[tag] != '$') return 0;
  const absl::string_view delimiter = sql.substr(0, tag + 1);
  const size_t end = sql.find(delimiter, delimiter.size());
  return end == absl::string_view::npos ? sql.size() : end + delimiter.size();
}

size_t Word(absl::string_view sql) {
  size_t size = 0;
  while (size < sql.size() && (IsWord(sql[size]) || (size > 0 && sql[size] == '$'))) ++size;
  return size;
}

size_t Digits(absl::string_view sql) {
  size_t size = 0;
  while (size < sql.size() && absl::ascii_isdigit(sql[size])) ++size;
  return size;
}

}  // namespace

absl::StatusOr<size_t> CountParameters(absl::string_view sql) {
  size_t parameters = 0;
  bool begun = false;
  bool ended = false;
  while (!sql.empty()) {
    const char c = sql[0];
    size_t size = 1;
    if (absl::ascii_isspace(c)) {
      sql.remove_prefix(1);
      continue;
    }
    if (absl::StartsWith(sql, "--")) {
      sql.remove_prefix(LineComment(sql));
      continue;
    }
    if (absl::StartsWith(sql, "/*")) {
      sql.remove_prefix(BlockComment(sql));
      continue;
    }
    if (c == ';') {
      ended = true;
      sql.remove_prefix(1);
      continue;
    }
    if (ended) break;
    begun = true;
    if (c == '\'' || c == '"') {
      size = Quoted(sql, /*backslash_escapes=*/false);
    } else if ((c == 'e' || c == 'E') && sql.size() > 1 && sql[1] == '\'') {
      size = 1 + Quoted(sql.substr(1), /*backslash_escapes=*/true);
    } else if (IsWordStart(c)) {
      size = Word(sql);
    } else if (absl::ascii_isdigit(c)) {
      size = Digits(sql);
    } else if (c == '$') {
      const size_t digits = Digits(sql.substr(1));
      size_t number = 0;
      if (digits > 0) {
        if (!absl::SimpleAtoi(sql.substr(1, digits), &number) || number < 1 ||
            number > kMaxParameters) {
          return absl::InvalidArgumentError("database: parameters are numbered $1 to $65535");
        }
        parameters = std::max(parameters, number);
        size = 1 + digits;
      } else {
        size = DollarQuoted(sql);
        if (size == 0) {
          return absl::InvalidArgumentError("database: parameters are written $1, $2 and so on");
        }
      }
    }
    sql.remove_prefix(size);
  }
  if (!begun || !sql.empty()) {
    return absl::InvalidArgumentError("database: exactly one statement is needed");
  }
  return parameters;
}

}  // namespace countersign::storage
