// Starts the suite's services as child processes, and keeps them running until told to stop.
#ifndef COUNTERSIGN_CLI_SUPERVISOR_H_
#define COUNTERSIGN_CLI_SUPERVISOR_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/runtime/subprocess.h"

namespace countersign::cli {

// Not thread-safe: for the main thread, whose end is the children's (subprocess.h). From Create on,
// SIGINT, SIGTERM and SIGHUP are taken by it: whatever waits returns Cancelled.
class Supervisor {
 public:
  struct Options {
    std::string log_folder;  // NAME.log: what a child writes
    std::string run_folder;  // NAME.json: its port file
    absl::Duration min_backoff = absl::Milliseconds(500);
    absl::Duration max_backoff = absl::Seconds(30);
    // For each group of StopAll; then SIGKILL.
    absl::Duration stop_timeout = absl::Seconds(6);
  };

  // Addresses for --listen, --http-listen and --admin-listen; empty = the flag is left out. A
  // service has an admin address. A port 0 is replaced by the port bound, so that a child that is
  // started again keeps its address.
  struct Listen {
    std::string grpc;
    std::string http;
    std::string admin;
  };

  struct Child {
    std::string name;
    std::string binary;
    Listen listen;
    std::vector<std::string> args;
    runtime::BoundPorts ports;

    std::unique_ptr<runtime::Subprocess> process;  // null while it waits to be started again
    bool listening = false;
    off_t log_start = 0;  // where the output of this run begins
    int failures = 0;     // in a row
    absl::Time started;
    absl::Time start_at = absl::InfiniteFuture();

    pid_t pid() const { return process == nullptr ? 0 : process->pid(); }
  };

  static absl::StatusOr<std::unique_ptr<Supervisor>> Create(Options options);
  // Kills what still runs.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Runs a child to its end. Its last words are the error when it fails.
  absl::Status RunOnce(const std::string& name, const std::string& binary,
                       std::vector<std::string> args);

  // Starts a service of runtime::Main and returns once it listens and its /readyz answers 200.
  // Unavailable, with its last words, when it ends; DeadlineExceeded after `timeout`. The child
  // lives as long as this object.
  absl::StatusOr<Child*> Start(const std::string& name, const std::string& binary, Listen listen,
                               std::vector<std::string> args, absl::Duration timeout);

  // Starts children that end again, later each time, and says so on standard error; calls `changed`
  // when one listens again. Returns Cancelled, once told to stop.
  absl::Status KeepRunning(const std::function<void()>& changed);

  // SIGTERM to all in reverse order of Start, each waited for before the next; children whose names
  // differ only in a number at the end are told together. Those that do not end in time, or all on
  // a second signal a second later, are killed. At most 30 seconds in all.
  void StopAll();

  const std::vector<std::unique_ptr<Child>>& children() const { return children_; }

 private:
  Supervisor(Options options, int signal_fd, int watch_fd);

  absl::Status Launch(Child* child);
  // Waits until something happened, or `deadline`; takes port files and signals into account.
  void Poll(absl::Time deadline);
  void TakePortFile(Child* child);
  absl::Status WaitUntilReady(Child* child, absl::Time deadline);
  void HandleEnd(Child* child, int exit_code);
  std::string LastWords(const Child& child) const;
  std::string PortFile(const Child& child) const;
  std::string LogFile(const Child& child) const;

  const Options options_;
  const int signal_fd_;
  const int watch_fd_;
  int signals_ = 0;  // taken so far
  std::vector<std::unique_ptr<Child>> children_;
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_SUPERVISOR_H_
