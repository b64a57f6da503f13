#include "libs/http/client.h"

#include <atomic>
#include <optional>
#include <set>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "libs/http/raw_socket.h"
#include "libs/http/server.h"

namespace countersign::http {
namespace {

std::unique_ptr<Server> Serve(Handler handler) {
  ServerOptions options;
  options.max_body_bytes = 8 * 1024 * 1024;
  auto server = Server::Listen(options, std::move(handler));
  REQUIRE(server.ok());
  return *std::move(server);
}

std::string Url(int port, const std::string& path = "/") {
  return absl::StrCat("http://127.0.0.1:", port, path);
}

// The status of a GET answered with exactly these bytes by a server that closes then.
absl::StatusOr<Response> GetAnsweredBy(const std::string& bytes, ClientOptions options = {}) {
  RawListener listener;
  std::thread server([&] {
    RawSocket socket = listener.Accept();
    socket.ReadUntil("\r\n\r\n");
    socket.Send(bytes);
  });
  Client client(options);
  auto answer = client.Get(Url(listener.port()), absl::Seconds(10));
  server.join();
  return answer;
}

TEST_CASE("Requests arrive as sent and answers come back as given") {
  auto server = Serve([](Request request, Responder respond) {
    Response response = MakeResponse(
        418, "text/plain",
        absl::StrCat(request.method, " ", request.target, " ", request.headers.Get("X-A"), " ",
                     request.headers.Get("Host"), " ", request.body));
    response.headers.Add("X-Back", "b");
    respond(std::move(response));
  });
  Client client;
  ClientRequest request;
  request.method = "PUT";
  request.url = Url(server->port(), "/p?q=1");
  request.headers = {{"X-A", "a"}, {"Host", "forged"}, {"Content-Length", "77"}};
  request.body = "body";
  const auto answer = client.Call(request);
  REQUIRE(answer.ok());
  CHECK(answer->status == 418);
  CHECK(answer->headers.Get("x-back") == "b");
  CHECK(answer->body_view() == absl::StrCat("PUT /p?q=1 a 127.0.0.1:", server->port(), " body"));
  const auto post = client.Post(Url(server->port()), "text/plain", "", absl::Seconds(10));
  REQUIRE(post.ok());
  CHECK(absl::StartsWith(post->body_view(), "POST / "));
}

TEST_CASE("Large bodies pass both ways unharmed") {
  auto server = Serve([](Request request, Responder respond) {
    respond(MakeResponse(200, "application/octet-stream", std::move(request.body)));
  });
  std::string body(5 * 1024 * 1024, '\0');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 2654435761u >> 13);
  Client client;
  const auto answer =
      client.Post(Url(server->port()), "application/octet-stream", body, absl::Seconds(30));
  REQUIRE(answer.ok());
  CHECK(answer->body_view() == body);
}

TEST_CASE("A connection is used again") {
  base::Mutex mutex;
  std::set<std::string> peers;
  auto server = Serve([&](Request request, Responder respond) {
    base::MutexLock lock(&mutex);
    peers.insert(request.peer);
    respond(MakeResponse(200, "text/plain", "x"));
  });
  Client client;
  for (int i = 0; i < 5; ++i) REQUIRE(client.Get(Url(server->port()), absl::Seconds(10)).ok());
  CHECK(peers.size() == 1);
  ClientOptions unpooled;
  unpooled.max_idle_per_host = 0;
  Client fresh(unpooled);
  for (int i = 0; i < 2; ++i) REQUIRE(fresh.Get(Url(server->port()), absl::Seconds(10)).ok());
  CHECK(peers.size() == 3);
}

TEST_CASE("A kept connection that the server closed is replaced") {
  RawListener listener;
  Client client;
  std::atomic<int> served{0};
  // Closes each connection after one answer without having said so.
  std::thread server([&] {
    for (int i = 0; i < 3; ++i) {
      RawSocket socket = listener.Accept();
      socket.ReadUntil("\r\n\r\n");
      ++served;
      socket.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    }
  });
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.Get(Url(listener.port()), absl::Seconds(10));
    REQUIRE(answer.ok());
    CHECK(answer->status == 200);
  }
  server.join();
  CHECK(served == 3);
}

TEST_CASE("A lost connection repeats a GET but not a POST") {
  RawListener listener;
  std::thread server([&] {
    for (int i = 0; i < 2; ++i) {
      RawSocket socket = listener.Accept();
      socket.ReadUntil("\r\n\r\n");
      socket.Send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
      // The second request is read and never answered.
      socket.ReadUntil("\r\n\r\n");
    }
  });
  Client client;
  REQUIRE(client.Get(Url(listener.port()), absl::Seconds(10)).ok());
  CHECK(client.Get(Url(listener.port()), absl::Seconds(10)).ok());
  CHECK(absl::IsUnavailable(
      client.Post(Url(listener.port()), "text/plain", "", absl::Seconds(10)).status()));
  server.join();
}

