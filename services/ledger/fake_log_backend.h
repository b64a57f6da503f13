// A registry's logs under a test's control: their stores and their cosigners are fakes.h's.
#ifndef COUNTERSIGN_SERVICES_LEDGER_FAKE_LOG_BACKEND_H_
#define COUNTERSIGN_SERVICES_LEDGER_FAKE_LOG_BACKEND_H_

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/status_macros.h"
#include "libs/note/test_keys.h"
#include "services/ledger/fakes.h"
#include "services/ledger/file_log_store.h"
#include "services/ledger/log_registry.h"

namespace countersign::ledger {

// What the test keeps hold of. Filled while a registry opens and makes logs.
struct FakeLogs {
  std::string directory;  // of all logs; outlives the registry's
  bool shared = false;
  bool block_cosigners = false;                    // those made from now on
  std::map<std::string, std::string> origins;      // by name: the logs that there are
  std::map<std::string, std::string> policies;     // by name
  std::map<std::string, absl::Status> failures;    // by name: what Open answers
  std::map<std::string, FakeLogStore*> stores;     // by name
  std::map<std::string, FakeCosigner*> cosigners;  // by origin

  LogRegistry::Options Options(const std::string& main_log, const std::string& origin);
};

// Logs in folders of FakeLogs::directory, with keys that depend on their origins alone.
class FakeLogBackend final : public LogBackend {
 public:
  explicit FakeLogBackend(FakeLogs* logs) : logs_(logs) {}

  absl::StatusOr<std::vector<std::string>> List() override {
    std::vector<std::string> names;
    for (const auto& [name, origin] : logs_->origins) names.push_back(name);
    return names;
  }
  absl::StatusOr<StoredLog> Open(const LogName& name) override {
    const std::string text = name.ToString();
    if (logs_->origins.count(text) == 0) return absl::NotFoundError("no such log");
    if (logs_->failures.count(text) != 0) return logs_->failures[text];
    FileLogStore::Options options;
    options.directory = logs_->directory + "/" + text;
    std::filesystem::create_directories(options.directory);
    ASSIGN_OR_RETURN(auto files, FileLogStore::Open(options));
    auto store = std::make_unique<FakeLogStore>(std::move(files));
    logs_->stores[text] = store.get();
    return StoredLog{std::move(store), note::TestLogSigner(logs_->origins[text]),
                     logs_->policies[text]};
  }
  absl::Status Create(const LogName& name, const std::string& origin,
                      const std::string& witness_policy) override {
    if (logs_->origins.emplace(name.ToString(), origin).second) {
      logs_->policies[name.ToString()] = witness_policy;
    }
    return absl::OkStatus();
  }
  bool shared() const override { return logs_->shared; }

 private:
  FakeLogs* const logs_;
};

inline LogRegistry::Options FakeLogs::Options(const std::string& main_log,
                                              const std::string& origin) {
  LogRegistry::Options options;
  options.main_log = *ParseLogName(main_log);
  options.main_origin = origin;
  options.ledger.publish_interval = absl::Milliseconds(1);
  options.ledger.cosign_retry = absl::Milliseconds(1);
  options.make_cosigner = [this](const note::Policy& /*policy*/, const note::NoteVerifier& key) {
    auto cosigner = std::make_unique<FakeCosigner>();
    if (block_cosigners) cosigner->Block();
    cosigners[key.name()] = cosigner.get();
    return absl::StatusOr<std::unique_ptr<Cosigner>>(std::move(cosigner));
  };
  return options;
}

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_FAKE_LOG_BACKEND_H_
