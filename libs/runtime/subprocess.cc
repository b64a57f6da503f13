#include "libs/runtime/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::runtime {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// This process's environment with `extra` over it.
std::vector<std::string> MergedEnvironment(const std::vector<std::string>& extra) {
  std::vector<std::string> merged = extra;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name = std::string(*entry).substr(0, strcspn(*entry, "=") + 1);
    const bool replaced = std::any_of(extra.begin(), extra.end(), [&name](const std::string& e) {
      return absl::StartsWith(e, name);
    });
    if (!replaced) merged.push_back(*entry);
  }
  return merged;
}

// In the child, between fork and exec: async-signal-safe calls only. Reports a failure's errno.
[[noreturn]] void RunChild(const char* binary, char* const* argv, char* const* envp, int output,
                           bool own_group, pid_t parent, int report) {
  const auto fail = [report](int error) {
    [[maybe_unused]] const ssize_t n = write(report, &error, sizeof(error));
    _exit(127);
  };
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The parent may have died before that call; then nothing would ever end this child.
  if (getppid() != parent) _exit(127);
  if (own_group) setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  if (output >= 0 && (dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)) {
    fail(errno);
  }
  execve(binary, argv, envp);
  fail(errno);
  _exit(127);
}

int ExitCode(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
}

// Whole milliseconds until `deadline`, rounded up; at most a minute at a time, which poll()
// repeats.
int PollTimeout(absl::Time deadline) {
  const absl::Duration left = deadline - absl::Now();
  if (left <= absl::ZeroDuration()) return 0;
  return static_cast<int>(absl::ToInt64Milliseconds(std::min(left, absl::Minutes(1)))) + 1;
}

}  // namespace

absl::StatusOr<BoundPorts> ParsePortFile(absl::string_view json) {
  const auto parsed =
      nlohmann::json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return absl::DataLossError("the port file is not a JSON object");
  BoundPorts ports;
  const std::pair<const char*, int*> fields[] = {
      {"grpc", &ports.grpc}, {"http", &ports.http}, {"admin", &ports.admin}};
  for (const auto& [name, port] : fields) {
    const auto found = parsed.find(name);
    if (found == parsed.end()) continue;
    if (!found->is_number_unsigned() || *found > 65535) {
      return absl::DataLossError(absl::StrCat("the port file's \"", name, "\" is not a port"));
    }
    *port = found->get<int>();
  }
  return ports;
}

std::string FormatPortFile(const BoundPorts& ports) {
  return absl::StrCat("{\"grpc\":", ports.grpc, ",\"http\":", ports.http,
                      ",\"admin\":", ports.admin, "}\n");
}

absl::StatusOr<std::unique_ptr<Subprocess>> Subprocess::Start(const SubprocessOptions& options) {
  std::vector<std::string> args = options.args;
  args.insert(args.begin(), options.binary);
  std::vector<std::string> env = MergedEnvironment(options.env);
  const std::vector<char*> argv = Pointers(&args);
  const std::vector<char*> envp = Pointers(&env);

  Descriptor output(
      options.log_file.empty()
          ? -1
          : open(options.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!options.log_file.empty() && output.get() < 0) {
    return base::ErrnoStatus(errno, absl::StrCat("open ", options.log_file));
  }
  // Closed by a successful exec: reading then gives nothing, else the error.
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return base::ErrnoStatus(errno, "pipe");
  Descriptor report_read(report[0]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(report[1]);
    return base::ErrnoStatus(error, absl::StrCat("start ", options.binary));
  }
  if (pid == 0) {
    RunChild(options.binary.c_str(), argv.data(), envp.data(), output.get(),
             options.own_process_group, parent, report[1]);
  }
  close(report[1]);
  int error = 0;
  ssize_t got;
  do {
    got = read(report_read.get(), &error, sizeof(error));
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    waitpid(pid, nullptr, 0);
    return base::ErrnoStatus(error, absl::StrCat("run ", options.binary));
  }
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) {
    const int open_error = errno;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return base::ErrnoStatus(open_error, absl::StrCat("watch ", options.binary));
  }
  return std::unique_ptr<Subprocess>(new Subprocess(pid, pidfd));
}

Subprocess::~Subprocess() {
  Signal(SIGKILL);
  Wait(absl::InfiniteDuration()).IgnoreError();
  close(pidfd_);
}

void Subprocess::Signal(int signal) {
  if (!exit_.has_value()) kill(pid_, signal);
}

absl::StatusOr<int> Subprocess::Wait(absl::Duration timeout) {
  if (exit_.has_value()) return *exit_;
  const absl::Time deadline = absl::Now() + timeout;
  while (true) {
    siginfo_t info{};
    if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0) {
      return base::ErrnoStatus(errno, absl::StrCat("wait for process ", pid_));
    }
    if (info.si_pid == pid_) {
      exit_ = ExitCode(info);
      return *exit_;
    }
    const int poll_timeout = PollTimeout(deadline);
    if (poll_timeout == 0) {
      return absl::DeadlineExceededError(absl::StrCat("process ", pid_, " is still running"));
    }
    pollfd ended{pidfd_, POLLIN, 0};
    poll(&ended, 1, poll_timeout);
  }
}

bool Subprocess::Running() { return !Wait(absl::ZeroDuration()).ok(); }

absl::StatusOr<BoundPorts> Subprocess::WaitForPortFile(const std::string& path,
                                                       absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  const size_t slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  Descriptor watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (watch.get() < 0 ||
      inotify_add_watch(watch.get(), directory.c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
    return base::ErrnoStatus(errno, absl::StrCat("watch ", directory));
  }
  while (true) {
    if (const auto contents = base::ReadFile(path); contents.ok()) return ParsePortFile(*contents);
    if (!Running()) {
      return absl::UnavailableError(
          absl::StrCat("the process ended with code ", *exit_, " before it listened"));
    }
    const int poll_timeout = PollTimeout(deadline);
    if (poll_timeout == 0) {
      return absl::DeadlineExceededError(
          absl::StrCat("the process did not listen within ", absl::FormatDuration(timeout)));
    }
    pollfd events[] = {{watch.get(), POLLIN, 0}, {pidfd_, POLLIN, 0}};
    poll(events, 2, poll_timeout);
    char drained[4096];
    while (read(watch.get(), drained, sizeof(drained)) > 0) {
    }
  }
}

}  // namespace countersign::runtime
