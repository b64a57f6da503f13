#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "countersign/sign/v1/issuance_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "services/sign/certificates/fake_authority.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::sign::v1;

constexpr absl::Duration kAnswer = absl::Milliseconds(200);
constexpr char kTenant[] = "tenants/default";
constexpr char kUpstream[] = "tenants/default/upstreams/there";
constexpr int kBatch = 500;

// An authority elsewhere, in this process.
struct Elsewhere {
  Elsewhere() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&authority);
    server = builder.BuildAndStart();
    address = absl::StrCat("127.0.0.1:", port);
  }

  sign::FakeAuthority authority;
  std::unique_ptr<grpc::Server> server;
  std::string address;
};

// A sign service whose inventory is filled from elsewhere.
struct Renewer {
  std::string name;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<pb::IssuanceService::Stub> issuances;
  std::unique_ptr<pb::CertificateService::Stub> certificates;

  absl::Status Start(Environment& environment) {
    ASSIGN_OR_RETURN(const runtime::BoundPorts ports,
                     environment.StartService(name, "sign", {"--ledger", ""}));
    ASSIGN_OR_RETURN(channel, runtime::MakeChannel(absl::StrCat("127.0.0.1:", ports.grpc)));
    issuances = pb::IssuanceService::NewStub(channel);
    certificates = pb::CertificateService::NewStub(channel);
    return absl::OkStatus();
  }
};

template <typename Stub, typename Request, typename Response>
absl::StatusOr<Response> Call(Stub& stub,
                              grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                              const Request& request) {
  const auto context = runtime::MakeContext(absl::Minutes(5));
  Response response;
  RETURN_IF_ERROR(runtime::FromGrpcStatus((stub.*method)(context.get(), request, &response)));
  return response;
}

absl::Status AddUpstream(Renewer& renewer, const Elsewhere& elsewhere) {
  pb::CreateUpstreamRequest create;
  create.set_parent(kTenant);
  create.set_upstream_id("there");
  create.mutable_upstream()->mutable_countersign()->set_address(elsewhere.address);
  create.mutable_upstream()->mutable_countersign()->set_authority(
      "tenants/default/authorities/there");
  return Call(*renewer.issuances, &pb::IssuanceService::Stub::CreateUpstream, create).status();
}

// `count` certificates of owner "web".
absl::Status Fill(Renewer& renewer, int count) {
  for (int first = 0; first < count;) {
    pb::BatchEnqueueIssuancesRequest batch;
    batch.set_parent(kTenant);
    for (int i = first; i < std::min(count, first + kBatch); ++i) {
      pb::EnqueueIssuanceRequest* item = batch.add_requests();
      item->set_upstream(kUpstream);
      item->mutable_request()->set_profile(pb::CERTIFICATE_PROFILE_TLS_SERVER);
      item->mutable_request()->set_csr(sign::MakeTestCsr(absl::StrCat("host-", i, ".example.com")));
      item->mutable_request()->set_owner_team("web");
    }
    const absl::Status status =
        Call(*renewer.issuances, &pb::IssuanceService::Stub::BatchEnqueueIssuances, batch).status();
    if (absl::IsResourceExhausted(status)) {
      absl::SleepFor(absl::Milliseconds(100));
      continue;
    }
    RETURN_IF_ERROR(status);
    first += batch.requests_size();
  }
  pb::GetQueueRequest get;
  get.set_parent(kTenant);
  while (true) {
    ASSIGN_OR_RETURN(const pb::GetQueueResponse queue,
                     Call(*renewer.issuances, &pb::IssuanceService::Stub::GetQueue, get));
    if (queue.waiting() == 0 && queue.running() == 0) return absl::OkStatus();
    absl::SleepFor(absl::Milliseconds(20));
  }
}

absl::StatusOr<pb::Renewal> StartRenewal(Renewer& renewer, int concurrency,
                                         const std::string& request_id) {
  pb::StartRenewalRequest start;
  start.set_parent(kTenant);
  start.mutable_filter()->set_owner_team("web");
  start.set_upstream(kUpstream);
  start.set_concurrency(concurrency);
  start.set_request_id(request_id);
  ASSIGN_OR_RETURN(const pb::StartRenewalResponse response,
                   Call(*renewer.issuances, &pb::IssuanceService::Stub::StartRenewal, start));
  return response.renewal();
}

absl::StatusOr<pb::Renewal> GetRenewal(Renewer& renewer, const std::string& name) {
  pb::GetRenewalRequest get;
  get.set_name(name);
  ASSIGN_OR_RETURN(const pb::GetRenewalResponse response,
                   Call(*renewer.issuances, &pb::IssuanceService::Stub::GetRenewal, get));
  return response.renewal();
}

// From the call that starts it until the watch of it ends.
absl::StatusOr<pb::Renewal> Renew(Renewer& renewer, int concurrency) {
  ASSIGN_OR_RETURN(const pb::Renewal started,
                   StartRenewal(renewer, concurrency, crypto::RandomUuid()));
  pb::WatchRenewalRequest watch;
  watch.set_name(started.name());
  const auto context = runtime::MakeContext(absl::Minutes(10));
  const auto stream = renewer.issuances->WatchRenewal(context.get(), watch);
  pb::WatchRenewalResponse answer;
  while (stream->Read(&answer)) {
  }
  RETURN_IF_ERROR(runtime::FromGrpcStatus(stream->Finish()));
  return answer.renewal();
}

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

