// Resource names of logs: tenants/{tenant}/logs/{log}.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LOG_NAME_H_
#define COUNTERSIGN_SERVICES_LEDGER_LOG_NAME_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::ledger {

// Ids are 1 to 63 of a-z, 0-9 and '-', which is neither first nor last: what may stand in a host
// name, a path and a URL as it is.
struct LogName {
  std::string tenant;
  std::string log;

  std::string ToString() const;
};

// InvalidArgument, saying what a name looks like, for anything else.
absl::StatusOr<LogName> ParseLogName(absl::string_view name);

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LOG_NAME_H_
