#include "libs/storage/postgres_url.h"

#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "libs/storage/postgres_error.h"

namespace countersign::storage {
namespace {

using Options = std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)>;

absl::Status Malformed() {
  return absl::InvalidArgumentError(
      "the database's URL is malformed: write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
      "%40 for @, %2F for /, %3A for : and %25 for % within a name or password");
}

bool IsSqlstate(absl::string_view text) {
  if (text.size() < 5) return false;
  for (const char c : text.substr(0, 5)) {
    if (!absl::ascii_isdigit(c) && !absl::ascii_isupper(c)) return false;
  }
  return true;
}

absl::string_view FirstLine(absl::string_view text) { return text.substr(0, text.find('\n')); }

}  // namespace

absl::Status CheckPostgresUrl(absl::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme == absl::string_view::npos) return Malformed();
  const absl::string_view rest = url.substr(scheme + 3);
  const size_t at = rest.find('@');
  if (at != absl::string_view::npos && (rest.rfind('@') != at || rest.find('/') < at)) {
    return Malformed();
  }
  const Options options(PQconninfoParse(std::string(url).c_str(), nullptr), &PQconninfoFree);
  if (options == nullptr) return Malformed();
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr || std::strcmp(option->keyword, "port") != 0) continue;
    for (const char c : absl::string_view(option->val)) {
      if (!absl::ascii_isdigit(c) && c != ',') return Malformed();
    }
  }
  return absl::OkStatus();
}

absl::Status ConnectError(PGconn* connection) {
  std::string words = PQerrorMessage(connection);
  if (const char* password = PQpass(connection); password != nullptr && *password != '\0') {
    words = absl::StrReplaceAll(words, {{password, "…"}});
  }
  // The server's words come as "…: FATAL:  28P01: password authentication failed …".
  for (size_t i = words.find(":  "); i != std::string::npos; i = words.find(":  ", i + 1)) {
    const absl::string_view state = absl::string_view(words).substr(i + 3);
    if (!IsSqlstate(state) || !absl::StartsWith(state.substr(5), ": ")) continue;
    return PostgresStatus(state.substr(0, 5),
                          absl::StrCat("cannot connect: ", FirstLine(state.substr(7))));
  }
  const std::string message = absl::StrCat("database: cannot connect: ", FirstLine(words));
  if (PQconnectionNeedsPassword(connection) != 0) return absl::PermissionDeniedError(message);
  return absl::UnavailableError(message);
}

}  // namespace countersign::storage
