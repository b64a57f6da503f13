#include "libs/http/server.h"

#include <atomic>
#include <deque>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/mutex.h"
#include "libs/http/client.h"
#include "libs/http/raw_socket.h"

namespace countersign::http {
namespace {

using absl::StrContains;

// Answers with what it received.
void Echo(Request request, Responder respond) {
  respond(MakeResponse(200, "text/plain",
                       absl::StrCat(request.method, " ", request.target, " ", request.body)));
}

std::unique_ptr<Server> Serve(Handler handler, ServerOptions options = {}) {
  auto server = Server::Listen(std::move(options), std::move(handler));
  REQUIRE(server.ok());
  return *std::move(server);
}

// Sends `bytes` on a connection of its own and returns all that comes back until the server closes.
std::string Exchange(const Server& server, const std::string& bytes) {
  RawSocket socket(server.port());
  socket.Send(bytes);
  return socket.ReadToEnd();
}

// A handler that keeps its responders until the test answers them.
class Held {
 public:
  Handler handler() {
    return [this](Request, Responder respond) {
      base::MutexLock lock(&mutex_);
      responders_.push_back(std::move(respond));
      arrived_.NotifyAll();
    };
  }

  Responder Take() {
    base::MutexLock lock(&mutex_);
    arrived_.Wait(&mutex_, [this] { return !responders_.empty(); });
    Responder respond = std::move(responders_.front());
    responders_.pop_front();
    return respond;
  }

