#include "libs/testing/child_process.h"

#include <signal.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"

namespace countersign::testing {
namespace {

constexpr absl::Duration kStartTimeout = absl::Seconds(60);

}  // namespace

std::string Runfile(const std::string& path_from_root) {
  const char* sources = std::getenv("TEST_SRCDIR");
  const char* workspace = std::getenv("TEST_WORKSPACE");
  if (sources == nullptr || workspace == nullptr) return path_from_root;
  return absl::StrCat(sources, "/", workspace, "/", path_from_root);
}

ChildProcess::ChildProcess(const std::string& binary, std::vector<std::string> args,
                           std::vector<std::string> env) {
  runtime::SubprocessOptions options;
  options.binary = binary;
  options.args = std::move(args);
  options.env = std::move(env);
  options.log_file = dir_.path() + "/output";
  process_ = RequireOk(runtime::Subprocess::Start(options));
}

ChildProcess::~ChildProcess() = default;

std::unique_ptr<ChildProcess> ChildProcess::StartService(const std::string& binary,
                                                         std::vector<std::string> args,
                                                         std::vector<std::string> env) {
  TempDir port_dir;
  const std::string port_file = port_dir.path() + "/ports.json";
  args.push_back("--port-file=" + port_file);
  auto child = std::make_unique<ChildProcess>(binary, std::move(args), std::move(env));
  auto ports = child->process_->WaitForPortFile(port_file, kStartTimeout);
  INFO(child->output());
  child->ports_ = RequireOk(std::move(ports));
  return child;
}

std::string ChildProcess::grpc_address() const { return absl::StrCat("127.0.0.1:", ports_.grpc); }
std::string ChildProcess::http_address() const { return absl::StrCat("127.0.0.1:", ports_.http); }
std::string ChildProcess::admin_address() const { return absl::StrCat("127.0.0.1:", ports_.admin); }

int ChildProcess::Wait(absl::Duration timeout) {
  auto exit_code = process_->Wait(timeout);
  INFO(output());
  return RequireOk(std::move(exit_code));
}

int ChildProcess::Stop() {
  Signal(SIGTERM);
  return Wait();
}

void ChildProcess::Kill() {
  Signal(SIGKILL);
  Wait();
}

std::string ChildProcess::output() const {
  return base::ReadFile(dir_.path() + "/output").value_or("");
}

}  // namespace countersign::testing
