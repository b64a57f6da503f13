#include "cli/supervisor.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/http/client.h"

namespace countersign::cli {
namespace {

constexpr absl::Duration kReadyInterval = absl::Milliseconds(50);
constexpr absl::Duration kStopLimit = absl::Seconds(28);
constexpr absl::Duration kBurst = absl::Seconds(1);
// A child that ran for so long starts its back-off anew.
constexpr absl::Duration kStable = absl::Seconds(60);

std::string ExitText(int exit_code) {
  if (exit_code >= 0) return absl::StrCat("with exit code ", exit_code);
  return absl::StrCat("by signal ", -exit_code, " (", strsignal(-exit_code), ")");
}

// "witness-2" belongs with "witness-1".
absl::string_view GroupOf(absl::string_view name) {
  while (!name.empty() && absl::ascii_isdigit(static_cast<unsigned char>(name.back()))) {
    name.remove_suffix(1);
  }
  return name;
}

// `address` with the port that was bound instead of 0.
std::string WithPort(const std::string& address, int port) {
  const size_t colon = address.rfind(':');
  return colon == std::string::npos ? address : absl::StrCat(address.substr(0, colon + 1), port);
}

// Where a listen address is reached from this machine.
std::string Reachable(const std::string& address) {
  for (const absl::string_view any : {"0.0.0.0:", "[::]:"}) {
    if (absl::StartsWith(address, any))
      return absl::StrCat("127.0.0.1:", address.substr(any.size()));
  }
  return address;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Supervisor>> Supervisor::Create(Options options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGHUP);
  // A reader of our output that went away is no reason to end.
  signal(SIGPIPE, SIG_IGN);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd < 0) return base::ErrnoStatus(errno, "signalfd");
  const int watch_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (watch_fd < 0 || inotify_add_watch(watch_fd, options.run_folder.c_str(), IN_MOVED_TO) < 0) {
    const int error = errno;
    close(signal_fd);
    if (watch_fd >= 0) close(watch_fd);
    return base::ErrnoStatus(error, absl::StrCat("watch ", options.run_folder));
  }
  return std::unique_ptr<Supervisor>(new Supervisor(std::move(options), signal_fd, watch_fd));
}

Supervisor::Supervisor(Options options, int signal_fd, int watch_fd)
    : options_(std::move(options)), signal_fd_(signal_fd), watch_fd_(watch_fd) {}

Supervisor::~Supervisor() {
  children_.clear();
  close(watch_fd_);
  close(signal_fd_);
}

std::string Supervisor::PortFile(const Child& child) const {
  return absl::StrCat(options_.run_folder, "/", child.name, ".json");
}

std::string Supervisor::LogFile(const Child& child) const {
  return absl::StrCat(options_.log_folder, "/", child.name, ".log");
}

absl::Status Supervisor::Launch(Child* child) {
  unlink(PortFile(*child).c_str());
  std::vector<std::string> args = child->args;
  const std::pair<const char*, const std::string&> addresses[] = {
      {"--listen=", child->listen.grpc},
      {"--http-listen=", child->listen.http},
      {"--admin-listen=", child->listen.admin}};
  for (const auto& [flag, address] : addresses) {
    if (!address.empty()) args.push_back(flag + address);
  }
  if (!child->listen.admin.empty()) {
    args.push_back("--port-file=" + PortFile(*child));
    args.push_back("--drain-timeout=3s");
  }
  runtime::SubprocessOptions process;
  process.binary = child->binary;
  process.args = std::move(args);
  process.log_file = LogFile(*child);
  struct stat log {};
  child->log_start = stat(process.log_file.c_str(), &log) == 0 ? log.st_size : 0;
  ASSIGN_OR_RETURN(child->process, runtime::Subprocess::Start(process));
  child->listening = false;
  child->started = absl::Now();
  child->start_at = absl::InfiniteFuture();
  return absl::OkStatus();
}

// The last line that is not a log record, else the last line.
std::string Supervisor::LastWords(const Child& child) const {
  const absl::StatusOr<std::string> log = base::ReadFile(LogFile(child));
  std::string last;
  if (log.ok() && static_cast<size_t>(child.log_start) < log->size()) {
    for (const absl::string_view line :
         absl::StrSplit(absl::string_view(*log).substr(child.log_start), '\n', absl::SkipEmpty())) {
      if (last.empty() || line[0] != '{' || last[0] == '{') last = std::string(line);
    }
  }
  return last.empty() ? "it said nothing" : last;
}

void Supervisor::TakePortFile(Child* child) {
  const absl::StatusOr<std::string> text = base::ReadFile(PortFile(*child));
  if (!text.ok()) return;
  const absl::StatusOr<runtime::BoundPorts> ports = runtime::ParsePortFile(*text);
  if (!ports.ok()) return;
  child->ports = *ports;
  child->listening = true;
  const std::pair<std::string*, int> addresses[] = {{&child->listen.grpc, ports->grpc},
                                                    {&child->listen.http, ports->http},
                                                    {&child->listen.admin, ports->admin}};
  for (const auto& [address, port] : addresses) {
    if (!address->empty()) *address = WithPort(*address, port);
  }
}

void Supervisor::Poll(absl::Time deadline) {
  std::vector<pollfd> events = {{signal_fd_, POLLIN, 0}, {watch_fd_, POLLIN, 0}};
  for (const auto& child : children_) {
    if (child->process != nullptr) events.push_back({child->process->pidfd(), POLLIN, 0});
  }
  const absl::Duration wait =
      std::clamp(deadline - absl::Now(), absl::ZeroDuration(), absl::Minutes(1));
  const int timeout_ms =
      static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1))));
  poll(events.data(), events.size(), timeout_ms);
  signalfd_siginfo signal;
  while (read(signal_fd_, &signal, sizeof(signal)) == sizeof(signal)) ++signals_;
  char drained[4096];
  while (read(watch_fd_, drained, sizeof(drained)) > 0) {
  }
}

