#include "services/sign/certificates/issuance_service.h"

#include <grpcpp/grpcpp.h>

#include "catch2/catch.hpp"
#include "libs/base/thread_pool.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "services/sign/certificates/issuance_testing.h"

namespace countersign::sign {
namespace {

using absl::StatusCode;
using storage::Engine;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;
using Stub = v1::IssuanceService::Stub;

constexpr char kTenant[] = "tenants/default";
constexpr char kThere[] = "tenants/default/upstreams/there";
constexpr char kRequestId[] = "8d7bb0a5-2a41-4f64-9a3f-6f7d0f6a1b2c";

// The service over a database of either engine, as main wires it.
struct TestService {
  explicit TestService(Engine engine) : test(engine) {
    IssuanceQueue::Options options = test.QueueOptions();
    options.on_issuance_change = [this](const ResourceId& name) { issuances.Notify(name); };
    options.on_renewal_change = [this](const ResourceId& name) { renewals.Notify(name); };
    queue = std::make_unique<IssuanceQueue>(std::move(options));
    service =
        std::make_unique<IssuanceService>(IssuanceService::Options{.store = test.store.get(),
                                                                   .queue = queue.get(),
                                                                   .renewals = test.renewals.get(),
                                                                   .upstreams = &upstreams,
                                                                   .issuance_watches = &issuances,
                                                                   .renewal_watches = &renewals,
                                                                   .executor = &executor,
                                                                   .clock = &test.clock});
    server = std::make_unique<testing::InProcessServer>(service.get());
    stub = v1::IssuanceService::NewStub(server->channel());
  }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    grpc::ClientContext context;
    Response response;
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) return runtime::FromGrpcStatus(status);
    return response;
  }

  static v1::EnqueueIssuanceRequest Request() {
    v1::EnqueueIssuanceRequest request;
    request.set_parent(kTenant);
    request.set_upstream(kThere);
    request.mutable_request()->set_profile(v1::CERTIFICATE_PROFILE_TLS_SERVER);
    request.mutable_request()->set_csr("a certification request");
    return request;
  }

  TestQueue test;
  base::ThreadPool executor{4};
  Watches<v1::Issuance> issuances{[this](const ResourceId& name) { return test.store->Get(name); },
                                  absl::ZeroDuration(), absl::Milliseconds(20)};
  Watches<v1::Renewal> renewals{
      [this](const ResourceId& name) { return test.renewal_store->Get(name); },
      absl::Milliseconds(10), absl::Milliseconds(20)};
  Upstreams upstreams{
      {.database = test.database.get(),
       .kek = RequireOk(crypto::Kek::FromBytes(crypto::SecretBytes(std::string(32, 'k')))),
       .local = test.upstream,
       .make_countersign =
           [this](const v1::CountersignUpstream& settings) {
             made = settings.address();
             return std::shared_ptr<Upstream>(test.upstream);
           },
       .make_acme =
           [this](const v1::AcmeUpstream& settings, AcmeAccountSecrets secrets) {
             made = absl::StrCat(settings.directory_url(), " ",
                                 secrets.eab_key.Expose(crypto::SecretAccess::Grant()));
             account = secrets.key.public_key().spki_der();
             return std::shared_ptr<Upstream>(test.upstream);
           },
       .clock = &test.clock}};
  std::string made;
  std::string account;
  std::unique_ptr<IssuanceQueue> queue;
  std::unique_ptr<IssuanceService> service;
  std::unique_ptr<testing::InProcessServer> server;
  std::unique_ptr<Stub> stub;
};

TEST_CASE("A request is queued, watched until it is done, and found again by its request id") {
  TestService service(GENERATE(Engine::kSqlite, Engine::kPostgres));
  service.test.upstream->Hold(true);
  v1::EnqueueIssuanceRequest request = TestService::Request();
  request.mutable_request()->set_request_id(kRequestId);
  const v1::Issuance queued = RequireOk(service.Call(&Stub::EnqueueIssuance, request)).issuance();
  CHECK(queued.name() == absl::StrCat("tenants/default/issuances/", kRequestId));
  CHECK(queued.upstream() == kThere);
  v1::WatchIssuanceRequest watch;
  watch.set_name(queued.name());
  grpc::ClientContext context;
  const auto stream = service.stub->WatchIssuance(&context, watch);
  v1::WatchIssuanceResponse answer;
  do {
    REQUIRE(stream->Read(&answer));
  } while (answer.issuance().state() == v1::ISSUANCE_STATE_QUEUED);
  CHECK(answer.issuance().state() == v1::ISSUANCE_STATE_RUNNING);
  REQUIRE(Eventually([&] { return service.test.upstream->held() == 1; }));
  service.test.upstream->Release();
  REQUIRE(stream->Read(&answer));
  CHECK(answer.issuance().state() == v1::ISSUANCE_STATE_SUCCEEDED);
  CHECK_FALSE(stream->Read(&answer));
  CHECK(stream->Finish().ok());
  const v1::Issuance again = RequireOk(service.Call(&Stub::EnqueueIssuance, request)).issuance();
  CHECK(again.state() == v1::ISSUANCE_STATE_SUCCEEDED);
  CHECK(service.test.upstream->tries().size() == 1);
}

