#include "libs/runtime/subprocess.h"

#include <signal.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::runtime {
namespace {

using countersign::testing::RequireOk;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;

std::unique_ptr<Subprocess> Shell(const std::string& script, const std::string& log_file = "",
                                  std::vector<std::string> env = {}) {
  SubprocessOptions options;
  options.binary = "/bin/sh";
  options.args = {"-c", script};
  options.env = std::move(env);
  options.log_file = log_file;
  return RequireOk(Subprocess::Start(options));
}

TEST_CASE("exit codes and signals are told apart") {
  CHECK(RequireOk(Shell("exit 0")->Wait(absl::Seconds(60))) == 0);
  CHECK(RequireOk(Shell("exit 7")->Wait(absl::Seconds(60))) == 7);
  auto child = Shell("exec sleep 1000");
  CHECK(child->Running());
  CHECK_THAT(child->Wait(absl::ZeroDuration()), StatusIs(absl::StatusCode::kDeadlineExceeded));
  child->Signal(SIGTERM);
  CHECK(RequireOk(child->Wait(absl::Seconds(60))) == -SIGTERM);
  CHECK(!child->Running());
  CHECK(RequireOk(child->Wait(absl::Seconds(60))) == -SIGTERM);
}

TEST_CASE("output goes to the log file and the environment is ours with changes") {
  TempDir dir;
  const std::string log = dir.path() + "/log";
  REQUIRE(setenv("COUNTERSIGN_TEST_KEPT", "kept", 1) == 0);
  REQUIRE(setenv("COUNTERSIGN_TEST_CHANGED", "old", 1) == 0);
  RequireOk(Shell("echo $COUNTERSIGN_TEST_KEPT; echo $COUNTERSIGN_TEST_CHANGED >&2", log,
                  {"COUNTERSIGN_TEST_CHANGED=new"})
                ->Wait(absl::Seconds(60)));
  CHECK(RequireOk(base::ReadFile(log)) == "kept\nnew\n");
}

TEST_CASE("a binary that is not there is an error, not a child that fails") {
  SubprocessOptions options;
  options.binary = "/no/such/binary";
  CHECK_THAT(Subprocess::Start(options), StatusIs(absl::StatusCode::kNotFound, "/no/such/binary"));
  options.binary = "/etc/passwd";
  CHECK_THAT(Subprocess::Start(options), StatusIs(absl::StatusCode::kPermissionDenied));
}

TEST_CASE("a child ends with the object that started it") {
  pid_t pid;
  {
    auto child = Shell("exec sleep 1000");
    pid = child->pid();
  }
  CHECK(kill(pid, 0) != 0);
}

TEST_CASE("a port file is waited for") {
  TempDir dir;
  const std::string file = dir.path() + "/ports";
  auto child = Shell(absl::StrCat("echo '{\"grpc\":1,\"http\":2,\"admin\":3}' > ", file,
                                  ".new && mv ", file, ".new ", file, " && exec sleep 1000"));
  const BoundPorts ports = RequireOk(child->WaitForPortFile(file, absl::Seconds(60)));
  CHECK(ports.grpc == 1);
  CHECK(ports.http == 2);
  CHECK(ports.admin == 3);
  const BoundPorts again = RequireOk(ParsePortFile(FormatPortFile(ports)));
  CHECK(again.http == 2);
}

TEST_CASE("a child that ends before it listens is reported as such") {
  TempDir dir;
  CHECK_THAT(Shell("exit 3")->WaitForPortFile(dir.path() + "/ports", absl::Seconds(60)),
             StatusIs(absl::StatusCode::kUnavailable, "ended with code 3"));
  CHECK_THAT(
      Shell("exec sleep 1000")->WaitForPortFile(dir.path() + "/ports", absl::Milliseconds(1)),
      StatusIs(absl::StatusCode::kDeadlineExceeded));
}

TEST_CASE("a port file that is not one is refused") {
  for (const char* text :
       {"", "[]", "{", "{\"grpc\":\"x\"}", "{\"grpc\":-1}", "{\"http\":65536}"}) {
    CHECK_THAT(ParsePortFile(text), StatusIs(absl::StatusCode::kDataLoss));
  }
}

}  // namespace
}  // namespace countersign::runtime