absl::Status Supervisor::RunOnce(const std::string& name, const std::string& binary,
                                 std::vector<std::string> args) {
  children_.push_back(std::make_unique<Child>());
  Child* child = children_.back().get();
  child->name = name;
  child->binary = binary;
  child->args = std::move(args);
  absl::Status status = Launch(child);
  while (status.ok() && child->process->Running()) {
    if (signals_ > 0) status = absl::CancelledError("told to stop");
    if (status.ok()) Poll(absl::InfiniteFuture());
  }
  if (status.ok()) {
    const absl::StatusOr<int> exit_code = child->process->Wait(absl::ZeroDuration());
    if (!exit_code.ok()) {
      status = exit_code.status();
    } else if (*exit_code != 0) {
      status = absl::UnavailableError(
          absl::StrCat(name, " failed ", ExitText(*exit_code), ": ", LastWords(*child)));
    }
  }
  children_.pop_back();
  return status;
}

absl::StatusOr<Supervisor::Child*> Supervisor::Start(const std::string& name,
                                                     const std::string& binary, Listen listen,
                                                     std::vector<std::string> args,
                                                     absl::Duration timeout) {
  children_.push_back(std::make_unique<Child>());
  Child* child = children_.back().get();
  child->name = name;
  child->binary = binary;
  child->listen = std::move(listen);
  child->args = std::move(args);
  RETURN_IF_ERROR(Launch(child));
  RETURN_IF_ERROR(WaitUntilReady(child, absl::Now() + timeout));
  return child;
}