absl::StatusOr<Result> RenewUpstream(Environment& environment, int concurrency) {
  const bool quick = environment.length() < absl::Seconds(5);
  const int count = quick && concurrency < 50 ? 200 : 1000;
  Elsewhere elsewhere;
  Renewer renewer;
  renewer.name = absl::StrCat("renew-", concurrency);
  RETURN_IF_ERROR(renewer.Start(environment));
  RETURN_IF_ERROR(AddUpstream(renewer, elsewhere));
  RETURN_IF_ERROR(Fill(renewer, count));
  elsewhere.authority.SetDelay(kAnswer);
  const int64_t before = elsewhere.authority.issued();
  ASSIGN_OR_RETURN(const pb::Renewal done, Renew(renewer, concurrency));
  RETURN_IF_ERROR(environment.StopService(renewer.name));
  const double seconds =
      absl::ToDoubleSeconds(ToTime(done.end_time()) - ToTime(done.create_time()));
  Result result;
  result.name = absl::StrCat("renew-upstream-", concurrency);
  result.unit = "renewals/s";
  result.value = count / seconds;
  result.baseline = "concurrency / 200 ms";
  result.baseline_value = concurrency / absl::ToDoubleSeconds(kAnswer);
  result.failures = static_cast<uint64_t>(count - done.succeeded() +
                                          std::abs(elsewhere.authority.issued() - before - count));
  result.note = absl::StrCat(count, " renewals, ", concurrency,
                             " at a time, by an authority that takes 200 ms; each in the inventory "
                             "and written down, from the start's call to the end");
  return result;
}

absl::StatusOr<int64_t> CountByStatus(Renewer& renewer, pb::CertificateStatus status) {
  pb::BulkUpdateCertificatesRequest update;
  update.set_parent(kTenant);
  update.mutable_filter()->set_owner_team("web");
  update.mutable_filter()->add_statuses(status);
  update.set_environment("counted");
  ASSIGN_OR_RETURN(
      const pb::BulkUpdateCertificatesResponse response,
      Call(*renewer.certificates, &pb::CertificateService::Stub::BulkUpdateCertificates, update));
  return response.updated();
}

absl::StatusOr<Result> RenewResume(Environment& environment) {
  constexpr int kKills = 5;
  const bool quick = environment.length() < absl::Seconds(5);
  const int count = quick ? 5000 : 100000;
  Elsewhere elsewhere;
  Renewer renewer;
  renewer.name = "renew-resume";
  RETURN_IF_ERROR(renewer.Start(environment));
  RETURN_IF_ERROR(AddUpstream(renewer, elsewhere));
  RETURN_IF_ERROR(Fill(renewer, count));
  const int64_t before = elsewhere.authority.issued();
  elsewhere.authority.SetDelay(absl::Milliseconds(20));
  const std::string request_id = crypto::RandomUuid();
  const absl::Time begin = absl::Now();
  // The first kill comes while the start is under way.
  std::thread starting([&] { (void)StartRenewal(renewer, 200, request_id); });
  absl::SleepFor(absl::Milliseconds(quick ? 15 : 300));
  const auto kill_and_restart = [&]() -> absl::Status {
    RETURN_IF_ERROR(environment.KillService(renewer.name));
    if (starting.joinable()) starting.join();
    return renewer.Start(environment);
  };
  absl::Status restarted = kill_and_restart();
  if (starting.joinable()) starting.join();
  RETURN_IF_ERROR(restarted);
  ASSIGN_OR_RETURN(pb::Renewal renewal, StartRenewal(renewer, 200, request_id));
  const absl::Duration started = absl::Now() - begin;
  for (int kills = 1; !renewal.done();) {
    ASSIGN_OR_RETURN(renewal, GetRenewal(renewer, renewal.name()));
    if (kills < kKills && renewal.succeeded() >= renewal.total() * kills / kKills) {
      RETURN_IF_ERROR(kill_and_restart());
      ++kills;
    }
    absl::SleepFor(absl::Milliseconds(5));
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - begin);
  ASSIGN_OR_RETURN(const int64_t active, CountByStatus(renewer, pb::CERTIFICATE_STATUS_ACTIVE));
  ASSIGN_OR_RETURN(const int64_t replaced, CountByStatus(renewer, pb::CERTIFICATE_STATUS_REPLACED));
  const int64_t issued = elsewhere.authority.issued() - before;
  RETURN_IF_ERROR(environment.StopService(renewer.name));
  Result result;
  result.name = "renew-resume";
  result.unit = "renewals/s";
  result.value = count / seconds;
  result.failures =
      static_cast<uint64_t>(std::abs(active - count) + std::abs(replaced - count) +
                            std::abs(issued - count) + std::abs(renewal.succeeded() - count));
  result.note = absl::StrCat(count, " renewals, killed ", kKills, " times: ", issued,
                             " certificates were issued, ", active, " are in use, ", replaced,
                             " replaced; all queued ", absl::FormatDuration(started),
                             " after the start, a kill included");
  return result;
}

}  // namespace

std::vector<Benchmark> RenewBenchmarks() {
  std::vector<Benchmark> all;
  for (const int concurrency : {10, 50, 200}) {
    all.push_back({absl::StrCat("renew-upstream-", concurrency),
                   absl::StrCat("1,000 renewals by an authority that takes 200 ms, ", concurrency,
                                " at a time"),
                   [concurrency](Environment& environment) {
                     return RenewUpstream(environment, concurrency);
                   }});
  }
  all.push_back(
      {"renew-resume", "100,000 renewals, killed several times: each exactly once", RenewResume});
  return all;
}

}  // namespace countersign::bench
