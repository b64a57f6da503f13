#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "libs/http/client.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"

namespace countersign::gateway {
namespace {

using countersign::testing::ChildProcess;
using countersign::testing::RequireOk;
using countersign::testing::Runfile;

std::string Binary() { return Runfile("services/gateway/countersign-gateway"); }

TEST_CASE("The binary serves HTTP, says which backends are missing, and stops on SIGTERM") {
  auto gateway = ChildProcess::StartService(
      Binary(), {"--http-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--sign=127.0.0.1:1",
                 "--verify", "", "--ledger", "", "--ledger-http", "", "--ocsp", "", "--ocsp-http",
                 "", "--sign-http", "", "--witness-http=w=http://127.0.0.1:1"});
  http::Client client;
  const auto health = RequireOk(client.Get(
      absl::StrCat("http://", gateway->http_address(), "/api/v1/health"), absl::Seconds(30)));
  CHECK(health.status == 503);
  CHECK(absl::StrContains(health.body_view(), R"({"name":"sign","status":"UNREACHABLE")"));
  const auto ready = RequireOk(
      client.Get(absl::StrCat("http://", gateway->admin_address(), "/readyz"), absl::Seconds(30)));
  CHECK(ready.status == 200);
  CHECK(gateway->Stop() == 0);
}

TEST_CASE("A witness flag without a name is refused at the start") {
  ChildProcess gateway(Binary(), {"--http-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0",
                                  "--witness-http=http://127.0.0.1:1"});
  CHECK(gateway.Wait() == 1);
  CHECK(absl::StrContains(gateway.output(), "NAME=URL"));
}

TEST_CASE("A second gateway on the same port is refused") {
  auto first = ChildProcess::StartService(
      Binary(), {"--http-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"});
  ChildProcess second(Binary(), {absl::StrCat("--http-listen=", first->http_address()),
                                 "--admin-listen=127.0.0.1:0"});
  CHECK(second.Wait() == 1);
  CHECK(absl::StrContains(second.output(), "in use"));
}

}  // namespace
}  // namespace countersign::gateway
