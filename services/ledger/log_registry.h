// The logs of one service: opens them, makes new ones, finds them by name.
#ifndef COUNTERSIGN_SERVICES_LEDGER_LOG_REGISTRY_H_
#define COUNTERSIGN_SERVICES_LEDGER_LOG_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "libs/note/key.h"
#include "libs/note/policy.h"
#include "services/ledger/cosigner.h"
#include "services/ledger/ledger.h"
#include "services/ledger/log_backend.h"
#include "services/ledger/log_name.h"

namespace countersign::ledger {

// Who a log is. `name` is its resource name, tenants/{tenant}/logs/{log}.
struct LogIdentity {
  std::string name;
  std::string origin;
  std::string vkey;  // C2SP signed-note text form
  std::string spki_der;
  std::string key_id;       // the full 32-byte note key hash
  std::string policy_text;  // C2SP tlog-policy: log, witnesses, quorum
};

struct Log {
  LogIdentity identity;
  std::unique_ptr<Ledger> ledger;
};

// Thread-safe. A Log that it has given out lives as long as the registry.
class LogRegistry {
 public:
  struct Options {
    LogName main_log;  // made when it is not there
    std::string main_origin;
    // C2SP tlog-policy text. Of the main log, at each start anew; and of those made without one.
    // A log line, if there is one, must name the main log's key.
    std::string witness_policy = "quorum none\n";
    Ledger::Options ledger;  // of every log; the origin is each one's own
    // Makes a log's cosigner: InvalidArgument when the policy is not for this log.
    std::function<absl::StatusOr<std::unique_ptr<Cosigner>>(note::Policy policy,
                                                            note::NoteVerifier log_key)>
        make_cosigner;
    // How often a shared backend is asked for logs that others have made.
    absl::Duration follow_interval = absl::Seconds(1);
    // Called for each log before it is found, from any thread.
    std::function<void(const Log&)> on_open = [](const Log&) {};
  };

  // Opens every log. Fails as the main log does; another that does not open is logged, and finding
  // it fails for the same reason; on a shared backend it is tried again.
  static absl::StatusOr<std::unique_ptr<LogRegistry>> Open(const Options& options,
                                                           std::unique_ptr<LogBackend> backend);

  ~LogRegistry();

  // NotFound when there is none of that name, InvalidArgument when it is no log's name.
  absl::StatusOr<const Log*> Find(absl::string_view name) const;

  const Log& main_log() const { return *main_log_; }

  // At most `count` logs of `tenant`, in order of their names, from `first` on.
  std::vector<const Log*> List(absl::string_view tenant, absl::string_view first,
                               size_t count) const;

  // Makes a log, or finds the one that was made with the same arguments. An empty `origin` means
  // {main origin}/{name}, an empty `witness_policy` that of Options. AlreadyExists when its origin
  // or policy is another, or another log has the origin; InvalidArgument for a malformed argument.
  absl::StatusOr<const Log*> Create(const LogName& name, std::string origin,
                                    std::string witness_policy);

  // Stops every ledger: see Ledger::Stop. No log is made or opened after it.
  void Stop();

 private:
  LogRegistry(const Options& options, std::string default_policy,
              std::unique_ptr<LogBackend> backend);

  // Opens a log and adds it to logs_, or its failure to failed_.
  absl::Status Add(const LogName& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(backend_mutex_);
  absl::StatusOr<std::unique_ptr<Log>> Start(const LogName& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(backend_mutex_);
  absl::Status CheckOriginIsFree(const std::string& name, const std::string& origin) const;
  void FollowLoop();

  const Options options_;
  const std::string default_policy_;  // without log lines
  const Log* main_log_ = nullptr;

  // Held while logs are made and opened, which takes a while; acquired before mutex_.
  base::Mutex backend_mutex_;
  const std::unique_ptr<LogBackend> backend_ ABSL_GUARDED_BY(backend_mutex_);

  mutable base::Mutex mutex_;
  base::CondVar wake_;
  std::map<std::string, std::unique_ptr<Log>, std::less<>> logs_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status, std::less<>> failed_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread follower_;  // of a shared backend
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_LOG_REGISTRY_H_
