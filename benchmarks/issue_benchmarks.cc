// Certificates issued, durable, through gRPC; and beside step-ca.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "benchmarks/durable_postgres.h"
#include "benchmarks/process_costs.h"
#include "benchmarks/step_ca_peer.h"
#include "countersign/sign/v1/authority_service.grpc.pb.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/csr.h"
#include "libs/runtime/status.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::sign::v1;

constexpr char kAuthority[] = "tenants/default/authorities/bench";
constexpr int kRequests = 16384;
constexpr int kUnaryInFlight = 256;
constexpr int kBatch = 1000;
constexpr int kBatchesInFlight = 8;

// P-256 certification requests, each with a key and a host name of its own. They come again when
// all were used.
class Requests {
 public:
  static absl::StatusOr<std::unique_ptr<Requests>> Make() {
    auto requests = std::make_unique<Requests>();
    for (int i = 0; i < kRequests; ++i) {
      ASSIGN_OR_RETURN(const crypto::PrivateKey key,
                       crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
      ASSIGN_OR_RETURN(
          std::string csr,
          pki::BuildCsr(
              {}, {{pki::GeneralName::Kind::kDns, absl::StrCat("host-", i, ".example.com")}}, key));
      requests->csrs_.push_back(std::move(csr));
    }
    return requests;
  }

  const std::vector<std::string>& csrs() const { return csrs_; }

  void Fill(pb::IssueCertificateRequest* request) {
    const uint64_t number = next_.fetch_add(1);
    request->set_profile(pb::CERTIFICATE_PROFILE_TLS_SERVER);
    request->set_csr(csrs_[number % csrs_.size()]);
    request->set_owner_team(absl::StrCat("team-", number % 100));
    request->set_environment(number % 10 == 0 ? "staging" : "production");
  }

 private:
  std::vector<std::string> csrs_;
  std::atomic<uint64_t> next_{0};
};

absl::Status CreateAuthority(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = pb::AuthorityService::NewStub(channel);
  grpc::ClientContext context;
  pb::CreateAuthorityRequest request;
  request.set_parent("tenants/default");
  request.set_authority_id("bench");
  pb::Authority& authority = *request.mutable_authority();
  authority.set_subject("CN=Bench Root,O=Example");
  authority.set_algorithm(pb::ALGORITHM_ECDSA_P256_SHA256);
  authority.set_path_length(-1);
  authority.mutable_settings()->add_ocsp_urls("http://ocsp.example.com/");
  authority.mutable_settings()->add_issuer_urls("http://ca.example.com/bench.crt");
  authority.mutable_settings()->set_crl_url("http://crl.example.com/bench.crl");
  pb::CreateAuthorityResponse response;
  return runtime::FromGrpcStatus(stub->CreateAuthority(&context, request, &response));
}

// What a certificate costs in signatures alone: one verified (the request's), three made (the
// certificate's, and OCSP's for both hashes); a second, on all cores.
absl::StatusOr<double> SignatureRate(const Environment& environment) {
  ASSIGN_OR_RETURN(const crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const std::string digest(32, 'd');
  ASSIGN_OR_RETURN(const std::string signature, key.SignDigest(digest));
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return RunThreads(cores, environment.length(), [&](int) {
    const auto verdict = key.public_key().VerifyDigest(key.algorithm(), digest, signature);
    if (!verdict.ok() || !*verdict) std::abort();
    for (int i = 0; i < 3; ++i) {
      if (!key.SignDigest(digest).ok()) std::abort();
    }
  });
}

struct Measured {
  LoadResult load;
  uint64_t issued = 0;  // while synchronisations were counted
  uint64_t syncs = 0;
  double server_us = 0;  // of processor time, a certificate
  double client_us = 0;
};

LoadResult RunUnary(const Environment& environment,
                    const std::vector<std::shared_ptr<grpc::Channel>>& channels, Requests* requests,
                    std::atomic<uint64_t>* issued) {
  return RunCalls<pb::CertificateService, pb::IssueCertificateRequest,
                  pb::IssueCertificateResponse>(
      {.in_flight = kUnaryInFlight, .length = environment.length()}, channels,
      [](auto* async, auto... arguments) { async->IssueCertificate(arguments...); },
      [&](int, pb::IssueCertificateRequest* request) {
        request->set_parent(kAuthority);
        requests->Fill(request);
      },
      [issued](const pb::IssueCertificateResponse& response) {
        issued->fetch_add(1);
        return !response.certificate().der().empty();
      });
}

LoadResult RunBatches(const Environment& environment,
                      const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                      Requests* requests, std::atomic<uint64_t>* issued) {
  return RunCalls<pb::CertificateService, pb::BatchIssueCertificatesRequest,
                  pb::BatchIssueCertificatesResponse>(
      {.in_flight = kBatchesInFlight, .length = environment.length()}, channels,
      [](auto* async, auto... arguments) { async->BatchIssueCertificates(arguments...); },
      [&](int, pb::BatchIssueCertificatesRequest* request) {
        request->set_parent(kAuthority);
        while (request->requests_size() < kBatch) request->add_requests();
        for (auto& item : *request->mutable_requests()) requests->Fill(&item);
      },
      [issued](const pb::BatchIssueCertificatesResponse& response) {
        issued->fetch_add(kBatch);
        return response.results_size() == kBatch && response.results(0).has_certificate() &&
               response.results(kBatch - 1).has_certificate();
      });
}

// Issues on the database at `url`, by a service named `run`. `count_syncs` is how its
// synchronisations are counted.
template <typename Counter>
absl::StatusOr<Measured> Issue(Environment& environment, const std::string& run,
                               const std::string& url, Requests* requests, bool batches,
                               Counter count_syncs) {
  RETURN_IF_ERROR(environment
                      .StartService(run, "sign",
                                    {"--database", url, "--ledger", "", "--max-message-bytes",
                                     absl::StrCat(64 << 20)})
                      .status());
  ASSIGN_OR_RETURN(auto channels, environment.Channels(run));
  RETURN_IF_ERROR(CreateAuthority(channels[0]));
  Measured measured;
  ASSIGN_OR_RETURN(const pid_t pid, environment.Pid(run));
  ASSIGN_OR_RETURN(const uint64_t before, count_syncs());
  const double server_before = CpuSeconds(pid).value_or(0);
  const double client_before = CpuSeconds(getpid()).value_or(0);
  std::atomic<uint64_t> issued{0};
  measured.load = batches ? RunBatches(environment, channels, requests, &issued)
                          : RunUnary(environment, channels, requests, &issued);
  measured.issued = issued;
  const double certificates = std::max<double>(1, static_cast<double>(measured.issued));
  measured.server_us = (CpuSeconds(pid).value_or(0) - server_before) * 1e6 / certificates;
  measured.client_us = (CpuSeconds(getpid()).value_or(0) - client_before) * 1e6 / certificates;
  ASSIGN_OR_RETURN(const uint64_t after, count_syncs());
  measured.syncs = after - before;
  channels.clear();
  RETURN_IF_ERROR(environment.StopService(run));
  return measured;
}

absl::StatusOr<Result> Report(Environment& environment, const std::string& name,
                              const Measured& measured, bool batches, const std::string& durable) {
  Result result = FromLoad(name, "certificates/s", measured.load, batches ? kBatch : 1);
  result.baseline = "its signatures, no more";
  ASSIGN_OR_RETURN(result.baseline_value, SignatureRate(environment));
  result.note = absl::StrFormat(
      "%s; P-256, tls-server, with first OCSP responses for both hashes; %s; answered when "
      "durable: "
      "%d synchronisations for %d certificates, warm-up included",
      batches ? absl::StrFormat("batches of %d, %d in flight", kBatch, kBatchesInFlight)
              : absl::StrFormat("%d in flight", kUnaryInFlight),
      durable, measured.syncs, measured.issued);
  return result;
}

absl::StatusOr<Result> OnPostgres(Environment& environment, const std::string& name, bool batches) {
  ASSIGN_OR_RETURN(const auto server, StartPostgres(environment));
  ASSIGN_OR_RETURN(const auto requests, Requests::Make());
  ASSIGN_OR_RETURN(const Measured measured, Issue(environment, name, server->Url(), requests.get(),
                                                  batches, [&] { return CountWalSyncs(*server); }));
  return Report(environment, name, measured, batches, kPostgresSettings);
}

absl::StatusOr<Measured> IssueOnSqlite(Environment& environment, const std::string& name,
                                       Requests* requests, bool batches) {
  const std::string url = absl::StrCat("sqlite:", environment.work(), "/", name, "/keys.db");
  return Issue(environment, name, url, requests, batches, [&] { return environment.Syncs(name); });
}

absl::StatusOr<Result> OnSqlite(Environment& environment, const std::string& name, bool batches) {
  ASSIGN_OR_RETURN(const auto requests, Requests::Make());
  ASSIGN_OR_RETURN(const Measured measured,
                   IssueOnSqlite(environment, name, requests.get(), batches));
  return Report(environment, name, measured, batches, "SQLite, synchronous=FULL");
}

absl::StatusOr<Measured> IssueByStepCa(Environment& environment, const std::string& name,
                                       const Requests& requests) {
  const std::string data = absl::StrCat(environment.work(), "/", name);
  ASSIGN_OR_RETURN(const auto peer, StepCaPeer::Start(data));
  // Its start is not to be counted.
  RETURN_IF_ERROR(
      peer->Sign(requests.csrs(), {.in_flight = kUnaryInFlight, .length = absl::Milliseconds(100)})
          .status());
  const double server_before = CpuSeconds(peer->pid()).value_or(0);
  ASSIGN_OR_RETURN(
      const StepCaLoad load,
      peer->Sign(requests.csrs(), {.in_flight = kUnaryInFlight, .length = environment.length()}));
  const double certificates = std::max<double>(1, static_cast<double>(load.issued));
  Measured measured;
  measured.load = load.load;
  measured.server_us = (CpuSeconds(peer->pid()).value_or(0) - server_before) * 1e6 / certificates;
  measured.client_us = load.client_cpu_seconds * 1e6 / certificates;
  absl::StatusOr<StepCaLoad> traced = absl::UnavailableError("not run");
  // In a run of its own, because being traced takes time.
  const auto syncs = CountSyncs(peer->pid(), data + "/trace", [&] {
    traced = peer->Sign(requests.csrs(), {.in_flight = kUnaryInFlight, .length = absl::Seconds(1)});
  });
  if (syncs.ok() && traced.ok()) {
    measured.syncs = *syncs;
    measured.issued = traced->issued;
  }
  return measured;
}

// The same requests to step-ca and to ours on the embedded database, one after the other.
absl::StatusOr<Result> BesideStepCa(Environment& environment, const std::string& name) {
  ASSIGN_OR_RETURN(const auto requests, Requests::Make());
  ASSIGN_OR_RETURN(const Measured peer, IssueByStepCa(environment, name + "-step-ca", *requests));
  ASSIGN_OR_RETURN(const Measured ours,
                   IssueOnSqlite(environment, name, requests.get(), /*batches=*/false));
  Result result = FromLoad(name, "certificates/s", ours.load);
  result.failures += peer.load.failures;
  result.baseline = "step-ca, badgerv2";
  result.baseline_value = peer.load.PerSecond();
  const auto syncs = [](const Measured& measured) -> std::string {
    if (measured.syncs == 0) return "not counted";
    return absl::StrFormat("%.4f", static_cast<double>(measured.syncs) /
                                       std::max<double>(1, static_cast<double>(measured.issued)));
  };
  result.note = absl::StrFormat(
      "%d in flight, one a call, P-256, answered when durable; ours on SQLite, synchronous=FULL, "
      "with first OCSP responses for both hashes, gRPC without TLS; step-ca: JWK provisioner, a "
      "one-time token each, HTTPS, p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, %d failed. "
      "Synchronisations a certificate: ours %s, step-ca %s (O_DSYNC writes, traced). Processor "
      "us a certificate, server + client: ours %.0f + %.0f, step-ca %.0f + %.0f",
      kUnaryInFlight, peer.load.p50_ms, peer.load.p95_ms, peer.load.p99_ms, peer.load.failures,
      syncs(ours), syncs(peer), ours.server_us, ours.client_us, peer.server_us, peer.client_us);
  return result;
}

}  // namespace

std::vector<Benchmark> IssueBenchmarks() {
  return {
      {"issue-unary", "certificates on PostgreSQL, one a call, 256 in flight",
       [](Environment& environment) { return OnPostgres(environment, "issue-unary", false); }},
      {"issue-unary-sqlite", "the same on SQLite",
       [](Environment& environment) { return OnSqlite(environment, "issue-unary-sqlite", false); }},
      {"issue-batch", "certificates on PostgreSQL, 1,000 a call, 8 in flight",
       [](Environment& environment) { return OnPostgres(environment, "issue-batch", true); }},
      {"issue-batch-sqlite", "the same on SQLite",
       [](Environment& environment) { return OnSqlite(environment, "issue-batch-sqlite", true); }},
      {"issue-vs-peer", "certificates on SQLite, one a call, 256 in flight, beside step-ca",
       [](Environment& environment) { return BesideStepCa(environment, "issue-vs-peer"); }}};
}

}  // namespace countersign::bench
