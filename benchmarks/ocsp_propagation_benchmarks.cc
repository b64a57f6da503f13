// How long after a revocation was acknowledged the responders still say "good".
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/ocsp_fixture.h"
#include "countersign/sign/v1/authority_service.grpc.pb.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/private_key.h"
#include "libs/http/client.h"
#include "libs/pki/certificate.h"
#include "libs/pki/csr.h"
#include "libs/pki/name.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_response.h"
#include "libs/runtime/status.h"
#include "libs/testing/postgres_server.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::sign::v1;

constexpr int kResponders = 3;
constexpr int kRestarts = 5;
constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr double kWantedMs = 100;        // one responder, p99
constexpr double kWantedOfAllMs = 1000;  // three, database restarts included

double Percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values.empty()
             ? 0
             : values[static_cast<size_t>(part * static_cast<double>(values.size() - 1))];
}

// The suite's part that revokes and answers, on PostgreSQL.
class Suite {
 public:
  static absl::StatusOr<std::unique_ptr<Suite>> Start(Environment& environment) {
    auto suite = std::make_unique<Suite>(environment);
    RETURN_IF_ERROR(suite->StartProcesses());
    RETURN_IF_ERROR(suite->CreateAuthority());
    return suite;
  }

  // For Start.
  explicit Suite(Environment& environment) : environment_(environment) {}
  ~Suite() {
    for (; !started_.empty(); started_.pop_back()) {
      environment_.StopService(started_.back()).IgnoreError();
    }
  }

  // Issues certificates and waits until every responder knows them.
  absl::Status Issue(int count);

  // Revokes the next certificate, trying again while the database is away. Returns after how many
  // milliseconds more the last responder said so.
  absl::StatusOr<double> Revoke();

  testing::PostgresServer& database() { return *database_; }

 private:
  absl::Status StartProcesses();
  absl::Status CreateAuthority();
  // Until the responder's answer for the certificate is `kind`.
  absl::Status AwaitKind(int responder, const pki::Certificate& certificate,
                         pki::OcspResponse::Single::Kind kind);

  Environment& environment_;
  std::unique_ptr<testing::PostgresServer> database_;
  std::vector<std::string> started_;
  std::vector<int> ports_;
  std::unique_ptr<pb::AuthorityService::Stub> authorities_;
  std::unique_ptr<pb::CertificateService::Stub> certificates_;
  std::string authority_name_;
  pki::Certificate authority_;
  std::vector<std::pair<std::string, pki::Certificate>> issued_;
  size_t next_ = 0;
};

absl::Status Suite::StartProcesses() {
  ASSIGN_OR_RETURN(database_, testing::PostgresServer::Start({.data_folder = environment_.work()}));
  const std::string kek_file = environment_.work() + "/propagation-ocsp-kek";
  RETURN_IF_ERROR(crypto::Kek::LoadOrCreate(kek_file).status());
  // Responders first: sign is told where they are. They wait for its tables.
  std::vector<std::string> sign = {"--database", database_->Url(), "--ocsp-kek",
                                   kek_file,     "--ledger",       ""};
  for (int i = 0; i < kResponders; ++i) {
    const std::string name = absl::StrCat("ocsp-", i + 1);
    ASSIGN_OR_RETURN(const runtime::BoundPorts ports,
                     environment_.StartService(
                         name, "ocsp", {"--database", database_->Url(), "--kek", kek_file}));
    started_.push_back(name);
    ports_.push_back(ports.http);
    sign.insert(sign.end(), {"--ocsp", absl::StrCat("127.0.0.1:", ports.grpc)});
  }
  RETURN_IF_ERROR(environment_.StartService("ocsp-sign", "sign", sign).status());
  started_.push_back("ocsp-sign");
  ASSIGN_OR_RETURN(const auto channels, environment_.Channels("ocsp-sign"));
  authorities_ = pb::AuthorityService::NewStub(channels[0]);
  certificates_ = pb::CertificateService::NewStub(channels[0]);
  return absl::OkStatus();
}

