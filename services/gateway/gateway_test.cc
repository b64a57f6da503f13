#include "services/gateway/gateway.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "countersign/sign/v1/sign.grpc.pb.h"
#include "countersign/verify/v1/verify.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/http/server.h"
#include "libs/runtime/metrics.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "services/gateway/rpc_handler.h"

namespace countersign::gateway {
namespace {

using countersign::testing::InProcessServer;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;
using nlohmann::json;

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context,
                                 const absl::Status& status = absl::OkStatus()) {
  auto* const reactor = context->DefaultReactor();
  reactor->Finish(runtime::ToGrpcStatus(status));
  return reactor;
}

std::string Metadata(const grpc::CallbackServerContext& context, const std::string& name) {
  const auto found = context.client_metadata().find(name);
  if (found == context.client_metadata().end()) return "";
  return std::string(found->second.data(), found->second.size());
}

// A key named code-N fails with status N; "slow" is never answered; others are echoed.
class FakeSign : public sign::v1::SignService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetKey(grpc::CallbackServerContext* context,
                                   const sign::v1::GetKeyRequest* request,
                                   sign::v1::GetKeyResponse* response) override {
    const absl::string_view name = request->name();
    const size_t code = name.find("code-");
    if (code != absl::string_view::npos) {
      absl::Status status(
          static_cast<absl::StatusCode>(std::stoi(std::string(name.substr(code + 5)))), "as asked");
      status = runtime::AttachReason(status, "AS_ASKED");
      return Finish(context, runtime::AttachRetryAfter(status, absl::Seconds(3)));
    }
    if (absl::EndsWith(name, "/slow")) {
      auto* const reactor = new WaitForCancel;
      return reactor;
    }
    response->mutable_key()->set_name(request->name());
    auto& labels = *response->mutable_key()->mutable_labels();
    labels["requestId"] = Metadata(*context, "x-request-id");
    labels["traceparent"] = Metadata(*context, "traceparent");
    const absl::Time deadline = absl::FromChrono(context->deadline());
    labels["short"] = deadline < absl::Now() + absl::Seconds(6) ? "yes" : "no";
    return Finish(context);
  }

  grpc::ServerUnaryReactor* Sign(grpc::CallbackServerContext* context,
                                 const sign::v1::SignRequest* request,
                                 sign::v1::SignResponse* response) override {
    response->mutable_signature()->set_signature("signed " + request->message());
    response->mutable_signature()->set_key_version(request->name());
    if (request->ledger() == sign::v1::LEDGER_WAIT_INTEGRATED) {
      response->mutable_signature()->mutable_ledger_proof()->set_index(12);
    }
    return Finish(context);
  }

 private:
  class WaitForCancel : public grpc::ServerUnaryReactor {
   public:
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };
};

class FakeLedger : public ledger::v1::LedgerService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ListEntries(grpc::CallbackServerContext* context,
                                        const ledger::v1::ListEntriesRequest* request,
                                        ledger::v1::ListEntriesResponse* response) override {
    auto* const entry = response->add_entries();
    entry->set_name(absl::StrCat(request->log(), "/entries/", request->start_index()));
    entry->set_index(request->start_index());
    return Finish(context);
  }
};

// grpc.health.v1 of a server whose state the test sets.
class HealthServer {
 public:
  HealthServer() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    REQUIRE(server_ != nullptr);
    address_ = absl::StrCat("127.0.0.1:", port);
  }
  ~HealthServer() {
    server_->Shutdown();
    server_->Wait();
  }
  void SetServing(bool serving) { server_->GetHealthCheckService()->SetServingStatus(serving); }
  std::shared_ptr<grpc::Channel> channel() const {
    return grpc::CreateChannel(address_, grpc::InsecureChannelCredentials());
  }

 private:
  sign::v1::SignService::CallbackService service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

// A gateway on a port of its own.
class Door {
 public:
  explicit Door(GatewayOptions options) {
    gateway_ = RequireOk(Gateway::Create(std::move(options)));
    http::ServerOptions server_options;
    server_options.max_body_bytes = 100000;
    server_ = RequireOk(http::Server::Listen(
        server_options, [this](http::Request request, http::Responder respond) {
          gateway_->Handle(std::move(request), std::move(respond));
        }));
  }

