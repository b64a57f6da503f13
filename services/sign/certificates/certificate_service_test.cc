#include "services/sign/certificates/certificate_service.h"

#include <grpcpp/grpcpp.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/crypto/private_key.h"
#include "libs/pki/csr.h"
#include "libs/pki/weak_keys.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/metrics.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "services/sign/certificates/authorities_testing.h"
#include "services/sign/certificates/issuer.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using absl::StatusCode;
using testing::RequireOk;
using testing::StatusIs;
using Stub = v1::CertificateService::Stub;

constexpr char kRoot[] = "tenants/default/authorities/root";

struct Fixture {
  Fixture() { test.process.Create("root"); }

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) {
    grpc::ClientContext context;
    Response response;
    const absl::Status status =
        runtime::FromGrpcStatus(((*stub).*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  v1::IssueCertificateRequest RequestFor(const std::string& host) {
    const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
    v1::IssueCertificateRequest request;
    request.set_parent(kRoot);
    request.set_profile(v1::CERTIFICATE_PROFILE_TLS_SERVER);
    request.set_csr(RequireOk(pki::BuildCsr({}, {{pki::GeneralName::Kind::kDns, host}}, key)));
    request.set_owner_team("web");
    return request;
  }

  TestAuthorities test{storage::Engine::kSqlite};
  runtime::Metrics metrics;
  CertificateMetrics certificate_metrics{&metrics};
  pki::WeakKeys weak_keys;
  Issuer issuer{{.authorities = &test.process.authorities,
                 .certificates = &test.process.certificates,
                 .weak_keys = &weak_keys,
                 .executor = &test.process.executor,
                 .clock = &test.clock}};
  CertificateService service{{.issuer = &issuer,
                              .certificates = &test.process.certificates,
                              .authorities = &test.process.authorities,
                              .revocation = &test.process.revocation,
                              .executor = &test.process.executor,
                              .metrics = &certificate_metrics}};
  testing::InProcessServer server{&service};
  std::unique_ptr<Stub> stub = v1::CertificateService::NewStub(server.channel());
};

TEST_CASE("Every method of the contract answers over gRPC") {
  Fixture f;
  const auto issued = RequireOk(f.Call(&Stub::IssueCertificate, f.RequestFor("a.example.com")));
  CHECK(issued.issuers_size() == 1);
  const std::string name = issued.certificate().name();

  v1::BatchIssueCertificatesRequest batch;
  batch.set_parent(kRoot);
  for (int i = 0; i < 20; ++i) {
    *batch.add_requests() = f.RequestFor(absl::StrCat("b", i, ".example.com"));
  }
  CHECK(RequireOk(f.Call(&Stub::BatchIssueCertificates, batch)).results(19).has_certificate());

  v1::GetCertificateRequest get;
  get.set_name(name);
  const auto got = RequireOk(f.Call(&Stub::GetCertificate, get));
  CHECK(got.certificate().der() == issued.certificate().der());
  REQUIRE(got.issuers_size() == 1);
  CHECK(got.issuers(0) == issued.issuers(0));

  v1::ListCertificatesRequest list;
  list.set_parent("tenants/default");
  list.mutable_filter()->set_host_name("a.example.com");
  CHECK(RequireOk(f.Call(&Stub::ListCertificates, list)).certificates(0).name() == name);

  v1::BulkUpdateCertificatesRequest update;
  update.set_parent("tenants/default");
  update.mutable_filter()->set_owner_team("web");
  update.set_environment("production");
  CHECK(RequireOk(f.Call(&Stub::BulkUpdateCertificates, update)).updated() == 21);

  v1::RevokeCertificateRequest revoke;
  revoke.set_name(name);
  revoke.set_reason(v1::REVOCATION_REASON_CERTIFICATE_HOLD);
  CHECK(RequireOk(f.Call(&Stub::RevokeCertificate, revoke)).certificate().status() ==
        v1::CERTIFICATE_STATUS_ON_HOLD);
  v1::ReleaseCertificateRequest release;
  release.set_name(name);
  CHECK(RequireOk(f.Call(&Stub::ReleaseCertificate, release)).certificate().status() ==
        v1::CERTIFICATE_STATUS_ACTIVE);
  v1::BatchRevokeCertificatesRequest revoke_all;
  revoke_all.set_parent("tenants/default");
  revoke_all.set_owner_team("web");
  revoke_all.set_reason(v1::REVOCATION_REASON_SUPERSEDED);
  CHECK(RequireOk(f.Call(&Stub::BatchRevokeCertificates, revoke_all)).names_size() == 21);

  // A certificate of another suite's.
  Fixture other;
  const auto foreign =
      RequireOk(other.Call(&Stub::IssueCertificate, other.RequestFor("c.example.com")));
  v1::ImportCertificatesRequest import;
  import.set_parent("tenants/default");
  import.add_certificates(pki::FormatPem("CERTIFICATE", foreign.certificate().der()) +
                          pki::FormatPem("CERTIFICATE", foreign.issuers(0)));
  import.add_certificates(issued.certificate().der());
  const auto imported = RequireOk(f.Call(&Stub::ImportCertificates, import));
  REQUIRE(imported.certificates_size() == 3);
  CHECK(imported.certificates(0).host_names(0) == "c.example.com");
  CHECK(imported.certificates(2).name() == name);
  get.set_name(imported.certificates(0).name());
  CHECK(RequireOk(f.Call(&Stub::GetCertificate, get)).issuers().empty());
}

TEST_CASE("Refusals reach the caller with their reason") {
  Fixture f;
  auto request = f.RequestFor("a.example.com");
  request.mutable_lifetime()->set_seconds(86400 * 1000);
  const auto refused = f.Call(&Stub::IssueCertificate, request);
  CHECK_THAT(refused, StatusIs(StatusCode::kInvalidArgument, "398 days"));
  CHECK(runtime::ReasonOf(refused.status()) == kBadValidity);
  CHECK_THAT(f.Call(&Stub::BatchIssueCertificates, v1::BatchIssueCertificatesRequest()),
             StatusIs(StatusCode::kInvalidArgument, "requests"));

  v1::ImportCertificatesRequest import;
  import.set_parent("tenants/default");
  CHECK_THAT(f.Call(&Stub::ImportCertificates, import),
             StatusIs(StatusCode::kInvalidArgument, "certificates"));
  import.add_certificates("garbage");
  CHECK_THAT(f.Call(&Stub::ImportCertificates, import),
             StatusIs(StatusCode::kInvalidArgument, "certificates[0]"));
  import.set_owner_team(std::string(129, 'x'));
  CHECK_THAT(f.Call(&Stub::ImportCertificates, import),
             StatusIs(StatusCode::kInvalidArgument, "owner_team"));
}

}  // namespace
}  // namespace countersign::sign