TEST_CASE("What another process changes is seen by who watches") {
  TestService service(Engine::kPostgres);
  const auto database = service.test.empty.Open();
  IssuanceStore elsewhere(database.get(), 10, 3);
  NewIssuance issuance = TestQueue::Request("one");
  EnqueueGroup group;
  group.issuances = {issuance};
  EnqueueGroup* const groups[] = {&group};
  // It may not be tried yet here.
  RequireOk(elsewhere.Enqueue(groups, service.test.clock.Now() + absl::Hours(1)));
  v1::WatchIssuanceRequest watch;
  watch.set_name("tenants/default/issuances/one");
  grpc::ClientContext context;
  const auto stream = service.stub->WatchIssuance(&context, watch);
  v1::WatchIssuanceResponse answer;
  REQUIRE(stream->Read(&answer));
  RequireOk(elsewhere.Cancel({"default", "one"}, service.test.clock.Now()));
  REQUIRE(stream->Read(&answer));
  CHECK(answer.issuance().state() == v1::ISSUANCE_STATE_CANCELLED);
  CHECK_FALSE(stream->Read(&answer));
}

TEST_CASE("Watching nothing fails, and a server that stops ends its watches") {
  TestService service(Engine::kSqlite);
  const auto end_of = [&](const std::string& name) {
    v1::WatchIssuanceRequest watch;
    watch.set_name(name);
    grpc::ClientContext context;
    const auto stream = service.stub->WatchIssuance(&context, watch);
    v1::WatchIssuanceResponse answer;
    while (stream->Read(&answer)) {
      service.issuances.End(absl::UnavailableError("the server stops"));
    }
    return runtime::FromGrpcStatus(stream->Finish());
  };
  CHECK_THAT(end_of("tenants/default/issuances/none"), StatusIs(StatusCode::kNotFound));
  CHECK_THAT(end_of("nonsense"), StatusIs(StatusCode::kInvalidArgument));
  service.test.upstream->Hold(true);
  const auto queued = RequireOk(service.Call(&Stub::EnqueueIssuance, TestService::Request()));
  CHECK_THAT(end_of(queued.issuance().name()), StatusIs(StatusCode::kUnavailable, "stops"));
}

TEST_CASE("A renewal is watched from its start to its end") {
  TestService service(GENERATE(Engine::kSqlite, Engine::kPostgres));
  service.test.AddCertificates(0, 20);
  const v1::Renewal started =
      RequireOk(service.Call(&Stub::StartRenewal, TestQueue::RenewTeam(5))).renewal();
  v1::WatchRenewalRequest watch;
  watch.set_name(started.name());
  grpc::ClientContext context;
  const auto stream = service.stub->WatchRenewal(&context, watch);
  v1::WatchRenewalResponse answer;
  int64_t succeeded = 0;
  while (stream->Read(&answer)) {
    CHECK(answer.renewal().succeeded() >= succeeded);
    succeeded = answer.renewal().succeeded();
  }
  CHECK(stream->Finish().ok());
  CHECK(answer.renewal().done());
  CHECK(succeeded == 20);
}

TEST_CASE("A malformed request is refused by the name of its field") {
  TestService service(Engine::kSqlite);
  const auto refused = [&](const v1::EnqueueIssuanceRequest& request, const std::string& field) {
    CHECK_THAT(service.Call(&Stub::EnqueueIssuance, request),
               StatusIs(StatusCode::kInvalidArgument, field));
  };
  v1::EnqueueIssuanceRequest request;
  refused(request, "parent");
  request = TestService::Request();
  request.set_upstream("tenants/other/upstreams/there");
  refused(request, "another tenant's");
  request.clear_upstream();
  refused(request, "request.parent");
  request.mutable_request()->set_parent("tenants/other/authorities/ca");
  refused(request, "another tenant's");
  request = TestService::Request();
  request.mutable_request()->set_parent("tenants/default/authorities/ca");
  refused(request, "request.parent");
  request = TestService::Request();
  request.mutable_request()->clear_profile();
  refused(request, "request.profile");
  request = TestService::Request();
  request.mutable_request()->set_csr(std::string(65537, 'x'));
  refused(request, "request.csr");
  request = TestService::Request();
  request.mutable_request()->set_replaces("c1");
  refused(request, "request.replaces");
  request = TestService::Request();
  request.mutable_request()->set_request_id("not a UUID");
  refused(request, "request.request_id");
  request = TestService::Request();
  request.set_upstream("tenants/default/upstreams/nowhere");
  CHECK_THAT(service.Call(&Stub::EnqueueIssuance, request),
             StatusIs(StatusCode::kNotFound, "upstreams/nowhere"));
  v1::BatchEnqueueIssuancesRequest batch;
  batch.set_parent(kTenant);
  CHECK_THAT(service.Call(&Stub::BatchEnqueueIssuances, batch),
             StatusIs(StatusCode::kInvalidArgument, "1 to 1000"));
  *batch.add_requests() = TestService::Request();
  batch.add_requests()->set_parent("tenants/other");
  CHECK_THAT(service.Call(&Stub::BatchEnqueueIssuances, batch),
             StatusIs(StatusCode::kInvalidArgument, "requests[1].parent"));
}