  http::Response Ask(const std::string& method, const std::string& target, std::string body = "",
                     http::Headers headers = {}) {
    http::ClientRequest request;
    request.method = method;
    request.url = absl::StrCat("http://", server_->address(), target);
    request.headers = std::move(headers);
    if (!body.empty() && !request.headers.Has("Content-Type")) {
      request.headers.Add("Content-Type", "application/json");
    }
    request.body = std::move(body);
    return RequireOk(client_.Call(std::move(request)));
  }
  http::Response Get(const std::string& target, http::Headers headers = {}) {
    return Ask("GET", target, "", std::move(headers));
  }

 private:
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<http::Server> server_;
  http::Client client_;
};

struct Backends {
  FakeSign sign_service;
  FakeLedger ledger_service;
  sign::v1::SignService::CallbackService unimplemented;
  InProcessServer sign{&sign_service};
  InProcessServer ledger{&ledger_service};

  GatewayOptions options() const {
    GatewayOptions options;
    options.sign = sign.channel();
    options.ledger = ledger.channel();
    return options;
  }
};

constexpr char kKeys[] = "/api/v1/tenants/default/keys/";

TEST_CASE("JSON goes to the service and its answer comes back as JSON") {
  Backends backends;
  Door door(backends.options());
  const auto signed_response = door.Ask("POST", absl::StrCat(kKeys, "k:sign"),
                                        R"({"message":"aGk=","ledger":"LEDGER_WAIT_INTEGRATED"})");
  CHECK(signed_response.status == 200);
  CHECK(signed_response.headers.Get("Content-Type") == "application/json");
  CHECK(signed_response.headers.Get("Cache-Control") == "no-store");
  const json signature = json::parse(*signed_response.body)["signature"];
  CHECK(signature["signature"] == "c2lnbmVkIGhp");
  CHECK(signature["keyVersion"] == "tenants/default/keys/k");
  CHECK(signature["ledgerProof"]["index"] == "12");
  const auto version =
      door.Ask("POST", absl::StrCat(kKeys, "k/versions/2:sign"), R"({"message":""})");
  CHECK(json::parse(*version.body)["signature"]["keyVersion"] ==
        "tenants/default/keys/k/versions/2");
  const auto listed = door.Get("/api/v1/tenants/default/logs/main/entries?startIndex=5");
  CHECK(json::parse(*listed.body)["entries"][0]["index"] == "5");
}

TEST_CASE("Every gRPC status becomes its HTTP status with a problem document") {
  Backends backends;
  Door door(backends.options());
  const int statuses[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                          400, 409, 400, 501, 500, 503, 500, 401};
  for (int code = 1; code <= 16; ++code) {
    CAPTURE(code);
    const auto answer = door.Get(absl::StrCat(kKeys, "code-", code));
    CHECK(answer.status == statuses[code]);
    CHECK(answer.headers.Get("Content-Type") == "application/problem+json");
    CHECK(answer.headers.Get("Retry-After") == "3");
    const json problem = json::parse(*answer.body);
    CHECK(problem["status"] == statuses[code]);
    CHECK(problem["detail"] == "as asked");
    CHECK(problem["reason"] == "AS_ASKED");
    CHECK(problem["requestId"] == std::string(answer.headers.Get("X-Request-Id")));
  }
}

TEST_CASE("A method that the service lacks, and a service that is down, are told apart") {
  Backends backends;
  InProcessServer old(&backends.unimplemented);
  GatewayOptions options = backends.options();
  options.sign = old.channel();
  Door door(options);
  CHECK(door.Get(absl::StrCat(kKeys, "k")).status == 501);
  old.Stop();
  const auto down = door.Get(absl::StrCat(kKeys, "k"));
  CHECK(down.status == 503);
  CHECK(json::parse(*down.body)["detail"] == "the sign service cannot be reached; try again later");
}

