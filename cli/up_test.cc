// `countersign up` with the real services.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/http/client.h"
#include "libs/note/policy.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

using countersign::testing::ChildProcess;
using countersign::testing::RequireOk;
using countersign::testing::Runfile;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;
using nlohmann::json;

std::unique_ptr<ChildProcess> StartUp(const std::string& data,
                                      const std::vector<std::string>& more = {}) {
  std::vector<std::string> args = {"--data", data, "up", "--any-port", "--bin-dir", Runfile("")};
  args.insert(args.end(), more.begin(), more.end());
  return std::make_unique<ChildProcess>(Runfile("cli/countersign"), std::move(args));
}

json Endpoints(const std::string& data) {
  return json::parse(RequireOk(base::ReadFile(data + "/endpoints.json")));
}

// A suite that is up.
struct Running {
  explicit Running(const std::string& data_folder, std::vector<std::string> more = {})
      : data(data_folder) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    REQUIRE(fcntl(ends[0], F_SETFD, FD_CLOEXEC) == 0);
    more.push_back(absl::StrCat("--ready-fd=", ends[1]));
    process = StartUp(data, more);
    close(ends[1]);
    char text[16];
    const ssize_t got = read(ends[0], text, sizeof(text));
    close(ends[0]);
    INFO(process->output());
    REQUIRE(std::string(text, got < 0 ? 0 : static_cast<size_t>(got)) == "ready\n");
    endpoints = Endpoints(data);
  }

  http::Response GetFromGateway(const std::string& path) const {
    http::Client client;
    return RequireOk(client.Get(
        absl::StrCat("http://", endpoints["gateway"].get<std::string>(), path), absl::Seconds(30)));
  }

  const std::string data;
  std::unique_ptr<ChildProcess> process;
  json endpoints;
};

// Watches a process that is not this one's child.
class ProcessEnd {
 public:
  explicit ProcessEnd(pid_t pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {
    REQUIRE(fd_ >= 0);
  }
  ~ProcessEnd() { close(fd_); }
  ProcessEnd(const ProcessEnd&) = delete;

  bool Wait() {
    pollfd ended{fd_, POLLIN, 0};
    return poll(&ended, 1, 60'000) == 1;
  }

 private:
  const int fd_;
};

TEST_CASE("the suite starts, says where it is, and stops when told") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  const std::string ready_file = dir.path() + "/ready.json";
  std::string log_vkey;
  {
    Running suite(data, {"--ready-file=" + ready_file});
    const json& endpoints = suite.endpoints;
    CHECK(endpoints["pid"] == suite.process->pid());
    CHECK(endpoints["witnesses"].size() == 3);
    CHECK(endpoints["pids"].size() == 8);
    CHECK(json::parse(RequireOk(base::ReadFile(ready_file))) == endpoints);
    CHECK(suite.GetFromGateway("/api/v1/health").status == 200);
    CHECK_THAT(suite.process->output(), Catch::Contains("Countersign is up"));

    log_vkey = endpoints["log_vkey"].get<std::string>();
    const note::Policy policy =
        RequireOk(note::Policy::Parse(RequireOk(base::ReadFile(data + "/trust/policy"))));
    REQUIRE(policy.logs().size() == 1);
    CHECK(policy.logs()[0].key.vkey() == log_vkey);
    CHECK(policy.witnesses().size() == 3);
    CHECK(policy.Satisfied({"witness-1", "witness-3"}));
    CHECK(!policy.Satisfied({"witness-2"}));

    auto second = StartUp(data);
    CHECK(second->Wait() == 1);
    CHECK_THAT(second->output(), Catch::Contains("in use by another process") &&
                                     Catch::Contains(absl::StrCat(suite.process->pid())));

    CHECK(suite.process->Stop() == 0);
    CHECK(!base::FileExists(data + "/endpoints.json"));
    CHECK(!base::FileExists(ready_file));
  }
  auto renamed = StartUp(data, {"--origin=example.com/other"});
  CHECK(renamed->Wait() == 1);
  CHECK_THAT(renamed->output(), Catch::Contains("for ever"));

  Running again(data, {"--witnesses=1"});
  CHECK(again.endpoints["log_vkey"] == log_vkey);
  CHECK(again.endpoints["witnesses"].size() == 1);
  again.process->Signal(SIGINT);
  CHECK(again.process->Wait() == 0);
}

TEST_CASE("a service that is killed comes back at the same address") {
  TempDir dir;
  Running suite(dir.path(), {"--witnesses=0"});
  const pid_t ledger = suite.endpoints["pids"]["ledger"].get<pid_t>();
  REQUIRE(kill(ledger, SIGKILL) == 0);
  json now;
  do {
    now = Endpoints(dir.path());
  } while (now["pids"]["ledger"] == ledger || now["pids"]["ledger"] == 0);
  CHECK(now["ledger"] == suite.endpoints["ledger"]);
  CHECK(now["ledger_http"] == suite.endpoints["ledger_http"]);
  CHECK_THAT(suite.process->output(), Catch::Contains("the ledger service ended by signal 9"));
  CHECK(suite.process->Stop() == 0);
}

TEST_CASE("no service outlives a supervisor that is killed") {
  TempDir dir;
  Running suite(dir.path(), {"--witnesses=1", "--origin=example.com/log"});
  CHECK_THAT(suite.endpoints["log_vkey"].get<std::string>(), Catch::StartsWith("example.com/log+"));
  std::vector<std::unique_ptr<ProcessEnd>> ends;
  for (const auto& pid : suite.endpoints["pids"]) {
    ends.push_back(std::make_unique<ProcessEnd>(pid.get<pid_t>()));
  }
  suite.process->Kill();
  for (const auto& end : ends) CHECK(end->Wait());
  Running again(dir.path(), {"--witnesses=1"});
  CHECK(again.endpoints["log_vkey"] == suite.endpoints["log_vkey"]);
  CHECK(again.process->Stop() == 0);
}

TEST_CASE("what is wrong with the start is said in one line") {
  TempDir dir;
  ChildProcess no_binaries(Runfile("cli/countersign"),
                           {"--data", dir.path(), "up", "--bin-dir", dir.path()});
  CHECK(no_binaries.Wait() == 1);
  CHECK_THAT(no_binaries.output(),
             Catch::Contains("no binary of the sign service") && Catch::Contains("--bin-dir"));
  REQUIRE(base::WriteFileAtomically(dir.path() + "/ledger", "a file, not a folder").ok());
  auto no_folder = StartUp(dir.path());
  CHECK(no_folder->Wait() == 1);
  CHECK_THAT(no_folder->output(), Catch::Contains("ledger"));
}

}  // namespace
}  // namespace countersign::cli