TEST_CASE("Upstream authorities are added, listed and removed, and their secrets never shown") {
  TestService service(GENERATE(Engine::kSqlite, Engine::kPostgres));
  v1::CreateUpstreamRequest create;
  create.set_parent(kTenant);
  create.set_upstream_id("acme");
  v1::AcmeUpstream* acme = create.mutable_upstream()->mutable_acme();
  acme->set_directory_url("http://acme.example/dir");
  CHECK_THAT(service.Call(&Stub::CreateUpstream, create),
             StatusIs(StatusCode::kInvalidArgument, "directory_url"));
  acme->set_directory_url("https://acme.example/dir");
  acme->set_eab_key_id("kid");
  CHECK_THAT(service.Call(&Stub::CreateUpstream, create),
             StatusIs(StatusCode::kInvalidArgument, "eab_hmac_key"));
  acme->set_eab_hmac_key("c2VjcmV0");
  const v1::Upstream made = RequireOk(service.Call(&Stub::CreateUpstream, create)).upstream();
  CHECK(made.name() == "tenants/default/upstreams/acme");
  CHECK(made.acme().eab_key_id() == "kid");
  CHECK(made.acme().eab_hmac_key().empty());
  CHECK_THAT(service.Call(&Stub::CreateUpstream, create), StatusIs(StatusCode::kAlreadyExists));
  const auto rows =
      RequireOk(service.test.database->Query("SELECT settings, account FROM upstreams"
                                             " WHERE upstream_id = 'acme'"));
  CHECK(rows[0].Bytes(0).find("secret") == std::string::npos);
  CHECK(rows[0].Bytes(1).find("secret") == std::string::npos);

  v1::ListUpstreamsRequest list;
  list.set_parent(kTenant);
  list.set_page_size(1);
  auto page = RequireOk(service.Call(&Stub::ListUpstreams, list));
  REQUIRE(page.upstreams_size() == 1);
  CHECK(page.upstreams(0).SerializeAsString() == made.SerializeAsString());
  list.set_page_token(page.next_page_token());
  page = RequireOk(service.Call(&Stub::ListUpstreams, list));
  CHECK(page.upstreams(0).name() == kThere);
  CHECK(page.next_page_token().empty());

  // The account's key stays the same from one making to the next.
  RequireOk(service.upstreams.Find({"default", "acme"}));
  CHECK(service.made == "https://acme.example/dir secret");
  const std::string account = service.account;
  CHECK_FALSE(account.empty());
  service.account.clear();
  RequireOk(service.upstreams.Find({"default", "acme"}));
  CHECK(service.account.empty());  // it was kept

  v1::DeleteUpstreamRequest remove;
  remove.set_name(kThere);
  service.test.upstream->Hold(true);
  const auto queued = RequireOk(service.Call(&Stub::EnqueueIssuance, TestService::Request()));
  const auto in_use = service.Call(&Stub::DeleteUpstream, remove);
  CHECK_THAT(in_use, StatusIs(StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(in_use.status()) == "UPSTREAM_IN_USE");
  REQUIRE(Eventually([&] { return service.test.upstream->held() == 1; }));
  service.test.upstream->Release();
  CHECK(Eventually([&] { return service.Call(&Stub::DeleteUpstream, remove).ok(); }));
  CHECK_THAT(service.Call(&Stub::DeleteUpstream, remove), StatusIs(StatusCode::kNotFound));
}

TEST_CASE("The queue tells how full it is") {
  TestService service(GENERATE(Engine::kSqlite, Engine::kPostgres));
  service.test.upstream->Hold(true);
  v1::BatchEnqueueIssuancesRequest batch;
  batch.set_parent(kTenant);
  for (int i = 0; i < 200; ++i) *batch.add_requests() = TestService::Request();
  CHECK(RequireOk(service.Call(&Stub::BatchEnqueueIssuances, batch)).issuances_size() == 200);
  v1::GetQueueRequest get;
  get.set_parent(kTenant);
  v1::GetQueueResponse queue;
  // 50 are with workers, 100 claimed ahead.
  CHECK(Eventually([&] {
    queue = RequireOk(service.Call(&Stub::GetQueue, get));
    return queue.running() == 150;
  }));
  CHECK(queue.waiting() == 50);
  CHECK(queue.capacity() == 10000);
  CHECK(queue.workers() == 50);
  CHECK(queue.has_oldest_time());
}

}  // namespace
}  // namespace countersign::sign