TEST_CASE("Requests that no route or RPC takes are refused before any call") {
  Backends backends;
  Door door(backends.options());
  CHECK(door.Get("/api/v1/nothing").status == 404);
  CHECK(door.Get("/").status == 404);
  const auto method = door.Ask("DELETE", absl::StrCat(kKeys, "k"));
  CHECK(method.status == 405);
  CHECK(absl::StrContains(method.headers.Get("Allow"), "PATCH"));
  const auto unknown = door.Ask("POST", absl::StrCat(kKeys, "k:sign"), R"({"mesage":"aGk="})");
  CHECK(unknown.status == 400);
  CHECK(json::parse(*unknown.body)["fieldViolations"][0]["field"] == "mesage");
  CHECK(door.Ask("POST", absl::StrCat(kKeys, "k:sign"), "x", {{"Content-Type", "text/plain"}})
            .status == 415);
  CHECK(door.Ask("POST", absl::StrCat(kKeys, "k:sign"), std::string(200000, ' ')).status == 413);
  CHECK(door.Ask("POST", "/api/v1/verify/signature", "{}").status == 404);
}

TEST_CASE("The request id is the client's when it is fit for logs, else a new one") {
  Backends backends;
  Door door(backends.options());
  const auto given = door.Get(absl::StrCat(kKeys, "k"), {{"X-Request-Id", "abc-1"}});
  CHECK(given.headers.Get("X-Request-Id") == "abc-1");
  CHECK(json::parse(*given.body)["key"]["labels"]["requestId"] == "abc-1");
  std::set<std::string> made;
  for (const char* bad : {"", "with space", "quote\"", "\xff\xfe"}) {
    const auto answer = door.Get(absl::StrCat(kKeys, "k"), {{"X-Request-Id", bad}});
    const std::string id(answer.headers.Get("X-Request-Id"));
    CHECK(id.size() == 36);
    CHECK(json::parse(*answer.body)["key"]["labels"]["requestId"] == id);
    made.insert(id);
  }
  CHECK(made.size() == 4);
  CHECK(door.Get("/nowhere", {{"X-Request-Id", "abc-2"}}).headers.Get("X-Request-Id") == "abc-2");
}

TEST_CASE("Trace context travels on, and what gRPC could not carry does not") {
  Backends backends;
  Door door(backends.options());
  const std::string trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const auto traced = door.Get(absl::StrCat(kKeys, "k"), {{"traceparent", trace}});
  CHECK(json::parse(*traced.body)["key"]["labels"]["traceparent"] == trace);
  const auto broken = door.Get(absl::StrCat(kKeys, "k"), {{"traceparent", "\xff"}});
  CHECK(broken.status == 200);
  CHECK(json::parse(*broken.body)["key"]["labels"]["traceparent"] == "");
}

TEST_CASE("The client's deadline is passed on and kept") {
  Backends backends;
  Door door(backends.options());
  const auto brief = door.Get(absl::StrCat(kKeys, "k"), {{"Grpc-Timeout", "5S"}});
  CHECK(json::parse(*brief.body)["key"]["labels"]["short"] == "yes");
  const auto usual = door.Get(absl::StrCat(kKeys, "k"));
  CHECK(json::parse(*usual.body)["key"]["labels"]["short"] == "no");
  const auto late = door.Get(absl::StrCat(kKeys, "slow"), {{"Grpc-Timeout", "50m"}});
  CHECK(late.status == 504);
  CHECK(json::parse(*late.body)["code"] == "DEADLINE_EXCEEDED");
  CHECK(door.Get(absl::StrCat(kKeys, "k"), {{"Grpc-Timeout", "5 seconds"}}).status == 400);
  GatewayOptions options = backends.options();
  options.call_timeout = absl::Milliseconds(50);
  Door hurried(options);
  CHECK(hurried.Get(absl::StrCat(kKeys, "slow")).status == 504);
}