 private:
  base::Mutex mutex_;
  base::CondVar arrived_;
  std::deque<Responder> responders_;
};

TEST_CASE("A request is answered with status, length, date and the handler's headers") {
  auto server = Serve([](Request request, Responder respond) {
    CHECK(request.headers.Get("x-in") == "v");
    CHECK(absl::StartsWith(request.peer, "127.0.0.1:"));
    Response response = MakeResponse(201, "text/plain", "made\n");
    response.headers.Add("X-Out", "w");
    response.headers.Add("Content-Length", "99");
    response.headers.Add("X-Bad", "a\r\nInjected: yes");
    respond(std::move(response));
  });
  const std::string answer =
      Exchange(*server, "GET /a HTTP/1.1\r\nHost: h\r\nX-In: v\r\nConnection: close\r\n\r\n");
  CHECK(absl::StartsWith(answer, "HTTP/1.1 201 Created\r\n"));
  CHECK(StrContains(answer, "\r\nX-Out: w\r\n"));
  CHECK(StrContains(answer, "\r\nContent-Length: 5\r\n"));
  CHECK(StrContains(answer, "\r\nDate: "));
  CHECK(StrContains(answer, "\r\nConnection: close\r\n"));
  CHECK_FALSE(StrContains(answer, "99"));
  CHECK_FALSE(StrContains(answer, "Injected"));
  CHECK(absl::EndsWith(answer, "\r\n\r\nmade\n"));
}

TEST_CASE("A connection is kept and pipelined requests are answered in order") {
  auto server = Serve(Echo);
  RawSocket socket(server->port());
  socket.Send(
      "GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
      "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
      "\r\nPOST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
      "chunked\r\n\r\n2\r\nde\r\n1;x=y\r\nf\r\n0\r\nT: "
      "v\r\n\r\n"
      "GET /4 HTTP/1.1\r\nHost: h\r\n");
  CHECK(absl::EndsWith(socket.ReadResponse(), "GET /1 "));
  CHECK(absl::EndsWith(socket.ReadResponse(), "POST /2 abc"));
  CHECK(absl::EndsWith(socket.ReadResponse(), "POST /3 def"));
  socket.Send("\r\n");
  CHECK(absl::EndsWith(socket.ReadResponse(), "GET /4 "));
}

TEST_CASE("Pipelined requests wait for a slow answer before them") {
  Held held;
  auto server = Serve(held.handler());
  RawSocket socket(server->port());
  socket.Send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n");
  held.Take()(MakeResponse(200, "text/plain", "first"));
  CHECK(absl::EndsWith(socket.ReadResponse(), "first"));
  held.Take()(MakeResponse(200, "text/plain", "second"));
  CHECK(absl::EndsWith(socket.ReadResponse(), "second"));
}

TEST_CASE("HEAD is answered as GET without the body") {
  auto server = Serve([](Request request, Responder respond) {
    CHECK(request.method == "GET");
    CHECK(request.head);
    respond(MakeResponse(200, "text/plain", "12345"));
  });
  const std::string answer =
      Exchange(*server, "HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  CHECK(StrContains(answer, "\r\nContent-Length: 5\r\n"));
  CHECK(absl::EndsWith(answer, "\r\n\r\n"));
}

TEST_CASE("HTTP/1.0 closes unless it asks to be kept") {
  auto server = Serve(Echo);
  const std::string closed = Exchange(*server, "GET /a HTTP/1.0\r\n\r\n");
  CHECK(StrContains(closed, "Connection: close\r\n"));
  CHECK(absl::EndsWith(closed, "GET /a "));
  RawSocket socket(server->port());
  socket.Send("GET /b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(StrContains(socket.ReadResponse(), "Connection: keep-alive\r\n"));
  socket.Send("GET /c HTTP/1.0\r\n\r\n");
  CHECK(absl::EndsWith(socket.ReadToEnd(), "GET /c "));
}

TEST_CASE("An absolute target is reduced to its path") {
  auto server = Serve(Echo);
  CHECK(absl::EndsWith(
      Exchange(*server, "GET http://h/x?y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
      "GET /x?y "));
  CHECK(absl::EndsWith(
      Exchange(*server, "GET http://h?y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
      "GET /?y "));
}

TEST_CASE("Requests that are not HTTP/1.1 are refused, and the connection is closed") {
  auto server = Serve([](Request, Responder respond) {
    FAIL_CHECK("reached the handler");
    respond({});
  });
  const auto [what, bytes, status] = GENERATE(table<std::string, std::string, int>({
      {"no HTTP at all", "hello\r\n\r\n", 400},
      {"binary", std::string("\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 11), 400},
      {"a version from the future", "GET / HTTP/3.0\r\nHost: h\r\n\r\n", 505},
      {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"a space before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", 400},
      {"a control character in a value",
       "GET / HTTP/1.1\r\nHost: h\r\nX: a\x01"
       "b\r\n\r\n",
       400},
      {"a target that is no path", "GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"a fragment", "GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"bytes above ASCII in the target", "GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"a negative length", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", 400},
      {"a length that is no number", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1x\r\n\r\n",
       400},
      {"two lengths",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
      {"length and chunks",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       400},
      {"chunks and length",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: "
       "5\r\n\r\n0\r\n\r\n",
       400},
      {"a bad chunk size",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400},
      {"a chunk longer than it says",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
       400},
      {"another coding", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
      {"a second coding",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"chunks in HTTP/1.0",
       "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"another expectation", "POST / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\n\r\n", 417},
      {"a huge header", "GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(20000, 'a') + "\r\n\r\n",
       431},
      {"a huge request line", "GET /" + std::string(20000, 'a') + " HTTP/1.1\r\nHost: h\r\n\r\n",
       431},
      {"an endless chunk extension",
       "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" +
           std::string(100000, 'x'),
       431},
  }));
  CAPTURE(what);
  const std::string answer = Exchange(*server, bytes);
  CHECK(absl::StartsWith(answer, absl::StrCat("HTTP/1.1 ", status, " ")));
  CHECK(StrContains(answer, "application/problem+json"));
  CHECK(StrContains(answer, "Connection: close\r\n"));
}

TEST_CASE("What is sent behind a malformed request is not answered") {
  auto server = Serve(Echo);
  const std::string answer =
      Exchange(*server, "bad\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK_FALSE(StrContains(answer, "smuggled"));
}

TEST_CASE("A body beyond the limit is refused, however it is framed") {
  ServerOptions options;
  options.max_body_bytes = 1000;
  auto server = Serve(Echo, options);
  CHECK(absl::StartsWith(
      Exchange(*server, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n"),
      "HTTP/1.1 413 "));
  CHECK(absl::StartsWith(
      Exchange(*server, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                            std::string(1001, 'a')),
      "HTTP/1.1 413 "));
  CHECK(absl::StartsWith(
      Exchange(*server,
               "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n"),
      "HTTP/1.1 4"));
  CHECK(
      absl::EndsWith(Exchange(*server,
                              "POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: "
                              "1000\r\n\r\n" +
                                  std::string(1000, 'a')),
                     std::string(1000, 'a')));
}

TEST_CASE("Expect: 100-continue is granted before the body, refused when the body is too large") {
  ServerOptions options;
  options.max_body_bytes = 10;
  auto server = Serve(Echo, options);
  RawSocket socket(server->port());
  socket.Send("POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  CHECK(socket.ReadUntil("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  socket.Send("ok");
  CHECK(absl::EndsWith(socket.ReadResponse(), "POST /e ok"));
  socket.Send("POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
  CHECK(absl::StartsWith(socket.ReadResponse(), "HTTP/1.1 413 "));
}

TEST_CASE("A header that arrives byte by byte is served") {
  auto server = Serve(Echo);
  RawSocket socket(server->port());
  for (char c : std::string("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")) {
    socket.Send(std::string(1, c));
  }
  CHECK(absl::EndsWith(socket.ReadResponse(), "GET /slow "));
}

TEST_CASE("A client that does not finish its request is answered 408") {
  ServerOptions options;
  options.read_timeout = absl::Milliseconds(50);
  auto server = Serve(Echo, options);
  CHECK(absl::StartsWith(Exchange(*server, "GET / HTTP/1.1\r\nHost:"), "HTTP/1.1 408 "));
  CHECK(absl::StartsWith(
      Exchange(*server, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"),
      "HTTP/1.1 408 "));
}

TEST_CASE("An idle connection is closed without a word") {
  ServerOptions options;
  options.idle_timeout = absl::Milliseconds(50);
  auto server = Serve(Echo, options);
  CHECK(Exchange(*server, "") == "");
  RawSocket socket(server->port());
  socket.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(absl::EndsWith(socket.ReadToEnd(), "GET / "));
}

TEST_CASE("A handler that does not answer in time gives 504; its late answer is dropped") {
  ServerOptions options;
  options.request_timeout = absl::Milliseconds(50);
  Held held;
  auto server = Serve(held.handler(), options);
  CHECK(absl::StartsWith(Exchange(*server, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), "HTTP/1.1 504 "));
  held.Take()(MakeResponse(200, "text/plain", "late"));
}

TEST_CASE("Half-closing after a request still gets the answer; in the middle of one gets 400") {
  auto server = Serve(Echo);
  {
    RawSocket socket(server->port());
    socket.Send("GET /half HTTP/1.1\r\nHost: h\r\n\r\n");
    socket.HalfClose();
    CHECK(absl::EndsWith(socket.ReadToEnd(), "GET /half "));
  }
  RawSocket socket(server->port());
  socket.Send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab");
  socket.HalfClose();
  CHECK(absl::StartsWith(socket.ReadToEnd(), "HTTP/1.1 400 "));
}

TEST_CASE("A responder answers once, from any thread, and 500 when it is dropped") {
  auto server = Serve([](Request request, Responder respond) {
    if (request.target == "/drop") return;
    if (request.target == "/throw") throw std::runtime_error("oops");
    if (request.target == "/status") {
      Response response;
      response.status = 42;
      return respond(std::move(response));
    }
    std::thread([respond] {
      respond(MakeResponse(200, "text/plain", "one"));
      respond(MakeResponse(200, "text/plain", "two"));
    }).detach();
  });
  Client client;
  const std::string base = "http://" + server->address();
  CHECK(client.Get(base + "/drop", absl::Seconds(10))->status == 500);
  CHECK(client.Get(base + "/throw", absl::Seconds(10))->status == 500);
  CHECK(client.Get(base + "/status", absl::Seconds(10))->status == 500);
  for (int i = 0; i < 20; ++i) {
    CHECK(client.Get(base + "/", absl::Seconds(10))->body_view() == "one");
  }
}

TEST_CASE("A responder may outlive its server") {
  Held held;
  auto server = Serve(held.handler());
  RawSocket socket(server->port());
  socket.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  Responder respond = held.Take();
  server.reset();
  respond(MakeResponse(200, "text/plain", "too late"));
  CHECK(socket.ReadToEnd() == "");
}

TEST_CASE("204 and 304 have neither body nor length") {
  auto server = Serve([](Request request, Responder respond) {
    Response response = MakeResponse(request.target == "/204" ? 204 : 304, "text/plain", "never");
    respond(std::move(response));
  });
  for (const char* target : {"/204", "/304"}) {
    const std::string answer = Exchange(
        *server, absl::StrCat("GET ", target, " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    CHECK_FALSE(StrContains(answer, "Content-Length"));
    CHECK(absl::EndsWith(answer, "\r\n\r\n"));
  }
}

TEST_CASE("Connections beyond the limit are told so") {
  ServerOptions options;
  options.max_connections = 2;
  auto server = Serve(Echo, options);
  std::optional<RawSocket> first(std::in_place, server->port());
  RawSocket second(server->port());
  for (RawSocket* socket : {&*first, &second}) {
    socket->Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    CHECK(absl::StartsWith(socket->ReadResponse(), "HTTP/1.1 200 "));
  }
  const std::string refused = Exchange(*server, "");
  CHECK(absl::StartsWith(refused, "HTTP/1.1 503 "));
  CHECK(StrContains(refused, "Retry-After: 1\r\n"));
  // A place is free once the server has seen a connection end.
  first.reset();
  std::string answer;
  while (!absl::StartsWith(answer, "HTTP/1.1 200 ")) {
    answer = Exchange(*server, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    REQUIRE(absl::StartsWith(answer, "HTTP/1.1 "));
  }
}

TEST_CASE("A port in use is refused, also when the other is a server of this kind") {
  ServerOptions options;
  options.threads = 3;
  auto server = Serve(Echo, options);
  ServerOptions same;
  same.address = server->address();
  same.threads = 2;
  const auto second = Server::Listen(same, Echo);
  CHECK(absl::IsUnavailable(second.status()));
  CHECK(StrContains(second.status().message(), "in use"));
  const int port = server->port();
  server.reset();
  same.address = absl::StrCat("127.0.0.1:", port);
  auto third = Server::Listen(same, Echo);
  REQUIRE(third.ok());
  CHECK((*third)->port() == port);
  RawListener listener;
  same.address = absl::StrCat("127.0.0.1:", listener.port());
  CHECK(absl::IsUnavailable(Server::Listen(same, Echo).status()));
}

TEST_CASE("An address that cannot be understood is refused") {
  ServerOptions options;
  for (const char* bad : {"", "localhost", "127.0.0.1:x", "256.0.0.1.invalid:80"}) {
    options.address = bad;
    CHECK(absl::IsInvalidArgument(Server::Listen(options, Echo).status()));
  }
  options.address = "[::1]:0";
  auto server = Server::Listen(options, Echo);
  REQUIRE(server.ok());
  CHECK((*server)->address() == absl::StrCat("[::1]:", (*server)->port()));
}

TEST_CASE("Every thread's listener serves") {
  ServerOptions options;
  options.threads = 4;
  base::Mutex mutex;
  std::set<std::thread::id> threads;
  auto server = Serve(
      [&](Request request, Responder respond) {
        {
          base::MutexLock lock(&mutex);
          threads.insert(std::this_thread::get_id());
        }
        Echo(std::move(request), std::move(respond));
      },
      options);
  // The kernel spreads connections by a hash of their ports.
  for (int i = 0; i < 200; ++i) {
    CHECK(absl::EndsWith(
        Exchange(*server, "GET /t HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), "GET /t "));
  }
  CHECK(threads.size() == 4);
}

TEST_CASE("Draining answers what is under way, closes what rests and accepts nothing new") {
  Held held;
  auto server = Serve(held.handler());
  RawSocket idle(server->port());
  idle.Send("GET /warm HTTP/1.1\r\nHost: h\r\n\r\n");
  held.Take()(MakeResponse(200, "text/plain", "warm"));
  CHECK(absl::EndsWith(idle.ReadResponse(), "warm"));
  RawSocket busy(server->port());
  busy.Send("GET /busy HTTP/1.1\r\nHost: h\r\n\r\n");
  Responder respond = held.Take();
  std::atomic<bool> drained{false};
  std::thread drain([&] { drained = server->Drain(absl::Seconds(30)); });
  CHECK(idle.ReadToEnd() == "");
  respond(MakeResponse(200, "text/plain", "served"));
  const std::string answer = busy.ReadToEnd();
  CHECK(absl::EndsWith(answer, "served"));
  CHECK(StrContains(answer, "Connection: close\r\n"));
  drain.join();
  CHECK(drained);
  CHECK(server->connections() == 0);
  ClientRequest request;
  request.url = "http://" + server->address();
  Client client;
  CHECK(absl::IsUnavailable(client.Call(request).status()));
}

TEST_CASE("Draining gives up at its deadline") {
  Held held;
  auto server = Serve(held.handler());
  RawSocket socket(server->port());
  socket.Send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  Responder respond = held.Take();
  CHECK_FALSE(server->Drain(absl::Milliseconds(20)));
  CHECK(socket.ReadToEnd() == "");
  CHECK(server->Drain(absl::Milliseconds(20)));
}

TEST_CASE("Many connections and threads at once lose nothing") {
  ServerOptions options;
  options.threads = 2;
  auto server = Serve(Echo, options);
  std::atomic<int> right{0};
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      RawSocket socket(server->port());
      for (int i = 0; i < 100; ++i) {
        const std::string target = absl::StrCat("/", c, "/", i);
        socket.Send(
            absl::StrCat("POST ", target, " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"));
        if (absl::EndsWith(socket.ReadResponse(), absl::StrCat("POST ", target, " hi"))) ++right;
      }
    });
  }
  for (auto& thread : clients) thread.join();
  CHECK(right == 800);
}

}  // namespace
}  // namespace countersign::http
