// A binary of the suite under test, as a real process.
#ifndef COUNTERSIGN_LIBS_TESTING_CHILD_PROCESS_H_
#define COUNTERSIGN_LIBS_TESTING_CHILD_PROCESS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/runtime/subprocess.h"
#include "libs/testing/temp_dir.h"

namespace countersign::testing {

// The path of a data dependency ("services/sign/sign") in the test's runfiles.
std::string Runfile(const std::string& path_from_root);

// Killed when this object goes. Not thread-safe; use it on the test's main thread (subprocess.h).
class ChildProcess {
 public:
  // Starts `binary`, a path (see Runfile), with `args` and nothing else; its output is kept.
  // Fails the test case when it cannot be run.
  explicit ChildProcess(const std::string& binary, std::vector<std::string> args = {},
                        std::vector<std::string> env = {});
  ~ChildProcess();

  // As the constructor, with a --port-file of its own added, and waited for: the service listens.
  // Fails the test case, showing what the child wrote, when it ends first.
  static std::unique_ptr<ChildProcess> StartService(const std::string& binary,
                                                    std::vector<std::string> args,
                                                    std::vector<std::string> env = {});

  const runtime::BoundPorts& ports() const { return ports_; }
  std::string grpc_address() const;
  std::string http_address() const;
  std::string admin_address() const;

  pid_t pid() const { return process_->pid(); }
  void Signal(int signal) { process_->Signal(signal); }
  // The exit code, or minus the signal. Fails the test case after `timeout`.
  int Wait(absl::Duration timeout = absl::Seconds(60));
  // SIGTERM, then Wait.
  int Stop();
  // SIGKILL, then Wait.
  void Kill();

  // All it wrote to standard output and standard error so far.
  std::string output() const;

 private:
  TempDir dir_;
  runtime::BoundPorts ports_;
  std::unique_ptr<runtime::Subprocess> process_;
};

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_CHILD_PROCESS_H_
