#include "services/witness/witness_http.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/thread_pool.h"
#include "libs/http/client.h"
#include "libs/http/raw_socket.h"
#include "libs/http/server.h"
#include "libs/note/signed_note.h"
#include "libs/note/utf8.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "services/witness/testing.h"

namespace countersign::witness {
namespace {

using testing::RequireOk;

// A witness that watches one log, behind a real server.
struct Fixture {
  Fixture() { RequireOk(witness->AddLog("", {log.vkey()})); }

  http::Response Send(const std::string& method, const std::string& path, std::string body = "") {
    return RequireOk(client.Call({.method = method,
                                  .url = absl::StrCat("http://", server->address(), path),
                                  .body = std::move(body)}));
  }
  http::Response Add(const note::AddCheckpointRequest& request) {
    return Send("POST", "/add-checkpoint", note::FormatAddCheckpoint(request));
  }

  testing::TempDir dir;
  FaultyDatabase* database = new FaultyDatabase(OpenDatabase(dir.path()));
  std::unique_ptr<Witness> witness = OpenWitness(std::unique_ptr<storage::Database>(database));
  base::ThreadPool executor{4};
  std::unique_ptr<http::Server> server = RequireOk(
      http::Server::Listen({.address = "127.0.0.1:0"}, WitnessHandler(witness.get(), &executor)));
  http::Client client;
  TestLog log;
};

constexpr char kText[] = "text/plain; charset=utf-8";

TEST_CASE("A checkpoint is cosigned over HTTP and then served to monitors") {
  Fixture f;
  const std::string path = absl::StrCat("/", kOriginHash, "/checkpoint");
  CHECK(f.Send("GET", path).status == 404);
  const http::Response cosigned = f.Add(f.log.Request(0, 5));
  CHECK(cosigned.status == 200);
  CHECK(cosigned.headers.Get("Content-Type") == kText);
  CHECK(cosigned.headers.Get("Access-Control-Allow-Origin") == "*");
  const http::Response latest = f.Send("GET", path);
  CHECK(latest.status == 200);
  CHECK(latest.body_view() == f.log.Checkpoint(5) + std::string(cosigned.body_view()));
  CHECK(latest.headers.Get("Content-Type") == kText);
  CHECK(latest.headers.Get("Cache-Control") == "public, max-age=5");
  CHECK(latest.headers.Get("Access-Control-Allow-Origin") == "*");
  const http::Response head = f.Send("HEAD", path);
  CHECK(head.status == 200);
  CHECK(head.body_view().empty());
  CHECK(head.headers.Get("Content-Length") == absl::StrCat(latest.body_view().size()));
}

TEST_CASE("Each refusal has the status that tlog-witness gives it") {
  Fixture f;
  const auto check = [](const http::Response& response, int status) {
    CHECK(response.status == status);
    CHECK(response.headers.Get("Content-Type") == kText);
    CHECK(response.headers.Get("Access-Control-Allow-Origin") == "*");
    CHECK_FALSE(response.body_view().empty());
  };
  check(f.Send("POST", "/add-checkpoint", "nonsense"), 400);
  check(f.Send("POST", "/add-checkpoint", ""), 400);
  check(f.Send("POST", "/add-checkpoint", "old 0\n\nnonsense"), 400);
  note::AddCheckpointRequest request = f.log.Request(0, 5);
  request.old_size = 6;
  check(f.Add(request), 400);
  check(f.Add(TestLog("example.com/other").Request(0, 1)), 404);
  check(f.Add(TestLog(kOrigin, "", 'M').Request(0, 1)), 403);
  REQUIRE(f.Add(f.log.Request(0, 5)).status == 200);
  check(f.Add(TestLog(kOrigin, "fork").Request(5, 5)), 422);
  check(f.Add(TestLog(kOrigin, "fork").Request(5, 7)), 422);
  check(f.Send("POST", "/add-checkpoint", std::string(kMaxBodyBytes + 1, 'x')), 413);
}

TEST_CASE("A conflict answers the latest size, and nothing else") {
  Fixture f;
  REQUIRE(f.Add(f.log.Request(0, 5)).status == 200);
  const http::Response conflict = f.Add(f.log.Request(0, 7));
  CHECK(conflict.status == 409);
  CHECK(conflict.headers.Get("Content-Type") == "text/x.tlog.size");
  CHECK(conflict.body_view() == "5\n");
  CHECK(f.Add(f.log.Request(5, 7)).status == 200);
}

TEST_CASE("A failing disk answers 503 and no cosignature") {
  Fixture f;
  f.database->Set(FaultyDatabase::Fault::kFailBeforeCommit);
  const http::Response failed = f.Add(f.log.Request(0, 5));
  CHECK(failed.status == 503);
  CHECK(failed.headers.Get("Retry-After") == "1");
  CHECK(failed.body_view().find("\xe2\x80\x94") == absl::string_view::npos);
  f.database->Set(FaultyDatabase::Fault::kNone);
  CHECK(f.Add(f.log.Request(0, 5)).status == 200);
}

TEST_CASE("Requests beyond the limit are answered 429 and not queued, whatever the executor does") {
  Fixture f;
  f.database->Set(FaultyDatabase::Fault::kWait);
  base::Mutex mutex;
  base::CondVar changed;
  std::vector<http::Response> responses;
  const auto respond = [&](http::Response response) {
    base::MutexLock lock(&mutex);
    responses.push_back(std::move(response));
    changed.NotifyAll();
  };
  // What has been answered once there are `count` answers.
  const auto await = [&](size_t count) {
    base::MutexLock lock(&mutex);
    changed.Wait(&mutex, [&] { return responses.size() >= count; });
    return responses;
  };
  base::ThreadPool executor(1);
  const http::Handler handler = WitnessHandler(f.witness.get(), &executor, 3);
  const auto add = [&] {
    handler({.method = "POST",
             .target = "/add-checkpoint",
             .body = note::FormatAddCheckpoint(f.log.Request(0, 5))},
            respond);
  };
  for (int i = 0; i < 3; ++i) add();  // one on the thread, two behind it
  for (int i = 0; i < 2; ++i) {
    add();
    base::MutexLock lock(&mutex);
    CHECK(responses.size() == static_cast<size_t>(i) + 1);
  }
  f.database->Set(FaultyDatabase::Fault::kNone);
  const std::vector<http::Response> all = await(5);
  for (size_t i : {0, 1}) {
    CHECK(all[i].status == 429);
    CHECK(all[i].headers.Get("Retry-After") == "1");
    CHECK(all[i].headers.Get("Access-Control-Allow-Origin") == "*");
  }
  CHECK(all[2].status == 200);
  CHECK(all[3].status == 409);
  CHECK(all[4].status == 409);
  CHECK(f.witness->counts().turned_away == 2);
  // Each answer has freed its place.
  for (int i = 0; i < 3; ++i) add();
  CHECK(await(8)[7].status == 409);
  CHECK(f.witness->counts().turned_away == 2);
}

TEST_CASE("A refusal that quotes a long name is short and UTF-8") {
  Fixture f;
  std::string name = "x";
  for (int i = 0; i < 3000; ++i) name += "\xc3\xa9";
  const TestLog log(name);
  RequireOk(f.witness->AddLog("example.com/long", {log.vkey()}));
  note::AddCheckpointRequest request = TestLog("example.com/long").Request(0, 1);
  request.checkpoint +=
      note::FormatSignatureLine({name, log.verifier().key_id(), std::string(64, 's')});
  const http::Response refused = f.Add(request);
  CHECK(refused.status == 403);
  CHECK(refused.body_view().size() <= kMaxMessageBytes + 1);
  CHECK(note::IsUtf8(refused.body_view()));
}

TEST_CASE("One connection serves request after request, whatever their content types") {
  Fixture f;
  http::RawSocket socket(f.server->port());
  uint64_t size = 0;
  for (const char* field :
       {"", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: nonsense\r\nContent-Encoding: identity\r\n"}) {
    CAPTURE(field);
    const std::string body = note::FormatAddCheckpoint(f.log.Request(size, size + 1));
    REQUIRE(socket.Send(absl::StrCat("POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n", field,
                                     "Content-Length: ", body.size(), "\r\n\r\n", body)));
    CHECK(absl::StartsWith(socket.ReadResponse(), "HTTP/1.1 200 "));
    ++size;
  }
  CHECK(f.server->connections() == 1);
}

TEST_CASE("A request of 256 KiB is read, and a longer one answered 413") {
  Fixture f;
  note::AddCheckpointRequest request = f.log.Request(0, 5);
  const auto pad = [&request](size_t bytes) {
    request.checkpoint +=
        note::FormatSignatureLine({"unknown.example", 1, std::string(bytes, 'u')});
  };
  // Base64 and the line's other parts.
  pad((kMaxBodyBytes - note::FormatAddCheckpoint(request).size()) / 4 * 3 - 32);
  REQUIRE(note::FormatAddCheckpoint(request).size() > kMaxBodyBytes - 64);
  CHECK(f.Add(request).status == 200);
  pad(64);
  REQUIRE(note::FormatAddCheckpoint(request).size() > kMaxBodyBytes);
  CHECK(f.Add(request).status == 413);
}

TEST_CASE("Browsers may ask from anywhere") {
  Fixture f;
  for (const std::string& path :
       {std::string("/add-checkpoint"), absl::StrCat("/", kOriginHash, "/checkpoint")}) {
    const http::Response response = f.Send("OPTIONS", path);
    CHECK(response.status == 204);
    CHECK(response.headers.Get("Access-Control-Allow-Origin") == "*");
    CHECK(response.headers.Has("Access-Control-Allow-Methods"));
    CHECK(response.body_view().empty());
  }
}

TEST_CASE("Other paths are not found and other methods not allowed") {
  Fixture f;
  for (const std::string& path : std::vector<std::string>{
           "/", "/add-checkpoint/", "/checkpoint", "//checkpoint", "/abc/checkpoint",
           absl::StrCat("/", kOriginHash), absl::StrCat("/", kOriginHash, "/"),
           absl::StrCat("/x/", kOriginHash, "/checkpoint"),
           "/5FD2DC0BEB4CE54DA5050CF6D5C75248B023ABAD441C3CECDE3976FBE9DA4FE4/checkpoint"}) {
    CAPTURE(path);
    CHECK(f.Send("GET", path).status == 404);
  }
  const http::Response get = f.Send("GET", "/add-checkpoint");
  CHECK(get.status == 405);
  CHECK(get.headers.Get("Allow") == "POST, OPTIONS");
  CHECK(f.Send("HEAD", "/add-checkpoint").status == 405);
  const http::Response post = f.Send("POST", absl::StrCat("/", kOriginHash, "/checkpoint"), "x");
  CHECK(post.status == 405);
  CHECK(post.headers.Get("Allow") == "GET, HEAD, OPTIONS");
  CHECK(f.Send("DELETE", "/add-checkpoint").status == 405);
}

}  // namespace
}  // namespace countersign::witness