TEST_CASE("Timeouts are read as gRPC writes them") {
  CHECK(*ParseGrpcTimeout("") == absl::InfiniteDuration());
  CHECK(*ParseGrpcTimeout("2H") == absl::Hours(2));
  CHECK(*ParseGrpcTimeout("3M") == absl::Minutes(3));
  CHECK(*ParseGrpcTimeout("500m") == absl::Milliseconds(500));
  CHECK(*ParseGrpcTimeout("7u") == absl::Microseconds(7));
  CHECK(*ParseGrpcTimeout("99999999n") == absl::Nanoseconds(99999999));
  for (const char* bad : {"5", "S", "-1S", "+1S", "1.5S", "123456789S", "5s", " 5S"}) {
    CAPTURE(bad);
    CHECK_THAT(ParseGrpcTimeout(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("Health is 200 when every backend serves and 503 when one does not") {
  HealthServer sign;
  HealthServer verify;
  GatewayOptions options;
  options.sign = sign.channel();
  options.verify = verify.channel();
  options.health_timeout = absl::Seconds(10);
  Door door(options);
  const auto good = door.Get("/api/v1/health");
  CHECK(good.status == 200);
  CHECK(json::parse(*good.body) ==
        json::parse(R"({"status":"SERVING","backends":[{"name":"sign","status":"SERVING"},
                        {"name":"verify","status":"SERVING"}]})"));
  verify.SetServing(false);
  const auto bad = door.Get("/api/v1/health");
  CHECK(bad.status == 503);
  CHECK(json::parse(*bad.body)["status"] == "NOT_SERVING");
  CHECK(json::parse(*bad.body)["backends"][1]["status"] == "NOT_SERVING");
  options.verify = grpc::CreateChannel("127.0.0.1:1", grpc::InsecureChannelCredentials());
  const auto gone = Door(options).Get("/api/v1/health");
  CHECK(gone.status == 503);
  CHECK(json::parse(*gone.body)["backends"][0]["status"] == "SERVING");
  CHECK(json::parse(*gone.body)["backends"][1]["status"] == "UNREACHABLE");
  // Where the services are is nobody's business.
  CHECK_FALSE(absl::StrContains(*gone.body, "127.0.0.1"));
}

// An HTTP backend that tells what it was asked.
std::unique_ptr<http::Server> ServeRaw(const std::string& name) {
  return RequireOk(http::Server::Listen({}, [name](http::Request request, http::Responder respond) {
    const std::string path(request.path());
    if (absl::StrContains(path, "add-checkpoint") && request.body == "behind") {
      return respond(http::MakeResponse(409, "text/x.tlog.size", "17\n"));
    }
    if (http::MatchesETag(request, "\"e\"")) {
      http::Response unchanged;
      unchanged.status = 304;
      return respond(unchanged);
    }
    http::Response response = http::MakeResponse(
        200, "application/octet-stream",
        absl::StrCat(name, " ", request.method, " ", path, " ", request.body, " ",
                     request.headers.Get("Cookie"), request.headers.Get("Authorization")));
    http::SetImmutable(&response);
    response.headers.Add("ETag", "\"e\"");
    response.headers.Add("X-Request-Id", "of the backend");
    respond(std::move(response));
  }));
}

TEST_CASE("Tiles and checkpoints pass as bytes with the ledger's cache fields") {
  auto ledger = ServeRaw("ledger");
  GatewayOptions options;
  options.ledger_http = absl::StrCat("http://", ledger->address(), "/logs/main/");
  Door door(options);
  const auto tile = door.Get("/tile/0/x001/067.p/12",
                             {{"X-Request-Id", "mine"}, {"Cookie", "c"}, {"Authorization", "a"}});
  CHECK(tile.status == 200);
  CHECK(*tile.body == "ledger GET /logs/main/tile/0/x001/067.p/12  ");
  CHECK(tile.headers.Get("Cache-Control") == "public, max-age=31536000, immutable");
  CHECK(tile.headers.Get("ETag") == "\"e\"");
  CHECK(tile.headers.Get("Content-Type") == "application/octet-stream");
  CHECK(tile.headers.Get("X-Request-Id") == "mine");
  CHECK(*door.Get("/checkpoint").body == "ledger GET /logs/main/checkpoint  ");
  const std::string other = "/tenants/acme-2/logs/releases";
  CHECK(*door.Get(other + "/checkpoint").body == "ledger GET /logs/main" + other + "/checkpoint  ");
  CHECK(*door.Get(other + "/tile/entries/000").body ==
        "ledger GET /logs/main" + other + "/tile/entries/000  ");
  CHECK(door.Get("/checkpoint", {{"If-None-Match", "\"e\""}}).status == 304);
  CHECK(door.Ask("HEAD", "/checkpoint").headers.Get("Content-Length") != "0");
  for (const char* bad : {"/tile/../secret", "/tenants/../logs/x/checkpoint", "/tenants/a/logs/x",
                          "/tile/%2e%2e/secret", "/tile/0/..", "/tile/", "/tile"}) {
    CAPTURE(bad);
    CHECK(door.Get(bad).status == 404);
  }
  CHECK(door.Ask("POST", "/checkpoint", "x").status == 405);
}

TEST_CASE("OCSP passes byte for byte, whatever of base64 a client encodes") {
  auto ocsp =
      RequireOk(http::Server::Listen({}, [](http::Request request, http::Responder respond) {
        http::Response response = http::MakeResponse(
            200, "application/ocsp-response",
            absl::StrCat(request.method, " ", request.target, " ",
                         request.headers.Get("Content-Type"), " ", request.body));
        http::SetMaxAge(absl::Hours(1), &response);
        respond(std::move(response));
      }));
  GatewayOptions options;
  options.ocsp_http = absl::StrCat("http://", ocsp->address());
  Door door(options);
  for (const char* path : {"/ocsp/MEIw+QDA/", "/ocsp//MEIwQDA%2B%2f%3D=", "/ocsp/a//b///c",
                           "/ocsp/a%2Fb%2F%2Fc", "/ocsp/", "/ocsp", "/ocsp/!", "/ocsp/a?b=c%20"}) {
    CAPTURE(path);
    const auto answer = door.Get(path);
    CHECK(answer.status == 200);
    CHECK(*answer.body == absl::StrCat("GET ", path, "  "));
    CHECK(answer.headers.Get("Content-Type") == "application/ocsp-response");
    CHECK(answer.headers.Get("Cache-Control") == "public, max-age=3600");
  }
  const http::Headers type = {{"Content-Type", "application/ocsp-request"}};
  const std::string der("0\x03\x00\xff", 4);
  CHECK(*door.Ask("POST", "/ocsp", der, type).body == "POST /ocsp application/ocsp-request " + der);
  CHECK(door.Get("/ocsp/../secret").status == 404);
  CHECK(door.Ask("PUT", "/ocsp", der, type).status == 405);
}

TEST_CASE("CRLs and issuers' certificates are the ocsp service's, ACME challenges sign's") {
  auto ocsp = ServeRaw("ocsp");
  auto sign = ServeRaw("sign");
  GatewayOptions options;
  options.ocsp_http = absl::StrCat("http://", ocsp->address());
  options.sign_http = absl::StrCat("http://", sign->address());
  Door door(options);
  for (const char* path : {"/crl/default/my-ca/0.crl", "/issuer/default/my-ca.der"}) {
    CHECK(*door.Get(path).body == absl::StrCat("ocsp GET ", path, "  "));
  }
  const std::string challenge =
      "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA";
  CHECK(*door.Get(challenge).body == absl::StrCat("sign GET ", challenge, "  "));
  for (const char* bad : {"/crl/../x", "/crl/%2e%2e/x", "/crl/", "/issuer", "/.well-known/other",
                          "/.well-known/acme-challenge/", "/.well-known/acme-challenge/a/b"}) {
    CAPTURE(bad);
    CHECK(door.Get(bad).status == 404);
  }
}

TEST_CASE("Witnesses are reached by name and by number, with their own statuses") {
  auto one = ServeRaw("one");
  auto two = ServeRaw("two");
  GatewayOptions options;
  options.witnesses = {{"w-one", "http://" + one->address()},
                       {"w-two", "http://" + two->address() + "/prefix"}};
  Door door(options);
  const http::Headers text = {{"Content-Type", "text/plain"}};
  CHECK(*door.Ask("POST", "/witness/w-one/add-checkpoint", "old 0", text).body ==
        "one POST /add-checkpoint old 0 ");
  CHECK(*door.Ask("POST", "/witness/2/add-checkpoint", "old 0", text).body ==
        "two POST /prefix/add-checkpoint old 0 ");
  const auto conflict = door.Ask("POST", "/witness/1/add-checkpoint", "behind", text);
  CHECK(conflict.status == 409);
  CHECK(conflict.headers.Get("Content-Type") == "text/x.tlog.size");
  CHECK(*conflict.body == "17\n");
  CHECK(*door.Get("/witness/w-two/00ff/checkpoint").body == "two GET /prefix/00ff/checkpoint  ");
  CHECK(*door.Get("/witness/1/a%2Fb/checkpoint").body == "one GET /a%2Fb/checkpoint  ");
  CHECK(door.Ask("POST", "/witness/3/add-checkpoint", "x", text).status == 404);
  CHECK(door.Get("/witness/w-one/add-checkpoint").status == 405);
}

TEST_CASE("An HTTP backend that is down or talks nonsense is not the client's fault") {
  GatewayOptions options;
  options.ledger_http = "http://127.0.0.1:1";
  // A gRPC server does not speak HTTP/1.1.
  FakeSign service;
  InProcessServer nonsense(&service);
  options.witnesses = {{"w", "http://" + nonsense.address()}};
  Door door(options);
  const auto down = door.Get("/checkpoint");
  CHECK(down.status == 503);
  CHECK(json::parse(*down.body)["code"] == "UNAVAILABLE");
  const auto confused = door.Ask("POST", "/witness/w/add-checkpoint", "x");
  CHECK((confused.status == 502 || confused.status == 503));
  CHECK(json::parse(*confused.body)["status"] == confused.status);
}

TEST_CASE("Witness flags and base URLs are checked") {
  CHECK(ParseNamedUrl("w1=http://127.0.0.1:1/")->url == "http://127.0.0.1:1");
  for (const char* bad : {"", "w1", "=http://a", "7=http://a", "W=http://a", "a/b=http://a",
                          "w=https://a", "w=ftp://a", "w=http://a?q", "..=http://a"}) {
    CAPTURE(bad);
    CHECK_THAT(ParseNamedUrl(bad), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  GatewayOptions options;
  options.witnesses = {{"w", "http://a"}, {"w", "http://b"}};
  CHECK_THAT(Gateway::Create(options),
             StatusIs(absl::StatusCode::kInvalidArgument, "two witnesses"));
  options.witnesses.clear();
  options.ocsp_http = "https://127.0.0.1";
  CHECK_THAT(Gateway::Create(options), StatusIs(absl::StatusCode::kInvalidArgument, "http://"));
  options.ocsp_http.clear();
  options.ledger_http = "127.0.0.1:7303";
  CHECK_THAT(Gateway::Create(options), StatusIs(absl::StatusCode::kInvalidArgument, "http://"));
}

TEST_CASE("Requests are counted by status") {
  Backends backends;
  runtime::Metrics metrics;
  GatewayOptions options = backends.options();
  options.metrics = &metrics;
  Door door(options);
  door.Get(absl::StrCat(kKeys, "k"));
  door.Get(absl::StrCat(kKeys, "k"));
  door.Get("/nowhere");
  const std::string exposed = metrics.Expose();
  CHECK(absl::StrContains(exposed, "countersign_gateway_requests_total{code=\"200\"} 2"));
  CHECK(absl::StrContains(exposed, "countersign_gateway_requests_total{code=\"404\"} 1"));
  CHECK(absl::StrContains(exposed, "countersign_gateway_request_seconds_count 3"));
}

TEST_CASE("A gateway may go while a call is under way") {
  Backends backends;
  runtime::Metrics metrics;
  GatewayOptions options = backends.options();
  options.metrics = &metrics;
  auto gateway = RequireOk(Gateway::Create(options));
  base::Mutex mutex;
  base::CondVar answered;
  int status = 0;
  http::Request request;
  request.target = absl::StrCat(kKeys, "slow");
  request.headers.Add("Grpc-Timeout", "100m");
  gateway->Handle(request, [&](http::Response response) {
    base::MutexLock lock(&mutex);
    status = response.status;
    answered.NotifyAll();
  });
  gateway.reset();
  base::MutexLock lock(&mutex);
  answered.Wait(&mutex, [&] { return status != 0; });
  CHECK(status == 504);
}

}  // namespace
}  // namespace countersign::gateway