absl::Status Supervisor::WaitUntilReady(Child* child, absl::Time deadline) {
  http::Client client;
  std::string reason = "it does not listen yet";
  while (true) {
    if (signals_ > 0) return absl::CancelledError("told to stop");
    for (const auto& other : children_) {
      if (other->process == nullptr || other->process->Running()) continue;
      return absl::UnavailableError(
          absl::StrCat("the ", other->name, " service ended ",
                       ExitText(other->process->Wait(absl::ZeroDuration()).value_or(0)), ": ",
                       LastWords(*other)));
    }
    if (!child->listening) TakePortFile(child);
    if (child->listening) {
      const absl::StatusOr<http::Response> ready = client.Get(
          absl::StrCat("http://", Reachable(child->listen.admin), "/readyz"), absl::Seconds(5));
      if (ready.ok() && ready->status == 200) return absl::OkStatus();
      reason = ready.ok() ? std::string(absl::StripAsciiWhitespace(ready->body_view()))
                          : std::string(ready.status().message());
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(absl::StrCat("the ", child->name,
                                                      " service is not ready in time: ", reason,
                                                      "; see ", LogFile(*child)));
    }
    Poll(child->listening ? std::min(deadline, absl::Now() + kReadyInterval) : deadline);
  }
}

void Supervisor::HandleEnd(Child* child, int exit_code) {
  if (absl::Now() - child->started > kStable) child->failures = 0;
  const absl::Duration backoff =
      std::min(options_.max_backoff, options_.min_backoff * (1 << std::min(child->failures, 16)));
  ++child->failures;
  child->start_at = absl::Now() + backoff;
  child->listening = false;
  // Killed, it had no time for last words.
  const std::string last_words =
      exit_code >= 0 ? absl::StrCat(" (it said: ", LastWords(*child), ")") : "";
  std::fprintf(stderr, "the %s service ended %s%s; starting it again in %s\n", child->name.c_str(),
               ExitText(exit_code).c_str(), last_words.c_str(),
               absl::FormatDuration(backoff).c_str());
  child->process.reset();
}

absl::Status Supervisor::KeepRunning(const std::function<void()>& changed) {
  while (signals_ == 0) {
    absl::Time next = absl::InfiniteFuture();
    for (const auto& child : children_) {
      if (child->process == nullptr && absl::Now() >= child->start_at) {
        if (const absl::Status status = Launch(child.get()); !status.ok()) {
          child->start_at = absl::Now() + options_.max_backoff;
          std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
        }
      }
      if (child->process == nullptr) {
        next = std::min(next, child->start_at);
        continue;
      }
      if (const absl::StatusOr<int> exit_code = child->process->Wait(absl::ZeroDuration());
          exit_code.ok()) {
        HandleEnd(child.get(), *exit_code);
        next = std::min(next, child->start_at);
        continue;
      }
      if (!child->listening) {
        TakePortFile(child.get());
        if (child->listening) {
          std::fprintf(stderr, "the %s service is back\n", child->name.c_str());
          changed();
        }
      }
    }
    Poll(next);
  }
  return absl::CancelledError("told to stop");
}

void Supervisor::StopAll() {
  const absl::Time began = absl::Now();
  const absl::Time limit = began + kStopLimit;
  int signals_before = signals_;
  // Signals of one burst are one: a terminal and a script may both send theirs.
  const auto impatient = [&] {
    if (absl::Now() - began < kBurst) signals_before = signals_;
    return signals_ > signals_before;
  };
  while (!children_.empty()) {
    const std::string group(GroupOf(children_.back()->name));
    std::vector<Child*> stopping;
    for (auto child = children_.rbegin(); child != children_.rend(); ++child) {
      if (GroupOf((*child)->name) != group) break;
      stopping.push_back(child->get());
      if ((*child)->process != nullptr) (*child)->process->Signal(SIGTERM);
    }
    const absl::Time deadline = std::min(limit, absl::Now() + options_.stop_timeout);
    const auto running = [&stopping] {
      return std::any_of(stopping.begin(), stopping.end(), [](Child* child) {
        return child->process != nullptr && child->process->Running();
      });
    };
    while (running() && absl::Now() < deadline && !impatient()) Poll(deadline);
    for (Child* child : stopping) {
      if (child->process != nullptr && child->process->Running()) {
        std::fprintf(stderr, "the %s service did not stop and is killed\n", child->name.c_str());
      }
    }
    // Kills what is left.
    children_.resize(children_.size() - stopping.size());
  }
}

}  // namespace countersign::cli
