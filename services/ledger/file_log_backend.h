// LogBackend on a data folder: the main log in the folder itself, each other log in a folder like
// it at logs/{tenant}/{log}, with its tlog-policy in the file witness-policy.
#ifndef COUNTERSIGN_SERVICES_LEDGER_FILE_LOG_BACKEND_H_
#define COUNTERSIGN_SERVICES_LEDGER_FILE_LOG_BACKEND_H_

#include <memory>
#include <string>
#include <vector>

#include "libs/base/file.h"
#include "services/ledger/file_log_store.h"
#include "services/ledger/log_backend.h"

namespace countersign::ledger {

class FileLogBackend final : public LogBackend {
 public:
  struct Options {
    FileLogStore::Options store;  // of each log; its directory is the data folder
    std::string kek_path;         // made on first use
    LogName main_log;
  };

  explicit FileLogBackend(Options options) : options_(std::move(options)) {}

  absl::StatusOr<std::vector<std::string>> List() override;
  absl::StatusOr<StoredLog> Open(const LogName& name) override;
  absl::Status Create(const LogName& name, const std::string& origin,
                      const std::string& witness_policy) override;
  bool shared() const override { return false; }

 private:
  std::string FolderOf(const LogName& name) const;

  const Options options_;
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_FILE_LOG_BACKEND_H_
