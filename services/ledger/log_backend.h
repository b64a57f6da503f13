// Where a service keeps its logs: the seam below the LogRegistry.
//
// FileLogBackend has a folder for each; a backend on a shared database serves several ledgers.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LOG_BACKEND_H_
#define COUNTERSIGN_SERVICES_LEDGER_LOG_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/note/key.h"
#include "services/ledger/log_name.h"
#include "services/ledger/log_store.h"

namespace countersign::ledger {

// All that a log is made of.
struct StoredLog {
  std::unique_ptr<LogStore> store;
  std::unique_ptr<note::NoteSigner> signer;  // its name is the log's origin
  std::string witness_policy;                // C2SP tlog-policy without a log line
};

// Used by one thread at a time.
class LogBackend {
 public:
  virtual ~LogBackend() = default;

  // The names of all logs.
  virtual absl::StatusOr<std::vector<std::string>> List() = 0;

  // NotFound when there is no such log; else what its store and its key say.
  virtual absl::StatusOr<StoredLog> Open(const LogName& name) = 0;

  // Makes a log with a fresh key: all of it or, after a failure, nothing. OK when it is there
  // already, whatever its origin and policy.
  virtual absl::Status Create(const LogName& name, const std::string& origin,
                              const std::string& witness_policy) = 0;

  // Whether other processes may create logs, so that List is worth calling again.
  virtual bool shared() const = 0;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LOG_BACKEND_H_
