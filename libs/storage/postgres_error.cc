#include "libs/storage/postgres_error.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace countersign::storage {
namespace {

using absl::StatusCode;

// The longest prefix of a SQLSTATE decides: two characters are its class.
constexpr std::pair<absl::string_view, StatusCode> kCodes[] = {
    {"08", StatusCode::kUnavailable},            // connection exceptions
    {"08P01", StatusCode::kInternal},            // protocol violation
    {"22", StatusCode::kInvalidArgument},        // data exceptions
    {"23", StatusCode::kFailedPrecondition},     // integrity constraints
    {"23505", StatusCode::kAlreadyExists},       // unique
    {"25", StatusCode::kFailedPrecondition},     // transaction state
    {"25006", StatusCode::kPermissionDenied},    // read-only transaction
    {"28", StatusCode::kPermissionDenied},       // authentication
    {"3D", StatusCode::kNotFound},               // no such database
    {"40", StatusCode::kAborted},                // rolled back: serialization, deadlock
    {"40002", StatusCode::kFailedPrecondition},  // a deferred constraint
    {"40003", StatusCode::kUnavailable},         // completion unknown
    {"42501", StatusCode::kPermissionDenied},    // privilege
    {"44", StatusCode::kFailedPrecondition},     // WITH CHECK OPTION
    {"53", StatusCode::kResourceExhausted},      // disk, memory, connections
    {"54", StatusCode::kInvalidArgument},        // a limit of the engine
    {"55", StatusCode::kFailedPrecondition},     // object state
    {"55P03", StatusCode::kAborted},             // lock_timeout
    {"57", StatusCode::kUnavailable},            // operator intervention
    {"57014", StatusCode::kAborted},             // cancelled
    {"57P04", StatusCode::kNotFound},            // the database was dropped
    {"58", StatusCode::kUnavailable},            // input and output
    {"72", StatusCode::kAborted},                // snapshot too old
    {"P0001", StatusCode::kFailedPrecondition},  // RAISE EXCEPTION
    {"XX001", StatusCode::kDataLoss},
    {"XX002", StatusCode::kDataLoss},
};

StatusCode CodeOf(absl::string_view sqlstate) {
  StatusCode code = StatusCode::kInternal;
  size_t longest = 0;
  for (const auto& [prefix, candidate] : kCodes) {
    if (prefix.size() > longest && absl::StartsWith(sqlstate, prefix)) {
      longest = prefix.size();
      code = candidate;
    }
  }
  return code;
}

absl::string_view AdviceFor(absl::string_view sqlstate) {
  if (sqlstate == "3D000") return ": create it first (createdb)";
  if (sqlstate == "53100") return ": make room on the server's disk";
  if (sqlstate == "53300") return ": raise the server's max_connections or lower this pool's";
  if (absl::StartsWith(sqlstate, "28")) return ": check the URL's user and password";
  return "";
}

// Data exceptions quote the datum, or name its bytes or number: takes out what lies between the
// first and the last quotation mark, and every word with a digit.
std::string WithoutData(absl::string_view message) {
  std::string text(message);
  const size_t first = text.find('"');
  if (first != std::string::npos) text.replace(first, text.rfind('"') - first + 1, "…");
  std::string clean;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    bool has_digit = false;
    while (end < text.size() && (absl::ascii_isalnum(text[end]) || text[end] == '_' ||
                                 text[end] == '.' || text[end] == '-' || text[end] == '+')) {
      has_digit |= absl::ascii_isdigit(text[end]);
      ++end;
    }
    if (end == begin) {
      clean += text[begin++];
      continue;
    }
    clean += has_digit ? "…" : text.substr(begin, end - begin);
    begin = end;
  }
  return clean;
}

}  // namespace

absl::Status PostgresStatus(absl::string_view sqlstate, absl::string_view message) {
  const std::string text =
      absl::StartsWith(sqlstate, "22") ? WithoutData(message) : std::string(message);
  return absl::Status(CodeOf(sqlstate), absl::StrCat("database: ", text, " (SQLSTATE ", sqlstate,
                                                     ")", AdviceFor(sqlstate)));
}

PostgresError ReadPostgresError(const PGresult* result) {
  const auto field = [&](int code) -> absl::string_view {
    const char* text = PQresultErrorField(result, code);
    return text == nullptr ? "" : text;
  };
  PostgresError error;
  error.sqlstate = std::string(field(PG_DIAG_SQLSTATE));
  if (error.sqlstate.empty()) {
    // libpq's own words, about the connection; they hold no statement.
    absl::string_view words = PQresultErrorMessage(result);
    words = words.substr(0, words.find('\n'));
    error.fatal = true;
    error.retry = true;
    error.status = absl::UnavailableError(
        absl::StrCat("database: the connection is lost: ", absl::StripAsciiWhitespace(words)));
    return error;
  }
  const absl::string_view severity = field(PG_DIAG_SEVERITY_NONLOCALIZED);
  error.fatal = severity == "FATAL" || severity == "PANIC";
  // Which table and which constraint: the messages of some constraints name neither.
  std::string message(field(PG_DIAG_MESSAGE_PRIMARY));
  if (absl::StartsWith(error.sqlstate, "23")) {
    for (const auto& [name, code] :
         {std::pair{"table", PG_DIAG_TABLE_NAME}, std::pair{"column", PG_DIAG_COLUMN_NAME}}) {
      const absl::string_view value = field(code);
      if (!value.empty() && !absl::StrContains(message, absl::StrCat("\"", value, "\""))) {
        absl::StrAppend(&message, ", ", name, " \"", value, "\"");
      }
    }
  }
  error.status = PostgresStatus(error.sqlstate, message);
  // A plan that was prepared before the table changed has to be prepared anew, and so has one that
  // another session under the same connection (a proxy's) forgot.
  const bool stale_plan =
      error.sqlstate == "26000" ||
      (error.sqlstate == "0A000" && field(PG_DIAG_SOURCE_FUNCTION) == "RevalidateCachedQuery");
  error.fatal |= stale_plan;
  error.conflict = error.sqlstate == "40001" || error.sqlstate == "40P01" ||
                   error.sqlstate == "40000" || error.sqlstate == "72000";
  error.retry = error.fatal || error.conflict || error.sqlstate == "55P03";
  return error;
}

}  // namespace countersign::storage
