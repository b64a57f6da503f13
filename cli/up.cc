#include "cli/up.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/suite.h"
#include "cli/supervisor.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

std::string DefaultData() {
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && *data != '\0') return absl::StrCat(data, "/countersign");
  const char* home = std::getenv("HOME");
  return home == nullptr ? "" : absl::StrCat(home, "/.local/share/countersign");
}

absl::Status CheckOptions(const UpOptions& options) {
  if (options.witnesses < 0 || options.witnesses > 16) {
    return absl::InvalidArgumentError("--witnesses must be 0 to 16");
  }
  if (options.gateway_port < 0 || options.gateway_port > 65535) {
    return absl::InvalidArgumentError("--gateway-port must be 0 to 65535");
  }
  if (options.host.empty() || options.start_timeout <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError("--host and --start-timeout must not be empty");
  }
  if (options.data.empty()) {
    return absl::InvalidArgumentError("neither --data nor $HOME says where the data belongs");
  }
  return absl::OkStatus();
}

absl::Status Announce(const UpOptions& options, const Suite& suite) {
  RETURN_IF_ERROR(
      base::WriteFileAtomically(suite.data() + "/endpoints.json", suite.EndpointsJson()));
  if (!options.ready_file.empty()) {
    RETURN_IF_ERROR(base::WriteFileAtomically(options.ready_file, suite.EndpointsJson()));
  }
  return absl::OkStatus();
}

void Withdraw(const UpOptions& options) {
  unlink((options.data + "/endpoints.json").c_str());
  if (!options.ready_file.empty()) unlink(options.ready_file.c_str());
}

absl::Status Up(UpOptions options) {
  // Ours alone: who waits at its other end sees it close when this process ends.
  if (options.ready_fd >= 0 && fcntl(options.ready_fd, F_SETFD, FD_CLOEXEC) != 0) {
    return base::ErrnoStatus(errno, absl::StrCat("--ready-fd ", options.ready_fd));
  }
  RETURN_IF_ERROR(base::EnsureDirectory(options.data, 0700));
  ASSIGN_OR_RETURN(options.data, AbsolutePath(options.data));
  ASSIGN_OR_RETURN(const auto lock, base::DirectoryLock::Acquire(options.data));
  // Of a supervisor that was killed.
  Withdraw(options);
  RETURN_IF_ERROR(base::EnsureDirectory(options.data + "/log"));
  RETURN_IF_ERROR(base::EnsureDirectory(options.data + "/run"));

  ASSIGN_OR_RETURN(const auto supervisor,
                   Supervisor::Create(
                       {.log_folder = options.data + "/log", .run_folder = options.data + "/run"}));
  Suite suite(options, supervisor.get());
  absl::Status status = suite.Start();
  if (!options.any_port && absl::StrContains(status.message(), "in use")) {
    status = absl::Status(status.code(),
                          absl::StrCat(status.message(), "; --any-port takes free ports instead"));
  }
  if (status.ok()) status = Announce(options, suite);
  if (status.ok()) {
    if (options.json) {
      std::fputs(suite.EndpointsJson().c_str(), stdout);
      std::fflush(stdout);
    } else {
      suite.PrintTable();
    }
    if (options.ready_fd >= 0) {
      [[maybe_unused]] const ssize_t written = write(options.ready_fd, "ready\n", 6);
      close(options.ready_fd);
    }
    status = supervisor->KeepRunning([&] {
      if (const absl::Status again = Announce(options, suite); !again.ok()) {
        std::fprintf(stderr, "countersign up: %s\n", std::string(again.message()).c_str());
      }
    });
  }
  Withdraw(options);
  std::fprintf(stderr, "stopping\n");
  supervisor->StopAll();
  // Asked to stop, before or after all were healthy.
  return absl::IsCancelled(status) ? absl::OkStatus() : status;
}

}  // namespace

int RunUp(const UpOptions& given) {
  UpOptions options = given;
  if (options.data.empty()) options.data = DefaultData();
  if (const absl::Status status = CheckOptions(options); !status.ok()) {
    std::fprintf(stderr, "countersign up: %s\n", std::string(status.message()).c_str());
    return 2;
  }
  const absl::Status status = Up(std::move(options));
  if (status.ok()) return 0;
  std::fprintf(stderr, "countersign up: %s\n", std::string(status.message()).c_str());
  return 1;
}

}  // namespace countersign::cli