TEST_CASE("A deadline ends the wait for an answer") {
  RawListener listener;
  Client client;
  ClientRequest request;
  request.url = Url(listener.port());
  request.timeout = absl::Milliseconds(30);
  const auto answer = client.Call(request);
  CHECK(absl::IsDeadlineExceeded(answer.status()));
  CHECK(absl::StrContains(answer.status().message(), std::to_string(listener.port())));
  request.timeout = absl::ZeroDuration();
  CHECK(absl::IsDeadlineExceeded(client.Call(request).status()));
}

TEST_CASE("Nobody listening is Unavailable") {
  int port;
  {
    RawListener listener;
    port = listener.port();
  }
  Client client;
  CHECK(absl::IsUnavailable(client.Get(Url(port), absl::Seconds(10)).status()));
  CHECK(absl::IsUnavailable(
      client.Get("http://does-not-exist.invalid/", absl::Seconds(10)).status()));
}

TEST_CASE("Requests that cannot be sent are InvalidArgument") {
  Client client;
  CHECK(absl::IsInvalidArgument(client.Get("https://a/", absl::Seconds(1)).status()));
  ClientRequest request;
  request.url = "http://127.0.0.1:1/";
  request.method = "GET /x HTTP/1.1\r\n";
  CHECK(absl::IsInvalidArgument(client.Call(request).status()));
  request.method = "GET";
  request.headers = {{"X", "a\r\nY: b"}};
  CHECK(absl::IsInvalidArgument(client.Call(request).status()));
  request.headers = {{"X Y", "a"}};
  CHECK(absl::IsInvalidArgument(client.Call(request).status()));
}

TEST_CASE("Answers are read whichever way their end is marked") {
  CHECK(GetAnsweredBy("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")->body_view() == "abc");
  CHECK(GetAnsweredBy("HTTP/1.1 200 OK\r\n\r\nto the end")->body_view() == "to the end");
  CHECK(GetAnsweredBy(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
            ->body_view() == "abc");
  CHECK(GetAnsweredBy("HTTP/1.1 204 No Content\r\n\r\n")->status == 204);
  CHECK(GetAnsweredBy("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n"
                      "Content-Length: 1\r\n\r\nz")
            ->body_view() == "z");
}

TEST_CASE("Answers that break off or are not HTTP are errors") {
  CHECK(absl::IsUnavailable(GetAnsweredBy("").status()));
  CHECK(absl::IsUnavailable(GetAnsweredBy("HTTP/1.1 200 OK\r\nContent-Le").status()));
  CHECK(absl::IsUnavailable(
      GetAnsweredBy("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").status()));
  CHECK(absl::IsInternal(GetAnsweredBy("SSH-2.0-OpenSSH_9.2\r\n\r\n").status()));
  CHECK(absl::IsInternal(
      GetAnsweredBy("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").status()));
}

TEST_CASE("An answer larger than allowed is ResourceExhausted") {
  ClientOptions options;
  options.max_response_bytes = 10;
  options.max_response_header_bytes = 1000;
  CHECK(GetAnsweredBy("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", options).ok());
  CHECK(absl::IsResourceExhausted(
      GetAnsweredBy("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", options).status()));
  CHECK(absl::IsResourceExhausted(
      GetAnsweredBy("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n01234567890", options).status()));
  CHECK(absl::IsResourceExhausted(
      GetAnsweredBy("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n012", options).status()));
  CHECK(absl::IsResourceExhausted(
      GetAnsweredBy("HTTP/1.1 200 OK\r\n\r\n" + std::string(11, 'a'), options).status()));
  CHECK(absl::IsResourceExhausted(
      GetAnsweredBy("HTTP/1.1 200 OK\r\nX: " + std::string(2000, 'a') + "\r\n\r\n", options)
          .status()));
}

TEST_CASE("HEAD reads no body") {
  auto server =
      Serve([](Request, Responder respond) { respond(MakeResponse(200, "text/plain", "12345")); });
  Client client;
  ClientRequest request;
  request.method = "HEAD";
  request.url = Url(server->port());
  for (int i = 0; i < 2; ++i) {
    const auto answer = client.Call(request);
    REQUIRE(answer.ok());
    CHECK(answer->headers.Get("Content-Length") == "5");
    CHECK(answer->body_view().empty());
  }
}

TEST_CASE("A server that refuses a large body is heard") {
  ServerOptions options;
  options.max_body_bytes = 1000;
  auto server = Server::Listen(options, [](Request, Responder respond) { respond({}); });
  REQUIRE(server.ok());
  Client client;
  const auto answer = client.Post(Url((*server)->port()), "text/plain", std::string(200000, 'a'),
                                  absl::Seconds(10));
  REQUIRE(answer.ok());
  CHECK(answer->status == 413);
}

TEST_CASE("Destroying the client cancels what is under way") {
  RawListener listener;
  std::optional<Client> client(std::in_place);
  std::atomic<int> cancelled{0};
  for (int i = 0; i < 3; ++i) {
    ClientRequest request;
    request.url = Url(listener.port());
    client->Send(request, [&](absl::StatusOr<Response> answer) {
      if (absl::IsCancelled(answer.status())) ++cancelled;
    });
  }
  client.reset();
  CHECK(cancelled == 3);
}

}  // namespace
}  // namespace countersign::http
