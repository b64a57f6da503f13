#include "cli/supervisor.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/http/client.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::cli {
namespace {

using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::Runfile;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;

const Supervisor::Listen kFreePorts = {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"};

// A supervisor and its folders; children are echo servers of libs/runtime.
struct Fixture {
  Fixture()
      : supervisor(RequireOk(Supervisor::Create({.log_folder = dir.path(),
                                                 .run_folder = dir.path(),
                                                 .min_backoff = absl::Milliseconds(20)}))) {}

  absl::StatusOr<Supervisor::Child*> Start(const std::string& name,
                                           std::vector<std::string> args = {},
                                           absl::Duration timeout = absl::Seconds(60)) {
    return supervisor->Start(name, binary, kFreePorts, std::move(args), timeout);
  }

  std::string Log(const std::string& name) {
    return RequireOk(base::ReadFile(dir.path() + "/" + name + ".log"));
  }

  TempDir dir;
  const std::string binary = Runfile("libs/runtime/echo_server");
  std::unique_ptr<Supervisor> supervisor;
};

bool Answers(const Supervisor::Child& child) {
  http::Client client;
  return client.Get(absl::StrCat("http://127.0.0.1:", child.ports.http, "/"), absl::Seconds(30))
      .ok();
}

TEST_CASE("a started service listens on ports of its own") {
  Fixture fixture;
  Supervisor::Child* one = RequireOk(fixture.Start("one"));
  Supervisor::Child* two = RequireOk(fixture.Start("two"));
  CHECK(Answers(*one));
  CHECK(Answers(*two));
  CHECK(one->ports.grpc != two->ports.grpc);
  CHECK(fixture.supervisor->children().size() == 2);
}

TEST_CASE("a service that cannot start is an error with its last words") {
  Fixture fixture;
  CHECK_THAT(fixture.Start("bad", {"--setup-error=the disk is full"}),
             StatusIs(absl::StatusCode::kUnavailable,
                      "the bad service ended with exit code 1: echo: the disk is full"));
}

TEST_CASE("a service that does not get ready in time is an error that says why") {
  Fixture fixture;
  CHECK_THAT(fixture.Start("slow", {"--ready-error=no quorum"}, absl::Milliseconds(500)),
             StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_CASE("a binary that is not there is an error") {
  Fixture fixture;
  CHECK_THAT(
      fixture.supervisor->Start("gone", "/no/such/binary", kFreePorts, {}, absl::Seconds(60)),
      StatusIs(absl::StatusCode::kNotFound, "/no/such/binary"));
}

TEST_CASE("a child that is run once succeeds or says why not") {
  Fixture fixture;
  CHECK_THAT(fixture.supervisor->RunOnce("init", fixture.binary, {"--init"}), IsOk());
  CHECK(fixture.Log("init") == "number 0, pause 1000 ms\n");
  CHECK_THAT(
      fixture.supervisor->RunOnce("init", fixture.binary, {"--init", "--setup-error=no key"}),
      StatusIs(absl::StatusCode::kUnavailable, "init failed with exit code 1: echo: no key"));
  CHECK(fixture.supervisor->children().empty());
}

TEST_CASE("a child that is killed is started again at the same address") {
  Fixture fixture;
  Supervisor::Child* child = RequireOk(fixture.Start("echo"));
  const int port = child->ports.http;
  const pid_t first = child->pid();
  REQUIRE(kill(first, SIGKILL) == 0);
  int changes = 0;
  const absl::Status status = fixture.supervisor->KeepRunning([&] {
    ++changes;
    CHECK(child->pid() != first);
    CHECK(child->ports.http == port);
    CHECK(Answers(*child));
    if (changes == 1) {
      REQUIRE(kill(child->pid(), SIGKILL) == 0);
    } else {
      REQUIRE(kill(getpid(), SIGTERM) == 0);
    }
  });
  CHECK_THAT(status, StatusIs(absl::StatusCode::kCancelled));
  CHECK(changes == 2);
}

TEST_CASE("stopping is graceful and in reverse order") {
  Fixture fixture;
  for (const char* name : {"log-1", "log-2", "front"}) RequireOk(fixture.Start(name));
  std::vector<pid_t> pids;
  for (const auto& child : fixture.supervisor->children()) pids.push_back(child->pid());
  fixture.supervisor->StopAll();
  CHECK(fixture.supervisor->children().empty());
  for (const pid_t pid : pids) CHECK(kill(pid, 0) != 0);
  // The lines begin with their time: {"ts":"2026-…
  const auto stop_line = [&fixture](const std::string& name) {
    const std::string log = fixture.Log(name);
    const size_t at = log.find("\"msg\":\"stopped\"");
    REQUIRE(at != std::string::npos);
    return log.substr(log.rfind('\n', at) + 1);
  };
  const std::string stopping = fixture.Log("log-1");
  const size_t at = stopping.find("\"msg\":\"stopping\"");
  REQUIRE(at != std::string::npos);
  CHECK(stop_line("front") < stopping.substr(stopping.rfind('\n', at) + 1));
}

TEST_CASE("a child that does not stop in time is killed") {
  TempDir dir;
  auto supervisor = RequireOk(Supervisor::Create({.log_folder = dir.path(),
                                                  .run_folder = dir.path(),
                                                  .stop_timeout = absl::Milliseconds(100)}));
  const std::string pipe = dir.path() + "/pipe";
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  Supervisor::Child* child =
      RequireOk(supervisor->Start("stuck", Runfile("libs/runtime/echo_server"), kFreePorts,
                                  {"--drain-pipe=" + pipe}, absl::Seconds(60)));
  const pid_t pid = child->pid();
  supervisor->StopAll();
  CHECK(kill(pid, 0) != 0);
}

}  // namespace
}  // namespace countersign::cli
