// A child process, and the port file by which it says where it listens.
#ifndef COUNTERSIGN_LIBS_RUNTIME_SUBPROCESS_H_
#define COUNTERSIGN_LIBS_RUNTIME_SUBPROCESS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::runtime {

// What a service of runtime::Main writes to its --port-file; 0 for a port it does not open.
struct BoundPorts {
  int grpc = 0;
  int http = 0;
  int admin = 0;
};

absl::StatusOr<BoundPorts> ParsePortFile(absl::string_view json);
std::string FormatPortFile(const BoundPorts& ports);

struct SubprocessOptions {
  std::string binary;             // a path
  std::vector<std::string> args;  // without the name
  std::vector<std::string> env;   // "NAME=value", added to this process's environment
  std::string log_file;           // standard output and error are appended to it; "" = inherited
  bool own_process_group = true;  // so that a Ctrl-C at the terminal reaches only the parent
};

// Not thread-safe. The kernel kills the child (SIGKILL) when the thread that started it ends, so
// start children from a thread that outlives them: usually main's. The destructor kills and reaps.
class Subprocess {
 public:
  // NotFound or PermissionDenied when the binary cannot be run.
  static absl::StatusOr<std::unique_ptr<Subprocess>> Start(const SubprocessOptions& options);
  ~Subprocess();
  Subprocess(const Subprocess&) = delete;
  Subprocess& operator=(const Subprocess&) = delete;

  pid_t pid() const { return pid_; }
  // Becomes readable when the child has ended; for poll().
  int pidfd() const { return pidfd_; }

  // No-op once the child has ended.
  void Signal(int signal);

  // The exit code, or minus the signal that ended it. DeadlineExceeded while it still runs.
  absl::StatusOr<int> Wait(absl::Duration timeout);
  bool Running();

  // Waits until `path` exists and returns what it says. Unavailable when the child ends first,
  // DeadlineExceeded after `timeout`.
  absl::StatusOr<BoundPorts> WaitForPortFile(const std::string& path, absl::Duration timeout);

 private:
  Subprocess(pid_t pid, int pidfd) : pid_(pid), pidfd_(pidfd) {}

  const pid_t pid_;
  int pidfd_;
  std::optional<int> exit_;
};

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_SUBPROCESS_H_