absl::Status Suite::CreateAuthority() {
  grpc::ClientContext context;
  pb::CreateAuthorityRequest request;
  request.set_parent("tenants/default");
  request.set_authority_id("bench");
  request.mutable_authority()->set_subject("CN=Benchmark CA,O=Countersign");
  request.mutable_authority()->set_algorithm(pb::ALGORITHM_ECDSA_P256_SHA256);
  request.mutable_authority()->set_path_length(-1);
  pb::CreateAuthorityResponse response;
  RETURN_IF_ERROR(
      runtime::FromGrpcStatus(authorities_->CreateAuthority(&context, request, &response)));
  authority_name_ = response.authority().name();
  ASSIGN_OR_RETURN(authority_, pki::ParseCertificate(response.authority().chain(0)));
  return absl::OkStatus();
}

absl::Status Suite::Issue(int count) {
  ASSIGN_OR_RETURN(const auto key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  ASSIGN_OR_RETURN(const pki::Name subject, pki::ParseNameText("CN=host.example.com"));
  ASSIGN_OR_RETURN(const std::string csr, pki::BuildCsr(subject, {}, key));
  pb::BatchIssueCertificatesRequest request;
  request.set_parent(authority_name_);
  for (int i = 0; i < count; ++i) {
    pb::IssueCertificateRequest* const one = request.add_requests();
    one->set_profile(pb::CERTIFICATE_PROFILE_TLS_SERVER);
    one->set_csr(csr);
    one->add_subject_alt_names("DNS:host.example.com");
  }
  grpc::ClientContext context;
  pb::BatchIssueCertificatesResponse response;
  RETURN_IF_ERROR(
      runtime::FromGrpcStatus(certificates_->BatchIssueCertificates(&context, request, &response)));
  for (const auto& result : response.results()) {
    if (!result.has_certificate()) return absl::InternalError("a certificate was not issued");
    ASSIGN_OR_RETURN(const pki::Certificate certificate,
                     pki::ParseCertificate(result.certificate().der()));
    issued_.emplace_back(result.certificate().name(), certificate);
  }
  for (int i = 0; i < kResponders; ++i) {
    RETURN_IF_ERROR(AwaitKind(i, issued_.back().second, pki::OcspResponse::Single::Kind::kGood));
  }
  return absl::OkStatus();
}

absl::Status Suite::AwaitKind(int responder, const pki::Certificate& certificate,
                              pki::OcspResponse::Single::Kind kind) {
  http::Client client;
  http::ClientRequest request;
  request.method = "POST";
  request.url = absl::StrCat("http://127.0.0.1:", ports_[static_cast<size_t>(responder)], "/");
  request.headers.Add("Content-Type", "application/ocsp-request");
  request.body = pki::BuildOcspRequest(pki::OcspHash::kSha256, authority_.subject_der,
                                       authority_.key_bits, certificate.serial);
  request.idempotent = true;
  for (const absl::Time give_up = absl::Now() + kPatience; absl::Now() < give_up;) {
    ASSIGN_OR_RETURN(const http::Response answer, client.Call(request));
    ASSIGN_OR_RETURN(const pki::OcspResponse response, pki::ParseOcspResponse(answer.body_view()));
    if (response.singles.size() == 1 && response.singles[0].kind == kind) return absl::OkStatus();
    // Often enough to measure, seldom enough to leave the processor to what is measured.
    absl::SleepFor(absl::Microseconds(300));
  }
  return absl::DeadlineExceededError("a responder does not know of a change");
}

absl::StatusOr<double> Suite::Revoke() {
  const auto& [name, certificate] = issued_[next_++];
  for (const absl::Time give_up = absl::Now() + kPatience;;) {
    grpc::ClientContext context;
    pb::RevokeCertificateRequest request;
    request.set_name(name);
    request.set_reason(pb::REVOCATION_REASON_SUPERSEDED);
    pb::RevokeCertificateResponse response;
    const absl::Status status =
        runtime::FromGrpcStatus(certificates_->RevokeCertificate(&context, request, &response));
    if (status.ok()) break;
    if (absl::Now() > give_up) return status;
  }
  const absl::Time acknowledged = absl::Now();
  std::vector<absl::Status> statuses(kResponders);
  std::vector<double> milliseconds(kResponders);
  std::vector<std::thread> threads;
  for (int i = 0; i < kResponders; ++i) {
    threads.emplace_back([&, i] {
      const size_t at = static_cast<size_t>(i);
      statuses[at] = AwaitKind(i, certificate, pki::OcspResponse::Single::Kind::kRevoked);
      milliseconds[at] = absl::ToDoubleMilliseconds(absl::Now() - acknowledged);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses) RETURN_IF_ERROR(status);
  return *std::max_element(milliseconds.begin(), milliseconds.end());
}

// More is better: how often what is wanted fits into what it took.
Result MakeResult(const std::string& name, double milliseconds, double wanted_ms) {
  Result result;
  result.name = name;
  result.unit = "1/s";
  result.value = 1000 / std::max(milliseconds, 0.001);
  result.baseline = "wanted";
  result.baseline_value = 1000 / wanted_ms;
  return result;
}

absl::StatusOr<Result> Propagation(Environment& environment) {
  const int revocations = environment.length() < absl::Seconds(4) ? 100 : 400;
  ASSIGN_OR_RETURN(const auto suite, Suite::Start(environment));
  RETURN_IF_ERROR(suite->Issue(revocations));
  std::vector<double> last;
  for (int i = 0; i < revocations; ++i) {
    ASSIGN_OR_RETURN(const double milliseconds, suite->Revoke());
    last.push_back(milliseconds);
  }
  // Of all three, the slowest: what holds of it holds of each.
  Result result = MakeResult("ocsp-propagation", Percentile(last, 0.99), kWantedMs);
  result.p50_ms = Percentile(last, 0.5);
  result.p95_ms = Percentile(last, 0.95);
  result.p99_ms = Percentile(last, 0.99);
  result.note = absl::StrFormat(
      "%d revocations: from the acknowledgement until the last of three processes says revoked, a"
      " look included; the longest %.1f ms",
      revocations, Percentile(last, 1));
  return result;
}

absl::StatusOr<Result> PropagationAfterRestart(Environment& environment) {
  ASSIGN_OR_RETURN(const auto suite, Suite::Start(environment));
  RETURN_IF_ERROR(suite->Issue(2 * kRestarts));
  std::vector<double> last;
  for (int i = 0; i < kRestarts; ++i) {
    RETURN_IF_ERROR(suite->Revoke().status());
    RETURN_IF_ERROR(suite->database().Restart(i % 2 == 0 ? testing::PostgresShutdown::kFast
                                                         : testing::PostgresShutdown::kImmediate));
    ASSIGN_OR_RETURN(const double milliseconds, suite->Revoke());
    last.push_back(milliseconds);
  }
  Result result = MakeResult("ocsp-propagation-restart", Percentile(last, 1), kWantedOfAllMs);
  result.p50_ms = Percentile(last, 0.5);
  result.p95_ms = Percentile(last, 0.95);
  result.p99_ms = Percentile(last, 1);
  result.note = absl::StrFormat(
      "%d times: PostgreSQL restarted or crashed, then a revocation as soon as it is taken; until "
      "the"
      " last of three processes says revoked, at the longest",
      kRestarts);
  return result;
}

}  // namespace

std::vector<Benchmark> OcspPropagationBenchmarks() {
  return {
      {"ocsp-propagation", "from a revocation's acknowledgement to three responders", Propagation},
      {"ocsp-propagation-restart", "the same just after PostgreSQL was restarted",
       PropagationAfterRestart}};
}

}  // namespace countersign::bench
