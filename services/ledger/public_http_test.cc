#include "services/ledger/public_http.h"

#include <future>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/http/client.h"
#include "libs/http/gzip.h"
#include "libs/http/server.h"
#include "libs/merkle/reference_tree.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/ledger/fake_log_backend.h"

namespace countersign::ledger {
namespace {

using testing::Eventually;
using testing::RequireOk;

constexpr char kMain[] = "tenants/default/logs/main";

// A log of `size` entries, its tree published, served over HTTP.
struct Fixture {
  explicit Fixture(size_t size) : executor(1) {
    fakes.directory = dir.path();
    // Without entries nothing is to be published either.
    fakes.block_cosigners = size == 0;
    registry = RequireOk(LogRegistry::Open(fakes.Options(kMain, "log.example/test"),
                                           std::make_unique<FakeLogBackend>(&fakes)));
    ledger = registry->main_log().ledger.get();
    cosigner = fakes.cosigners["log.example/test"];
    if (size > 0) Append(merkle::NumberedEntries(size), Ledger::Level::kCosigned);
    server = RequireOk(http::Server::Listen({}, PublicHandler(registry.get(), &executor)));
  }

  void Append(const merkle::Entries& entries, Ledger::Level level) {
    AppendTo(*ledger, entries, level);
  }
  static void AppendTo(Ledger& ledger, const merkle::Entries& entries, Ledger::Level level) {
    std::promise<absl::Status> appended;
    ledger.Append(
        {entries.begin(), entries.end()}, level, absl::InfiniteFuture(),
        [&](absl::StatusOr<Ledger::Appended> answer) { appended.set_value(answer.status()); });
    RequireOk(appended.get_future().get());
  }

  http::Response Call(const std::string& method, const std::string& target,
                      http::Headers headers = {}) {
    http::ClientRequest request;
    request.method = method;
    request.url = absl::StrCat("http://", server->address(), target);
    request.headers = std::move(headers);
    return RequireOk(client.Call(std::move(request)));
  }
  http::Response Get(const std::string& target) { return Call("GET", target); }

