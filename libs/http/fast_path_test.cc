#include "libs/http/fast_path.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/http/raw_socket.h"
#include "libs/http/server.h"

namespace {

std::atomic<uint64_t> allocations{0};

void* Allocate(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

}  // namespace

// Counted, whoever allocates.
void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace countersign::http {
namespace {

constexpr size_t kMaxBody = 1000;

// What both handlers of the tests answer; the target says the status.
int StatusOf(absl::string_view target) {
  return absl::StartsWith(target, "/204")   ? 204
         : absl::StartsWith(target, "/304") ? 304
         : absl::StartsWith(target, "/404") ? 404
                                            : 200;
}

void Slow(Request request, Responder respond) {
  Response response = MakeResponse(
      StatusOf(request.target), "text/plain",
      absl::StrCat(request.method, " ", request.target, " ", request.headers.Get("x-echo"), " ",
                   request.headers.Count("x-echo"), " ", request.body));
  response.headers.Add("X-Kind", request.head ? "head" : "whole");
  respond(std::move(response));
}

bool Mirror(const FastRequest& request, FastResponse* response) {
  response->status = StatusOf(request.target);
  absl::StrAppend(&response->fields,
                  "Content-Type: text/plain\r\nX-Kind: ", request.head ? "head" : "whole", "\r\n");
  absl::StrAppend(&response->body, request.method, " ", request.target, " ", request.Get("X-Echo"),
                  " ", request.Count("X-Echo"), " ", request.body);
  return true;
}

ServerOptions Limits() {
  ServerOptions options;
  options.max_header_bytes = 2048;
  options.max_body_bytes = kMaxBody;
  return options;
}

std::unique_ptr<Server> Serve(ServerOptions options, FastHandler fast, Handler slow = Slow) {
  options.fast_handler = std::move(fast);
  auto server = Server::Listen(std::move(options), std::move(slow));
  REQUIRE(server.ok());
  return *std::move(server);
}

// "Date: …" is the only thing that two servers may say differently.
std::string WithoutDates(std::string answer) {
  for (size_t at = 0; (at = answer.find("\r\nDate: ", at)) != std::string::npos;) {
    answer.erase(at, answer.find("\r\n", at + 2) - at);
  }
  return answer;
}

// All that comes back when `bytes` are sent in two parts.
std::string Exchange(const Server& server, const std::string& bytes, size_t split) {
  RawSocket socket(server.port());
  socket.Send(bytes.substr(0, split));
  socket.Send(bytes.substr(split));
  socket.HalfClose();
  return WithoutDates(socket.ReadToEnd());
}

// Requests of every kind: plain ones, others, and such as are none.
std::vector<std::string> Requests() {
  const std::string host = "Host: h\r\n";
  std::vector<std::string> requests = {
      "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /a?b=%20 HTTP/1.1\r\nHost: h\r\nX-Echo: one\r\nx-echo: two\r\n\r\n",
      "GET /a HTTP/1.1\r\nhOST:h\r\nX-Echo:\t padded \t\r\nX-Empty:\r\n\r\n",
      "GET /a HTTP/1.1\r\nHost: h\r\nX-Echo: a\tb\r\n\r\n",
      "GET /a HTTP/1.1\r\nHost: h\r\nX-Echo: \xc3\xa4\r\n\r\n",
      "GET /a HTTP/1.1\r\nHost: h\r\nX-Echo: long enough for words of eight\r\n\r\n",
      "HEAD /head HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /204 HTTP/1.1\r\nHost: h\r\n\r\n",
      "HEAD /304 HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /404 HTTP/1.1\r\nHost: h\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 03\r\n\r\nabc",
      "POST /p HTTP/1.1\r\nHost: h\r\ncontent-length:3\r\n\r\na\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\na",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
      "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: gzip\r\n\r\nabc",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: magic\r\n\r\nabc",
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect:\r\n\r\nabc",
      "GET /g HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
      "GET /g HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
      "PUT /p HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\na",
      "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n",
      "get / HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Keep-Alive\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nProxy-Connection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: \r\n\r\n",
      "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
      "HEAD / HTTP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n",
      "POST /p HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nab",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.1\r\nHost:\r\n\r\n",
      "GET / HTTP/1.2\r\nHost: h\r\n\r\n",
      "GET / HTTP/2.0\r\nHost: h\r\n\r\n",
      "GET / http/1.1\r\nHost: h\r\n\r\n",
      "GET /\r\nHost: h\r\n\r\n",
      "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /\x7f HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET x HTTP/1.1\r\nHost: h\r\n\r\n",
      "GET / HTTP/1.1\nHost: h\n\n",
      "GET / HTTP/1.1\r\nHost: h\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\n\n",
      "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n",
      "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
      "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX-Echo: a\r\n b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX(: v\r\n\r\n",
      std::string("GET / HTTP/1.1\r\nHost: h\r\nX-Echo: a\0b\r\n\r\n", 41),
      "GET / HTTP/1.1\r\nHost: h\r\nX-Echo: a\x01"
      "b\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nX-Echo: a\x7f"
      "b\r\n\r\n",
      "\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
      "hello\r\n\r\n",
      "",
  };
  std::string many = "GET /many HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < 40; ++i) absl::StrAppend(&many, "X-", i, ": v\r\n");
  requests.push_back(many + "\r\n");
  // Round the header's limit.
  for (size_t size : {2046u, 2047u, 2048u, 2049u, 4000u}) {
    const std::string front = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
    requests.push_back(front + std::string(size - front.size() - 4, 'x') + "\r\n\r\n");
  }
  return requests;
}

TEST_CASE("A request is answered in the same bytes with a fast handler as without") {
  const auto slow = Serve(Limits(), nullptr);
  const auto fast = Serve(Limits(), Mirror);
  for (const std::string& request : Requests()) {
    CAPTURE(request);
    CHECK(Exchange(*fast, request, 0) == Exchange(*slow, request, 0));
  }
}

bool Refuses(absl::string_view answer) {
  return absl::StrContains(answer.substr(0, answer.find("\r\n\r\n")), "application/problem+json") &&
         absl::StrContains(answer, "\r\nConnection: close\r\n");
}

TEST_CASE("So it is wherever its bytes come apart") {
  const auto slow = Serve(Limits(), nullptr);
  const auto fast = Serve(Limits(), Mirror);
  for (const std::string& request : Requests()) {
    if (request.size() > 200) continue;
    const std::string expected = Exchange(*slow, request, 0);
    for (size_t split = 1; split < request.size(); ++split) {
      CAPTURE(request, split);
      const std::string answer = Exchange(*fast, request, split);
      // Why a request is refused may depend on how much of it was there at once.
      if (Refuses(expected)) {
        CHECK(Refuses(answer));
      } else {
        CHECK(answer == expected);
      }
    }
  }
}

TEST_CASE("Pipelined requests are answered in order, fast and slow ones mixed") {
  const auto slow = Serve(Limits(), nullptr);
  std::atomic<int> asked{0};
  // Leaves every third to the handler.
  const auto fast = Serve(Limits(), [&](const FastRequest& request, FastResponse* response) {
    return ++asked % 3 != 0 && Mirror(request, response);
  });
  std::string all;
  for (const std::string& request : Requests()) {
    // Only what leaves the connection open.
    if (!absl::StartsWith(Exchange(*slow, request + "GET /next HTTP/1.1\r\nHost: h\r\n\r\n", 0),
                          "HTTP/1.1 ") ||
        !absl::StrContains(Exchange(*slow, request + "GET /next HTTP/1.1\r\nHost: h\r\n\r\n", 0),
                           "GET /next ")) {
      continue;
    }
    all += request;
  }
  REQUIRE(all.size() > 1000);
  for (int repeat = 0; repeat < 4; ++repeat) all += all;
  all += "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /never HTTP/1.1\r\n";
  const std::string expected = Exchange(*slow, all, 0);
  CHECK(absl::EndsWith(expected, "GET /last  0 "));
  for (size_t split : {size_t{0}, size_t{1}, all.size() / 3, all.size() / 2, all.size() - 1}) {
    CAPTURE(split);
    CHECK(Exchange(*fast, all, split) == expected);
  }
  CHECK(asked > 100);
}

TEST_CASE("Answers that the client is slow to read arrive whole") {
  const std::string body(300'000, 'b');
  const auto server = Serve(Limits(), [&](const FastRequest&, FastResponse* response) {
    response->body = body;
    return true;
  });
  RawSocket socket(server->port());
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  socket.Send(requests + "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  for (int i = 0; i < 101; ++i) CHECK(absl::EndsWith(socket.ReadResponse(), "\r\n\r\n" + body));
  CHECK(socket.ReadToEnd() == "");
}

TEST_CASE("A client that does not read its answers is closed in time") {
  ServerOptions options = Limits();
  options.request_timeout = absl::Milliseconds(50);
  const std::string body(1 << 20, 'b');
  const auto server = Serve(options, [&](const FastRequest&, FastResponse* response) {
    response->body = body;
    return true;
  });
  RawSocket socket(server->port());
  std::string requests;
  for (int i = 0; i < 300; ++i) requests += "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  socket.Send(requests);
  while (server->connections() > 0) std::this_thread::yield();
  CHECK(socket.ReadToEnd().size() < 300 * body.size());
}

TEST_CASE("An idle connection is closed, and one that stops within a request answered 408") {
  ServerOptions options = Limits();
  options.idle_timeout = absl::Milliseconds(50);
  options.read_timeout = absl::Milliseconds(50);
  const auto server = Serve(options, Mirror);
  RawSocket idle(server->port());
  idle.Send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(absl::EndsWith(idle.ReadToEnd(), "GET /a  0 "));
  RawSocket partial(server->port());
  partial.Send(
      "GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 2");
  CHECK(absl::EndsWith(partial.ReadResponse(), "GET /a  0 "));
  CHECK(absl::StartsWith(partial.ReadToEnd(), "HTTP/1.1 408 "));
}

TEST_CASE("Draining closes what rests, and a fast answer under way is the connection's last") {
  const auto server = Serve(Limits(), Mirror);
  RawSocket idle(server->port());
  idle.Send("GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(absl::EndsWith(idle.ReadResponse(), "GET /a  0 "));
  std::atomic<bool> drained{false};
  std::thread drain([&] { drained = server->Drain(absl::Seconds(30)); });
  CHECK(idle.ReadToEnd() == "");
  drain.join();
  CHECK(drained);
  internal::FastPath path(Mirror, 2048, kMaxBody);
  const std::string two = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n";
  const auto answered = path.Answer(two, "now", /*draining=*/true);
  CHECK(answered.close);
  CHECK(answered.consumed == two.size() / 2);
  CHECK(absl::StrContains(path.out(), "\r\nConnection: close\r\n"));
}

TEST_CASE("A status that is none goes to the handler") {
  const auto server = Serve(Limits(), [](const FastRequest&, FastResponse* response) {
    response->status = 99;
    return true;
  });
  const std::string answer = Exchange(*server, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n", 0);
  CHECK(absl::StartsWith(answer, "HTTP/1.1 200 OK\r\n"));
}

TEST_CASE("Serving ten thousand requests allocates nothing") {
  const auto server = Serve(Limits(), Mirror, [](Request, Responder respond) {
    FAIL_CHECK("left to the handler");
    respond({});
  });
  const std::string get = "GET /a HTTP/1.1\r\nHost: h\r\nX-Echo: some value\r\n\r\n";
  const std::string post = absl::StrCat(
      "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\n", std::string(500, 'p'));
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(server->port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  static char answer[65536];
  int right = 0;
  const auto ask = [&](const std::string& request) {
    if (send(fd, request.data(), request.size(), 0) != static_cast<ssize_t>(request.size())) return;
    const ssize_t size = recv(fd, answer, sizeof(answer), 0);
    right +=
        absl::StartsWith(absl::string_view(answer, static_cast<size_t>(size)), "HTTP/1.1 200 ");
  };
  const auto ask_many = [&](int count) {
    for (int i = 0; i < count; ++i) ask(i % 2 == 0 ? get : post);
  };
  ask_many(1000);
  const uint64_t before = allocations.load();
  ask_many(10'000);
  CHECK(allocations.load() - before == 0);
  CHECK(right == 11'000);
  close(fd);
}

}  // namespace
}  // namespace countersign::http
