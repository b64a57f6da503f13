#include <fcntl.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <future>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "catch2/catch.hpp"
#include "countersign/runtime/test/v1/echo.grpc.pb.h"
#include "libs/http/client.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/testing/child_process.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::runtime {
namespace {

using countersign::testing::ChildProcess;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::Runfile;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;
using test::v1::EchoService;

constexpr char kService[] = "countersign.runtime.test.v1.EchoService";
constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";

std::string ServerBinary() { return Runfile("libs/runtime/echo_server"); }

std::unique_ptr<ChildProcess> StartEcho(std::vector<std::string> args = {}) {
  return ChildProcess::StartService(ServerBinary(), std::move(args));
}

// A unary call in bytes: for services whose generated code Debian does not ship.
absl::StatusOr<std::string> CallRaw(const std::shared_ptr<grpc::Channel>& channel,
                                    const std::string& method, const std::string& request) {
  grpc::GenericStub stub(channel);
  const auto context = MakeContext(absl::Seconds(30));
  const grpc::Slice slice(request);
  const grpc::ByteBuffer sent(&slice, 1);
  grpc::ByteBuffer received;
  std::promise<grpc::Status> done;
  stub.UnaryCall(context.get(), method, grpc::StubOptions(), &sent, &received,
                 [&done](grpc::Status status) { done.set_value(std::move(status)); });
  const grpc::Status status = done.get_future().get();
  if (!status.ok()) return FromGrpcStatus(status);
  std::vector<grpc::Slice> slices;
  (void)received.Dump(&slices);
  std::string bytes;
  for (const grpc::Slice& part : slices) {
    bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return bytes;
}

// grpc.health.v1.HealthCheckRequest{service} and what HealthCheckResponse{status} looks like.
absl::StatusOr<std::string> CheckHealth(const std::shared_ptr<grpc::Channel>& channel,
                                        const std::string& service) {
  std::string request;
  if (!service.empty()) request = absl::StrCat("\x0a", std::string(1, service.size()), service);
  return CallRaw(channel, kHealthCheck, request);
}
const std::string kServing = "\x08\x01";
const std::string kNotServing = "\x08\x02";

http::Response HttpGet(const std::string& address, const std::string& path) {
  http::Client client;
  return RequireOk(client.Get(absl::StrCat("http://", address, path), absl::Seconds(30)));
}

// /metrics once it holds `line`: a call is counted a moment after its answer.
std::string MetricsWith(const ChildProcess& server, const std::string& line) {
  std::string text;
  for (int attempt = 0; attempt < 10000 && !absl::StrContains(text, line); ++attempt) {
    text = std::string(HttpGet(server.admin_address(), "/metrics").body_view());
  }
  CHECK_THAT(text, Catch::Contains(line));
  return text;
}

absl::StatusOr<test::v1::EchoResponse> Echo(const std::shared_ptr<grpc::Channel>& channel,
                                            const std::string& message,
                                            const std::string& request_id = "") {
  const auto context = MakeContext(absl::Seconds(30), request_id);
  test::v1::EchoRequest request;
  request.set_message(message);
  test::v1::EchoResponse response;
  const grpc::Status status =
      EchoService::NewStub(channel)->Echo(context.get(), request, &response);
  if (!status.ok()) return FromGrpcStatus(status);
  return response;
}

// Starts a Hold in the background and returns when the server runs `count` of them.
std::future<grpc::Status> StartHold(const std::shared_ptr<grpc::Channel>& channel,
                                    const std::string& pipe, int count) {
  auto held = std::async(std::launch::async, [channel, pipe] {
    const auto context = MakeContext(absl::Seconds(120));
    test::v1::HoldRequest request;
    request.set_pipe(pipe);
    test::v1::HoldResponse response;
    return EchoService::NewStub(channel)->Hold(context.get(), request, &response);
  });
  const auto context = MakeContext(absl::Seconds(60));
  test::v1::AwaitHoldRequest request;
  request.set_count(count);
  test::v1::AwaitHoldResponse response;
  RequireOk(
      FromGrpcStatus(EchoService::NewStub(channel)->AwaitHold(context.get(), request, &response)));
  return held;
}

std::string MakePipe(const TempDir& dir, const std::string& name) {
  const std::string path = dir.path() + "/" + name;
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  return path;
}

// Returns once the process at the other end has opened the pipe, which lets it go on.
void OpenPipe(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  REQUIRE(fd >= 0);
  close(fd);
}

int Lines(const std::string& text) {
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

TEST_CASE("a started service answers calls, health checks and its admin port") {
  auto server = StartEcho();
  const auto channel = RequireOk(MakeChannel(server->grpc_address()));
  CHECK(RequireOk(Echo(channel, "hello")).message() == "hello");

  CHECK(RequireOk(CheckHealth(channel, "")) == kServing);
  CHECK(RequireOk(CheckHealth(channel, kService)) == kServing);
  CHECK_THAT(CheckHealth(channel, "no.such.Service"), StatusIs(absl::StatusCode::kNotFound));

  CHECK(HttpGet(server->admin_address(), "/healthz").status == 200);
  CHECK(HttpGet(server->admin_address(), "/readyz").status == 200);
  CHECK(HttpGet(server->admin_address(), "/nothing").status == 404);
  CHECK(HttpGet(server->http_address(), "/a?b").body_view() == "you asked for /a?b");
  CHECK(server->Stop() == 0);
}

TEST_CASE("metrics count calls by method and status") {
  auto server = StartEcho();
  const auto channel = RequireOk(MakeChannel(server->grpc_address()));
  RequireOk(Echo(channel, "one").status());
  RequireOk(Echo(channel, "two").status());
  const auto context = MakeContext(absl::Seconds(30));
  test::v1::FailRequest request;
  request.set_code(static_cast<int>(absl::StatusCode::kNotFound));
  test::v1::FailResponse response;
  CHECK(!EchoService::NewStub(channel)->Fail(context.get(), request, &response).ok());

  const http::Response metrics = HttpGet(server->admin_address(), "/metrics");
  CHECK(metrics.headers.Get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8");
  const std::string labels =
      absl::StrCat("grpc_type=\"unary\",grpc_service=\"", kService, "\",grpc_method=");
  for (const std::string& line : {
           absl::StrCat("grpc_server_started_total{", labels, "\"Echo\"} 2\n"),
           absl::StrCat("grpc_server_handled_total{", labels, "\"Echo\",grpc_code=\"OK\"} 2\n"),
           absl::StrCat("grpc_server_handled_total{", labels,
                        "\"Fail\",grpc_code=\"NotFound\"} 1\n"),
           absl::StrCat("grpc_server_handling_seconds_count{", labels, "\"Echo\"} 2\n"),
           std::string("countersign_echo_starts_total 1\n"),
           std::string("build_info{service=\"echo\",version=\""),
           std::string("# TYPE process_resident_memory_bytes gauge\n"),
       }) {
    MetricsWith(*server, line);
  }
}

TEST_CASE("the status of every kind of call is in the metrics") {
  auto server = StartEcho();
  const auto channel = RequireOk(MakeChannel(server->grpc_address()));
  const auto stub = EchoService::NewStub(channel);
  test::v1::EchoRequest request;
  test::v1::EchoResponse response;
  const auto line = [](const std::string& method, const std::string& code) {
    return absl::StrCat("grpc_service=\"", kService, "\",grpc_method=\"", method, "\",grpc_code=\"",
                        code, "\"} ");
  };
  const auto echo_directly = [&](const std::string& message) {
    request.set_message(message);
    const auto context = MakeContext(absl::Seconds(30));
    return stub->EchoDirectly(context.get(), request, &response).ok();
  };
  // This call shows that the handler does not report its status; later ones are watched.
  CHECK(echo_directly("first"));
  MetricsWith(*server, line("EchoDirectly", "Unknown") + "1\n");
  CHECK(echo_directly("second"));
  CHECK(!echo_directly(""));
  MetricsWith(*server, line("EchoDirectly", "OK") + "1\n");
  MetricsWith(*server, line("EchoDirectly", "InvalidArgument") + "1\n");

  const auto context = MakeContext(absl::Seconds(30));
  const auto stream = stub->EchoStream(context.get());
  request.set_message("a");
  CHECK(stream->Write(request));
  CHECK(stream->Read(&response));
  request.set_message("");
  CHECK(stream->Write(request));
  CHECK(!stream->Finish().ok());
  CHECK(context->GetServerTrailingMetadata().count("x-request-id") == 1);

  MetricsWith(*server, line("EchoStream", "InvalidArgument") + "1\n");
}

TEST_CASE("every call has a request id: the caller's, or a new one") {
  auto server = StartEcho({"--access-log=all"});
  const auto channel = RequireOk(MakeChannel(server->grpc_address()));
  CHECK(RequireOk(Echo(channel, "x", "req-7")).request_id() == "req-7");

  const auto stub = EchoService::NewStub(channel);
  test::v1::EchoResponse response;
  grpc::ClientContext without;
  REQUIRE(stub->Echo(&without, {}, &response).ok());
  CHECK(response.request_id().size() == 36);

  grpc::ClientContext hostile;
  hostile.AddMetadata("x-request-id", "\"},{\"level\":\"error");
  REQUIRE(stub->Echo(&hostile, {}, &response).ok());
  CHECK(response.request_id().size() == 36);

  CHECK(server->Stop() == 0);
  CHECK_THAT(server->output(), Catch::Contains("\"request_id\":\"req-7\""));
}

TEST_CASE("a failure reaches the caller with its details and is logged") {
  auto server = StartEcho();
  const auto channel = RequireOk(MakeChannel(server->grpc_address()));
  test::v1::FailRequest request;
  request.set_code(static_cast<int>(absl::StatusCode::kResourceExhausted));
  request.set_message("the queue is full");
  request.set_reason("QUEUE_FULL");
  request.set_retry_after_ms(1500);
  test::v1::FailResponse response;
  const auto context = MakeContext(absl::Seconds(30), "req-8");
  const absl::Status status =
      FromGrpcStatus(EchoService::NewStub(channel)->Fail(context.get(), request, &response));
  CHECK_THAT(status, StatusIs(absl::StatusCode::kResourceExhausted, "the queue is full"));
  CHECK(ReasonOf(status) == "QUEUE_FULL");
  CHECK(RetryAfterOf(status) == absl::Milliseconds(1500));
  const auto& trailers = context->GetServerTrailingMetadata();
  REQUIRE(trailers.count("x-request-id") == 1);
  CHECK(trailers.find("x-request-id")->second == "req-8");
  CHECK(server->Stop() == 0);
  CHECK_THAT(server->output(), Catch::Contains("\"grpc.code\":\"ResourceExhausted\"") &&
                                   Catch::Contains("\"request_id\":\"req-8\""));
}

TEST_CASE("a stop turns health off, lets calls in flight end and then exits with 0") {
  TempDir dir;
  const std::string drain_pipe = MakePipe(dir, "drain");
  const std::string call_pipe = MakePipe(dir, "call");
  auto server = StartEcho({"--drain-pipe=" + drain_pipe});
  const auto channel = RequireOk(MakeChannel(server->grpc_address()));
  auto until_drain = StartHold(channel, "", 1);
  auto until_pipe = StartHold(channel, call_pipe, 2);

  server->Signal(SIGTERM);
  // This call ends when the drain begins, which then waits for its pipe.
  CHECK_THAT(FromGrpcStatus(until_drain.get()), IsOk());
  CHECK(RequireOk(CheckHealth(channel, "")) == kNotServing);
  CHECK(RequireOk(CheckHealth(channel, kService)) == kNotServing);
  CHECK(HttpGet(server->admin_address(), "/readyz").status == 503);
  CHECK(HttpGet(server->admin_address(), "/healthz").status == 200);

  OpenPipe(drain_pipe);
  // Now gRPC stops: new calls are refused while the old one goes on.
  absl::Status refused;
  while (refused.ok()) {
    refused = Echo(RequireOk(MakeChannel(server->grpc_address())), "late").status();
  }
  // CANCELLED when the connection was made just before the stop.
  CHECK((absl::IsUnavailable(refused) || absl::IsCancelled(refused)));
  OpenPipe(call_pipe);
  CHECK_THAT(FromGrpcStatus(until_pipe.get()), IsOk());
  CHECK(server->Wait() == 0);
}

TEST_CASE("a call that never ends does not keep the process longer than the drain timeout") {
  TempDir dir;
  const std::string pipe = MakePipe(dir, "call");
  auto server = StartEcho({"--drain-timeout=100ms"});
  auto held = StartHold(RequireOk(MakeChannel(server->grpc_address())), pipe, 1);
  CHECK(server->Stop() == 1);
  CHECK_THAT(server->output(), Catch::Contains("the stop took too long"));
  CHECK(!held.get().ok());
}

TEST_CASE("an address in use is one clear line and exit code 1") {
  auto first = StartEcho();
  for (const std::string& flag :
       {"--listen=" + first->grpc_address(), "--http-listen=" + first->http_address(),
        "--admin-listen=" + first->admin_address()}) {
    ChildProcess second(ServerBinary(), {flag, "--log-level=error"});
    CHECK(second.Wait() == 1);
    INFO(flag << ": " << second.output());
    CHECK(Lines(second.output()) == 1);
    CHECK_THAT(second.output(), Catch::StartsWith("echo: ") && Catch::Contains("in use"));
  }
}

TEST_CASE("a bad command line is one clear line and exit code 2") {
  const std::pair<std::string, std::string> cases[] = {
      {"--no-such-flag", "--no-such-flag"}, {"--pause=soon", "'soon' is no duration"},
      {"--number=many", "--number"},        {"--color=blue", "--color"},
      {"--log-level=loud", "--log-level"},  {"--max-message-bytes=0", "--max-message-bytes"},
  };
  for (const auto& [flag, expected] : cases) {
    ChildProcess process(ServerBinary(), {flag});
    CHECK(process.Wait() == 2);
    INFO(process.output());
    CHECK(Lines(process.output()) == 1);
    CHECK_THAT(process.output(), Catch::StartsWith("echo: ") && Catch::Contains(expected));
  }
}

TEST_CASE("a failed set-up is one clear line and exit code 1") {
  ChildProcess process(ServerBinary(), {"--setup-error=the disk is full"});
  CHECK(process.Wait() == 1);
  CHECK(process.output() == "echo: the disk is full\n");
}

TEST_CASE("help, version and actions exit without serving") {
  ChildProcess help(ServerBinary(), {"--help"});
  CHECK(help.Wait() == 0);
  CHECK_THAT(help.output(), Catch::Contains("--tls-client-ca") && Catch::Contains("--setup-error"));
  ChildProcess version(ServerBinary(), {"--version"});
  CHECK(version.Wait() == 0);
  CHECK_THAT(version.output(), Catch::StartsWith("echo "));
  ChildProcess init(ServerBinary(), {"--init", "--pause=2s", "--number=7"});
  CHECK(init.Wait() == 0);
  CHECK(init.output() == "number 7, pause 2000 ms\n");
  ChildProcess failed(ServerBinary(), {"--init", "--setup-error=no"});
  CHECK(failed.Wait() == 1);
}

TEST_CASE("a failing ready check makes the process not ready, and says why") {
  auto server = StartEcho({"--ready-error=no witness answers"});
  const http::Response ready = HttpGet(server->admin_address(), "/readyz");
  CHECK(ready.status == 503);
  CHECK(ready.body_view() == "echo: no witness answers\n");
  CHECK(HttpGet(server->admin_address(), "/healthz").status == 200);
}

TEST_CASE("a message over the limit is refused") {
  auto server = StartEcho({"--max-message-bytes=1000"});
  const auto channel = RequireOk(MakeChannel(server->grpc_address()));
  CHECK_THAT(Echo(channel, std::string(900, 'x')), IsOk());
  CHECK_THAT(Echo(channel, std::string(1100, 'x')), StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_CASE("reflection is served unless it is turned off") {
  constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
  // ServerReflectionRequest{list_services: "*"}.
  const std::string request = "\x3a\x01*";
  auto with = StartEcho();
  CHECK_THAT(RequireOk(CallRaw(RequireOk(MakeChannel(with->grpc_address())), kReflection, request)),
             Catch::Contains(kService));
  auto without = StartEcho({"--reflection=false"});
  CHECK_THAT(CallRaw(RequireOk(MakeChannel(without->grpc_address())), kReflection, request),
             StatusIs(absl::StatusCode::kUnimplemented));
}

// A certificate authority in a folder, by the openssl command.
class Authority {
 public:
  explicit Authority(const std::string& name) : prefix_(dir_.path() + "/" + name) {
    Run(absl::StrCat(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 ",
        "-subj /CN=", name, " -keyout ", prefix_, ".key -out ", prefix_, ".crt"));
  }

  std::string certificate() const { return prefix_ + ".crt"; }

  // Flags or ClientTls paths of a leaf with that name: its certificate and key.
  std::pair<std::string, std::string> Issue(const std::string& name) {
    const std::string leaf = dir_.path() + "/leaf-" + name;
    Run(absl::StrCat("printf 'subjectAltName=DNS:", name, "' > ", leaf, ".ext"));
    Run(absl::StrCat("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=",
                     name, " -keyout ", leaf, ".key -out ", leaf, ".csr"));
    Run(absl::StrCat("openssl x509 -req -days 2 -in ", leaf, ".csr -CA ", prefix_, ".crt -CAkey ",
                     prefix_, ".key -CAcreateserial -extfile ", leaf, ".ext -out ", leaf, ".crt"));
    return {leaf + ".crt", leaf + ".key"};
  }

 private:
  static void Run(const std::string& command) {
    INFO(command);
    REQUIRE(std::system((command + " 2>/dev/null").c_str()) == 0);
  }

  TempDir dir_;
  std::string prefix_;
};

TEST_CASE("mutual TLS lets allowed callers in and nobody else") {
  Authority authority("suite");
  Authority stranger("stranger");
  const auto [server_cert, server_key] = authority.Issue("sign");
  auto server = StartEcho({"--tls-cert=" + server_cert, "--tls-key=" + server_key,
                           "--tls-client-ca=" + authority.certificate(), "--allow-caller=gateway",
                           "--allow-caller=ledger"});
  const auto call = [&](const std::pair<std::string, std::string>& leaf) {
    const ClientTls tls{authority.certificate(), leaf.first, leaf.second, "sign"};
    return Echo(RequireOk(MakeChannel(server->grpc_address(), tls)), "hello").status();
  };
  CHECK_THAT(call(authority.Issue("gateway")), IsOk());
  CHECK_THAT(call(authority.Issue("ledger")), IsOk());
  CHECK_THAT(call(authority.Issue("console")),
             StatusIs(absl::StatusCode::kPermissionDenied, "not an allowed caller"));
  CHECK_THAT(call(stranger.Issue("gateway")), StatusIs(absl::StatusCode::kUnavailable));
  CHECK_THAT(call({"", ""}), StatusIs(absl::StatusCode::kUnavailable));
  CHECK_THAT(Echo(RequireOk(MakeChannel(server->grpc_address())), "plain"),
             StatusIs(absl::StatusCode::kUnavailable));
  CHECK(server->Stop() == 0);
}

TEST_CASE("a server's certificate is checked by its callers") {
  Authority authority("suite");
  Authority stranger("stranger");
  const auto [cert, key] = authority.Issue("sign");
  auto server = StartEcho({"--tls-cert=" + cert, "--tls-key=" + key});
  const auto call = [&](const ClientTls& tls) {
    return Echo(RequireOk(MakeChannel(server->grpc_address(), tls)), "hello").status();
  };
  CHECK_THAT(call({authority.certificate(), "", "", "sign"}), IsOk());
  CHECK_THAT(call({authority.certificate(), "", "", "verify"}),
             StatusIs(absl::StatusCode::kUnavailable));
  CHECK_THAT(call({stranger.certificate(), "", "", "sign"}),
             StatusIs(absl::StatusCode::kUnavailable));
}

TEST_CASE("TLS flags that do not go together are refused") {
  Authority authority("suite");
  const auto [cert, key] = authority.Issue("sign");
  const std::pair<std::vector<std::string>, std::string> cases[] = {
      {{"--tls-cert=" + cert}, "--tls-cert and --tls-key go together"},
      {{"--tls-client-ca=" + cert}, "--tls-client-ca needs --tls-cert"},
      {{"--tls-cert=" + cert, "--tls-key=" + key, "--allow-caller=x"}, "--allow-caller needs"},
      {{"--tls-cert=/no/such/file", "--tls-key=" + key}, "/no/such/file"},
      {{"--tls-cert=" + key, "--tls-key=" + cert}, "do not fit"},
  };
  for (const auto& [flags, expected] : cases) {
    ChildProcess process(ServerBinary(), flags);
    CHECK(process.Wait() == 1);
    CHECK_THAT(process.output(), Catch::Contains(expected));
  }
}

}  // namespace
}  // namespace countersign::runtime
