// The issuance queue of a real sign process that is killed while it works: what was acknowledged is
// issued, once.
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "countersign/sign/v1/issuance_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/crypto/random.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/storage/database.h"
#include "libs/testing/child_process.h"
#include "libs/testing/eventually.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "libs/testing/postgres_server.h"
#include "libs/testing/temp_dir.h"
#include "services/sign/certificates/fake_authority.h"

namespace countersign::fault {
namespace {

namespace pb = ::countersign::sign::v1;
using testing::ChildProcess;
using testing::Eventually;
using testing::RequireOk;
using Stub = pb::IssuanceService::Stub;

constexpr char kTenant[] = "tenants/default";
constexpr char kUpstream[] = "tenants/default/upstreams/there";

template <typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request) {
  const auto context = runtime::MakeContext(absl::Seconds(30));
  Response response;
  const absl::Status status =
      runtime::FromGrpcStatus((stub.*method)(context.get(), request, &response));
  if (!status.ok()) return status;
  return response;
}

std::unique_ptr<Stub> Connect(const ChildProcess& sign) {
  return pb::IssuanceService::NewStub(RequireOk(runtime::MakeChannel(sign.grpc_address())));
}

void AddUpstream(Stub& stub, const std::string& address) {
  pb::CreateUpstreamRequest create;
  create.set_parent(kTenant);
  create.set_upstream_id("there");
  create.mutable_upstream()->mutable_countersign()->set_address(address);
  create.mutable_upstream()->mutable_countersign()->set_authority(
      "tenants/default/authorities/there");
  RequireOk(Call(stub, &Stub::CreateUpstream, create));
}

pb::EnqueueIssuanceRequest Request(const std::string& request_id) {
  pb::EnqueueIssuanceRequest request;
  request.set_parent(kTenant);
  request.set_upstream(kUpstream);
  request.mutable_request()->set_profile(pb::CERTIFICATE_PROFILE_TLS_SERVER);
  request.mutable_request()->set_csr(
      sign::MakeTestCsr(absl::StrCat("host-", request_id.substr(0, 8), ".example.com")));
  request.mutable_request()->set_owner_team("web");
  request.mutable_request()->set_request_id(request_id);
  return request;
}

// What clients were told.
struct Acknowledged {
  base::Mutex mutex;
  std::vector<std::string> names ABSL_GUARDED_BY(mutex);