  testing::TempDir dir;
  base::ThreadPool executor;
  FakeLogs fakes;
  std::unique_ptr<LogRegistry> registry;
  FakeCosigner* cosigner;
  Ledger* ledger;
  std::unique_ptr<http::Server> server;
  http::Client client;
};

TEST_CASE("The checkpoint is text that may be kept for a moment") {
  Fixture log(3);
  const http::Response got = log.Get("/checkpoint");
  CHECK(got.status == 200);
  CHECK(got.headers.Get("Content-Type") == "text/plain; charset=utf-8");
  CHECK(absl::StrContains(got.headers.Get("Cache-Control"), "max-age=1"));
  CHECK_FALSE(absl::StrContains(got.headers.Get("Cache-Control"), "immutable"));
  CHECK(got.headers.Get("Access-Control-Allow-Origin") == "*");
  CHECK(got.body_view() == *log.ledger->published_head().checkpoint);
}

TEST_CASE("The checkpoint is the published one, not a newer one that waits for its quorum") {
  Fixture log(3);
  log.cosigner->Block();
  log.Append({"more"}, Ledger::Level::kIntegrated);
  CHECK(absl::StartsWith(log.Get("/checkpoint").body_view(), "log.example/test\n3\n"));
  log.cosigner->Unblock();
  CHECK(Eventually([&] {
    return absl::StartsWith(log.Get("/checkpoint").body_view(), "log.example/test\n4\n");
  }));
}

TEST_CASE("Before the first checkpoint the answer is 503") {
  Fixture log(0);
  CHECK(log.Get("/checkpoint").status == 503);
  log.cosigner->Unblock();
  CHECK(Eventually([&] { return log.Get("/checkpoint").status == 200; }));
}

TEST_CASE("Tiles and bundles are bytes that never change") {
  Fixture log(300);
  std::string leaves;
  for (const std::string& entry : merkle::NumberedEntries(256)) {
    const merkle::Hash hash = merkle::LeafHash(entry);
    leaves.append(hash.begin(), hash.end());
  }
  const merkle::Hash root = merkle::ReferenceRoot(merkle::NumberedEntries(256));
  const std::pair<std::string, std::string> expected[] = {
      {"/tile/0/000", leaves},
      {"/tile/0/000.p/3", leaves.substr(0, 96)},
      {"/tile/1/000.p/1", std::string(root.begin(), root.end())},
      {"/tile/entries/001.p/2", std::string("\0\3"
                                            "256"
                                            "\0\3"
                                            "257",
                                            10)},
      {"/tile/entries/000.p/1", std::string("\0\1"
                                            "0",
                                            3)},
  };
  for (const auto& [target, bytes] : expected) {
    INFO(target);
    const http::Response got = log.Get(target);
    CHECK(got.status == 200);
    CHECK(got.headers.Get("Content-Type") == "application/octet-stream");
    CHECK(absl::StrContains(got.headers.Get("Cache-Control"), "immutable"));
    CHECK(got.headers.Get("Access-Control-Allow-Origin") == "*");
    CHECK(got.body_view() == bytes);
  }
  CHECK(log.Get("/tile/entries/000").status == 200);
}

TEST_CASE("A known ETag is answered 304 without a body") {
  Fixture log(300);
  for (const std::string target : {"/tile/0/000", "/tile/entries/000", "/checkpoint"}) {
    const std::string etag(log.Get(target).headers.Get("ETag"));
    REQUIRE(etag.size() > 2);
    const http::Response unchanged = log.Call("GET", target, {{"If-None-Match", etag}});
    CHECK(unchanged.status == 304);
    CHECK(unchanged.body_view().empty());
    CHECK(unchanged.headers.Get("ETag") == etag);
    CHECK(log.Call("GET", target, {{"If-None-Match", "\"other\""}}).status == 200);
  }
  CHECK(log.Get("/tile/0/000").headers.Get("ETag") !=
        log.Get("/tile/0/000.p/9").headers.Get("ETag"));
}

TEST_CASE("HEAD is GET without the body") {
  Fixture log(300);
  const http::Response got = log.Call("HEAD", "/tile/0/000");
  CHECK(got.status == 200);
  CHECK(got.headers.Get("Content-Length") == "8192");
  CHECK(got.body_view().empty());
}

TEST_CASE("What is not there is 404") {
  Fixture log(300);
  for (const char* target : {"/",
                             "/checkpoint/",
                             "/Checkpoint",
                             "/tile",
                             "/tile/",
                             "/tile/0",
                             "/tile/0/001",
                             "/tile/0/001.p/45",
                             "/tile/0/000.p/0",
                             "/tile/0/000.p/256",
                             "/tile/00/000",
                             "/tile/0/0",
                             "/tile/0/x000/000",
                             "/tile/0/000/",
                             "/tile/1/000",
                             "/tile/1/000.p/2",
                             "/tile/2/000.p/1",
                             "/tile/7/000",
                             "/tile/63/000",
                             "/tile/64/000",
                             "/tile/entries/001",
                             "/tile/entries/002",
                             "/tile/entries/001.p/45",
                             "/state",
                             "/../state",
                             "/log.key",
                             "/tile/0/../../../state",
                             "/tile/entries/x999/x999/x999/x999/x999/x999/999"}) {
    INFO(target);
    CHECK(log.Get(target).status == 404);
  }
  CHECK(log.Get("/state").headers.Get("Content-Type") == "application/problem+json");
}

TEST_CASE("Every log is served below its name, the main one at the root too") {
  Fixture log(3);
  const Log* other = RequireOk(log.registry->Create({"acme", "releases"}, "", ""));
  const std::string base = "/tenants/acme/logs/releases";
  log.fakes.cosigners[other->identity.origin]->Block();
  log.AppendTo(*other->ledger, {"entry"}, Ledger::Level::kIntegrated);
  CHECK(log.Get(base + "/tile/entries/000.p/1").body_view() == std::string("\0\5entry", 7));
  CHECK(log.Get(base + "/tile/0/000.p/1").body_view().size() == 32);
  log.fakes.cosigners[other->identity.origin]->Unblock();
  CHECK(Eventually([&] {
    return absl::StartsWith(log.Get(base + "/checkpoint").body_view(),
                            "log.example/test/tenants/acme/logs/releases\n1\n");
  }));
  CHECK(log.Get(absl::StrCat("/", kMain, "/checkpoint")).body_view() ==
        log.Get("/checkpoint").body_view());
  CHECK(log.Get(absl::StrCat("/", kMain, "/tile/0/000.p/3")).body_view().size() == 96);
  for (const char* target :
       {"/tenants/acme/logs/none/checkpoint", "/tenants/acme/logs/releases",
        "/tenants/acme/logs/releases/", "/tenants/acme/logs/releases/state",
        "/tenants/acme/checkpoint", "/tenants/", "/tenants/acme/logs/../releases/checkpoint"}) {
    INFO(target);
    CHECK(log.Get(target).status == 404);
  }
}

TEST_CASE("Bundles are compressed for clients that take gzip") {
  Fixture log(300);
  const auto get = [&](const char* target, const char* encodings) {
    http::Headers headers;
    headers.Add("Accept-Encoding", encodings);
    return log.Call("GET", target, std::move(headers));
  };
  const http::Response plain = log.Get("/tile/entries/000");
  CHECK(plain.headers.Get("Content-Encoding").empty());
  CHECK(plain.headers.Get("Vary") == "Accept-Encoding");
  const http::Response packed = get("/tile/entries/000", "gzip");
  CHECK(packed.headers.Get("Content-Encoding") == "gzip");
  CHECK(packed.headers.Get("Vary") == "Accept-Encoding");
  CHECK(packed.headers.Get("ETag") != plain.headers.Get("ETag"));
  CHECK(packed.body_view() == http::Gzip(plain.body_view()).value());
  // A client that has one form is told so, and not that it has the other.
  for (const auto* known : {&packed, &plain}) {
    const http::Response again = log.Call(
        "GET", "/tile/entries/000",
        {{"Accept-Encoding", "gzip"}, {"If-None-Match", std::string(known->headers.Get("ETag"))}});
    CHECK(again.status == (known == &packed ? 304 : 200));
    CHECK(again.headers.Get("ETag") == packed.headers.Get("ETag"));
    CHECK(again.headers.Get("Vary") == "Accept-Encoding");
    CHECK(again.headers.Get("Content-Encoding") == (known == &packed ? "" : "gzip"));
  }
  const http::Response head = log.Call("HEAD", "/tile/entries/000", {{"Accept-Encoding", "gzip"}});
  CHECK(head.headers.Get("Content-Length") == absl::StrCat(plain.body_view().size()));
  CHECK(head.headers.Get("ETag") == plain.headers.Get("ETag"));
  CHECK(get("/tile/entries/000", "gzip;q=0").body_view() == plain.body_view());
  // Hashes and checkpoints do not shrink.
  CHECK(get("/tile/0/000", "gzip").headers.Get("Content-Encoding").empty());
  CHECK(get("/checkpoint", "gzip").headers.Get("Content-Encoding").empty());
}

TEST_CASE("A request that has waited beyond its deadline is not worked on") {
  Fixture log(3);
  const http::Handler handler = PublicHandler(log.registry.get(), &log.executor);
  for (const auto& [deadline, status] :
       {std::pair(absl::InfinitePast(), 504), std::pair(absl::InfiniteFuture(), 200)}) {
    http::Request request;
    request.target = "/tile/entries/000.p/3";
    request.deadline = deadline;
    std::promise<int> answered;
    handler(request, [&](const http::Response& response) { answered.set_value(response.status); });
    CHECK(answered.get_future().get() == status);
  }
}

TEST_CASE("Other methods are 405 and told which ones there are") {
  Fixture log(3);
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
    const http::Response refused = log.Call(method, "/checkpoint");
    CHECK(refused.status == 405);
    CHECK(refused.headers.Get("Allow") == "GET, HEAD");
  }
}

}  // namespace
}  // namespace countersign::ledger
