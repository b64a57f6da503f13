#include "services/ledger/log_name.h"

#include <algorithm>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace countersign::ledger {
namespace {

bool IsId(absl::string_view id) {
  if (id.empty() || id.size() > 63 || id.front() == '-' || id.back() == '-') return false;
  return std::all_of(id.begin(), id.end(), [](char c) {
    return absl::ascii_islower(static_cast<unsigned char>(c)) ||
           absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-';
  });
}

}  // namespace

std::string LogName::ToString() const { return absl::StrCat("tenants/", tenant, "/logs/", log); }

absl::StatusOr<LogName> ParseLogName(absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  if (parts.size() != 4 || parts[0] != "tenants" || parts[2] != "logs" || !IsId(parts[1]) ||
      !IsId(parts[3])) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", absl::CHexEscape(name.substr(0, 200)),
        "' is not a log's name: it has the form tenants/{tenant}/logs/{log}, each id 1 to 63 of "
        "a-z, 0-9 and '-'"));
  }
  return LogName{std::string(parts[1]), std::string(parts[3])};
}

}  // namespace countersign::ledger