  void Add(const std::string& name) {
    base::MutexLock lock(&mutex);
    names.push_back(name);
  }
  std::vector<std::string> Get() {
    base::MutexLock lock(&mutex);
    return names;
  }
};

// Queues requests until the service is killed; those that were not acknowledged are repeated, by
// the same request id, in the next life.
void EnqueueUntilKilled(Stub* stub, std::vector<std::string>* unknown, Acknowledged* acknowledged,
                        const std::atomic<bool>* killed) {
  while (!*killed) {
    const std::string request_id = unknown->empty() ? crypto::RandomUuid() : unknown->back();
    const auto queued = Call(*stub, &Stub::EnqueueIssuance, Request(request_id));
    if (queued.ok()) {
      acknowledged->Add(queued->issuance().name());
      if (!unknown->empty()) unknown->pop_back();
    } else if (unknown->empty()) {
      unknown->push_back(request_id);
    }
  }
}

TEST_CASE("Killed again and again, the queue issues what it acknowledged, and once") {
  constexpr int kLives = 12;
  constexpr int kClients = 3;
  const std::string engine = GENERATE(as<std::string>{}, "sqlite", "postgres");
  const uint32_t seed = std::random_device()();
  INFO("seed " << seed << " on " << engine);
  std::mt19937 random(seed);
  std::unique_ptr<testing::PostgresServer> postgres;
  sign::FakeAuthority authority;
  testing::InProcessServer elsewhere(&authority);
  testing::TempDir dir;
  std::vector<std::string> flags = {"--data=" + dir.path() + "/sign", "--ledger=",
                                    "--listen=127.0.0.1:0",           "--http-listen=127.0.0.1:0",
                                    "--admin-listen=127.0.0.1:0",     "--issuance-lease=3s"};
  std::string url = "sqlite:" + dir.path() + "/sign/keys.db";
  if (engine == "postgres") {
    postgres = RequireOk(testing::PostgresServer::Start());
    url = postgres->Url();
    flags.push_back("--database=" + url);
  }
  const auto start = [&] {
    return ChildProcess::StartService(testing::Runfile("services/sign/countersign-sign"), flags);
  };

  Acknowledged acknowledged;
  std::vector<std::string> unknown[kClients];
  std::vector<std::string> renewals;
  for (int life = 0; life < kLives; ++life) {
    const auto sign = start();
    const auto stub = Connect(*sign);
    if (life == 0) AddUpstream(*stub, elsewhere.address());
    authority.SetDelay(absl::Milliseconds(random() % 20));
    std::atomic<bool> killed{false};
    std::vector<std::thread> threads;
    for (auto& ids : unknown) {
      threads.emplace_back(EnqueueUntilKilled, stub.get(), &ids, &acknowledged, &killed);
    }
    if (life % 3 == 2) {
      pb::StartRenewalRequest renew;
      renew.set_parent(kTenant);
      renew.mutable_filter()->set_owner_team("web");
      renew.set_upstream(kUpstream);
      renew.set_concurrency(20);
      renew.set_request_id(crypto::RandomUuid());
      renewals.push_back(absl::StrCat(kTenant, "/renewals/", renew.request_id()));
      // Whether it was acknowledged or not: the name is its request id.
      if (!Call(*stub, &Stub::StartRenewal, renew).ok()) renewals.pop_back();
    }
    absl::SleepFor(absl::Milliseconds(50 + random() % 400));
    sign->Kill();
    killed = true;
    for (std::thread& thread : threads) thread.join();
    INFO(sign->output());
  }

  const auto sign = start();
  const auto stub = Connect(*sign);
  for (const std::string& name : renewals) {
    pb::GetRenewalRequest get;
    get.set_name(name);
    pb::Renewal renewal;
    CHECK(Eventually([&] {
      renewal = RequireOk(Call(*stub, &Stub::GetRenewal, get)).renewal();
      return renewal.done();
    }));
    CHECK(renewal.failed() == 0);
    CHECK(renewal.succeeded() == renewal.total());
  }
  const std::vector<std::string> names = acknowledged.Get();
  CHECK(names.size() > kLives);
  std::map<std::string, std::string> certificates;
  for (const std::string& name : names) {
    pb::GetIssuanceRequest get;
    get.set_name(name);
    pb::Issuance issuance;
    const bool done = Eventually([&] {
      issuance = RequireOk(Call(*stub, &Stub::GetIssuance, get)).issuance();
      return issuance.state() == pb::ISSUANCE_STATE_SUCCEEDED ||
             issuance.state() == pb::ISSUANCE_STATE_FAILED;
    });
    INFO(issuance.DebugString());
    REQUIRE(done);
    REQUIRE(issuance.state() == pb::ISSUANCE_STATE_SUCCEEDED);
    CHECK(certificates.emplace(issuance.certificate(), name).second);
  }
  // Those that were queued and never acknowledged end too.
  pb::GetQueueRequest get;
  get.set_parent(kTenant);
  CHECK(Eventually([&] {
    const auto queue = RequireOk(Call(*stub, &Stub::GetQueue, get));
    return queue.waiting() == 0 && queue.running() == 0;
  }));
  CHECK(sign->Stop() == 0);

  // Every certificate that the authority made is in the inventory, and no other.
  const auto database = RequireOk(storage::Database::Open(url));
  const auto count = [&](const std::string& what) {
    return RequireOk(database->Query("SELECT COUNT(*) FROM " + what))[0].Int(0);
  };
  CHECK(count("certificates") == authority.issued());
  CHECK(count("issuances WHERE state = 4") == authority.issued());
  CHECK(count("issuances WHERE state <> 4") == 0);
  CHECK(count("(SELECT DISTINCT certificate FROM issuances) AS t") == authority.issued());
  // Two renewals may have found the same certificate.
  CHECK(count("(SELECT DISTINCT replaces FROM certificates WHERE replaces <> '') AS t") ==
        count("certificates WHERE status = 4"));
}

}  // namespace
}  // namespace countersign::fault
