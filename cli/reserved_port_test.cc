#include "cli/reserved_port.h"

#include <memory>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "catch2/catch.hpp"
#include "libs/http/client.h"
#include "libs/http/server.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"

namespace countersign::cli {
namespace {

using countersign::testing::ChildProcess;
using countersign::testing::RequireOk;
using countersign::testing::Runfile;
using countersign::testing::StatusIs;

TEST_CASE("Whoever asks for the port by its number gets it, HTTP and gRPC") {
  for (const char* host : {"127.0.0.1", "localhost", "0.0.0.0"}) {
    CAPTURE(host);
    const auto grpc = RequireOk(ReservedPort::Take(host, 0));
    const auto http = RequireOk(ReservedPort::Take(host, 0));
    CHECK(grpc->port() > 0);
    const auto server = ChildProcess::StartService(
        Runfile("libs/runtime/echo_server"),
        {absl::StrCat("--listen=", host, ":", grpc->port()), "--admin-listen=127.0.0.1:0",
         absl::StrCat("--http-listen=", host, ":", http->port())});
    http::Client client;
    CHECK(client.Get(absl::StrCat("http://127.0.0.1:", http->port(), "/"), absl::Seconds(30)).ok());
    CHECK(server->Stop() == 0);
  }
}

TEST_CASE("Whoever asks for any port never gets it") {
  const auto reserved = RequireOk(ReservedPort::Take("127.0.0.1", 0));
  std::vector<std::unique_ptr<http::Server>> servers;
  std::vector<std::unique_ptr<ReservedPort>> others;
  for (int i = 0; i < 200; ++i) {
    others.push_back(RequireOk(ReservedPort::Take("127.0.0.1", 0)));
    CHECK(others.back()->port() != reserved->port());
  }
  std::set<int> ports;
  for (const auto& other : others) ports.insert(other->port());
  CHECK(ports.size() == others.size());
}

TEST_CASE("A port that somebody listens on, and a host that is not here, are refused") {
  const auto server = RequireOk(http::Server::Listen(
      {}, [](http::Request, http::Responder respond) { respond(http::Response()); }));
  const int port = std::stoi(server->address().substr(server->address().rfind(':') + 1));
  CHECK_THAT(ReservedPort::Take("127.0.0.1", port),
             StatusIs(absl::StatusCode::kUnavailable, "in use"));
  CHECK_THAT(ReservedPort::Take("no.such.host.invalid", 0),
             StatusIs(absl::StatusCode::kUnavailable, "no.such.host.invalid"));
}

}  // namespace
}  // namespace countersign::cli
