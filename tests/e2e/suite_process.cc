#include "tests/e2e/suite_process.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/http/client.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"

namespace countersign::e2e {

using nlohmann::json;
using testing::ChildProcess;
using testing::RequireOk;

std::string Binary(const std::string& name) {
  if (name == "countersign") return testing::Runfile("cli/countersign");
  return testing::Runfile(absl::StrCat("services/", name, "/countersign-", name));
}

CommandResult Countersign(const std::string& data, std::vector<std::string> args) {
  args.insert(args.begin(), {"--data", data});
  ChildProcess command(Binary("countersign"), std::move(args));
  CommandResult result;
  result.exit_code = command.Wait();
  result.output = command.output();
  return result;
}

CommandResult RunService(const std::string& name, const std::vector<std::string>& args) {
  std::vector<std::string> all = args;
  for (const std::string flag : {"--listen=", "--http-listen=", "--admin-listen="}) {
    if (name == "gateway" && flag == "--listen=") continue;
    const bool given = std::any_of(args.begin(), args.end(), [&flag](const std::string& arg) {
      return absl::StartsWith(arg, flag);
    });
    if (!given) all.push_back(flag + "127.0.0.1:0");
  }
  ChildProcess service(Binary(name), std::move(all));
  CommandResult result;
  result.exit_code = service.Wait();
  result.output = service.output();
  return result;
}

std::vector<std::string> PlainLines(const std::string& output) {
  std::vector<std::string> lines;
  for (const absl::string_view line : absl::StrSplit(output, '\n', absl::SkipEmpty())) {
    if (line[0] != '{') lines.emplace_back(line);
  }
  return lines;
}

SuiteProcess::SuiteProcess(const std::string& data, std::vector<std::string> flags) : data_(data) {
  testing::TempDir ready_dir;
  const std::string ready_file = ready_dir.path() + "/ready.json";
  flags.insert(flags.begin(), {"--data", data_, "up", "--any-port", "--bin-dir",
                               testing::Runfile(""), "--ready-file", ready_file});
  process_ = std::make_unique<ChildProcess>(Binary("countersign"), std::move(flags));
  const bool ready = testing::Eventually([&] { return base::FileExists(ready_file); });
  INFO(process_->output());
  REQUIRE(ready);
  endpoints_ = json::parse(RequireOk(base::ReadFile(ready_file)));
}

std::string SuiteProcess::Address(const std::string& name) const {
  return endpoints_.at(name).get<std::string>();
}

std::shared_ptr<grpc::Channel> SuiteProcess::Channel(const std::string& name) const {
  // Without retries, so that a call that fails says so at once.
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  return grpc::CreateCustomChannel(Address(name), grpc::InsecureChannelCredentials(), arguments);
}

pid_t SuiteProcess::Pid(const std::string& service) const {
  const auto text = base::ReadFile(data_ + "/endpoints.json");
  if (!text.ok()) return 0;
  return json::parse(*text).at("pids").at(service).get<pid_t>();
}

bool SuiteProcess::Ready(const std::string& service) const {
  const std::string admin = endpoints_.at("admin").at(service).get<std::string>();
  http::Client client;
  const auto ready = client.Get(absl::StrCat("http://", admin, "/readyz"), absl::Seconds(10));
  return ready.ok() && ready->status == 200;
}

http::Response SuiteProcess::Request(const std::string& method, const std::string& path,
                                     const std::string& body) const {
  http::ClientRequest request;
  request.method = method;
  request.url = absl::StrCat("http://", Address("gateway"), path);
  if (!body.empty()) request.headers.Add("Content-Type", "application/json");
  request.body = body;
  http::Client client;
  return RequireOk(client.Call(std::move(request)));
}

json SuiteProcess::Api(int status, const std::string& method, const std::string& path,
                       const json& body) const {
  const http::Response response =
      Request(method, "/api/v1" + path, body.is_null() ? "" : body.dump());
  INFO(method << " " << path << ": " << std::string(response.body_view()));
  CHECK(response.headers.Get("Content-Type") ==
        (status < 400 ? "application/json" : "application/problem+json"));
  REQUIRE(response.status == status);
  return json::parse(std::string(response.body_view()));
}

json SuiteProcess::Problem(int status, const std::string& method, const std::string& path,
                           const json& body) const {
  json problem = Api(status, method, path, body);
  INFO(method << " " << path << ": " << problem.dump());
  CHECK(problem.at("status") == status);
  CHECK(!problem.at("title").get<std::string>().empty());
  CHECK(!problem.at("detail").get<std::string>().empty());
  return problem;
}

}  // namespace countersign::e2e
