#include "benchmarks/process_costs.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/subprocess.h"

namespace countersign::bench {
namespace {

// The descriptors of a process whose every write is synchronised.
std::vector<std::string> SyncedFiles(pid_t pid) {
  std::vector<std::string> files;
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fdinfo"), error)) {
    const auto info = base::ReadFile(entry.path());
    if (!info.ok()) continue;  // closed by now
    for (const absl::string_view line : absl::StrSplit(*info, '\n')) {
      if (!absl::StartsWith(line, "flags:")) continue;
      const std::string octal(line.substr(line.find_first_of("01234567")));
      if ((std::strtoul(octal.c_str(), nullptr, 8) & O_DSYNC) != 0) {
        files.push_back(entry.path().filename());
      }
    }
  }
  return files;
}

}  // namespace

absl::StatusOr<double> CpuSeconds(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string stat, base::ReadFile(absl::StrCat("/proc/", pid, "/stat")));
  // Behind the name, which may hold anything; utime and stime are the 14th and 15th of all.
  const std::vector<std::string> fields = absl::StrSplit(stat.substr(stat.rfind(')') + 2), ' ');
  double user = 0;
  double system = 0;
  if (fields.size() < 13 || !absl::SimpleAtod(fields[11], &user) ||
      !absl::SimpleAtod(fields[12], &system)) {
    return absl::InternalError("/proc shows no processor time");
  }
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

absl::StatusOr<uint64_t> CountSyncs(pid_t pid, const std::string& trace,
                                    const std::function<void()>& work) {
  std::vector<std::string> marks = {" fsync(", " fdatasync(", " syncfs(", " sync_file_range(",
                                    " msync("};
  std::string calls = "trace=openat,fsync,fdatasync,syncfs,sync_file_range,msync";
  const std::vector<std::string> synced = SyncedFiles(pid);
  // Only then: a server writes to its sockets, too.
  if (!synced.empty()) calls += ",write,writev,pwrite64";
  for (const std::string& file : synced) {
    for (const char* call : {" write(", " writev(", " pwrite64("}) {
      marks.push_back(absl::StrCat(call, file, ","));
    }
  }
  ASSIGN_OR_RETURN(const auto strace,
                   runtime::Subprocess::Start({.binary = "/usr/bin/strace",
                                               .args = {"-f", "-q", "-s", "0", "-e", calls, "-o",
                                                        trace, "-p", absl::StrCat(pid)},
                                               .log_file = trace + ".log"}));
  work();
  strace->Signal(SIGINT);
  RETURN_IF_ERROR(strace->Wait(absl::Seconds(30)).status());
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(trace));
  uint64_t count = 0;
  for (const absl::string_view line : absl::StrSplit(text, '\n')) {
    if (absl::StrContains(line, "resumed>")) continue;
    for (const std::string& mark : marks) {
      if (absl::StrContains(line, mark)) ++count;
    }
    if (absl::StrContains(line, "O_SYNC") || absl::StrContains(line, "O_DSYNC")) ++count;
  }
  if (count == 0) return absl::UnavailableError("strace saw none; see " + trace + ".log");
  return count;
}

}  // namespace countersign::bench
