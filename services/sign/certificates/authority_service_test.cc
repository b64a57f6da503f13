#include "services/sign/certificates/authority_service.h"

#include <grpcpp/grpcpp.h>

#include "catch2/catch.hpp"
#include "libs/pki/crl.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "services/sign/certificates/authorities_testing.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

constexpr char kRoot[] = "tenants/default/authorities/root";

struct Fixture {
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::AuthorityService::Stub::*method)(
                                    grpc::ClientContext*, const Request&, Response*),
                                const Request& request) {
    grpc::ClientContext context;
    Response response;
    const absl::Status status =
        runtime::FromGrpcStatus(((*stub).*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

  TestAuthorities test{storage::Engine::kSqlite};
  runtime::Metrics metrics;
  CertificateMetrics certificate_metrics{&metrics};
  AuthorityService service{{.authorities = &test.process.authorities,
                            .crls = &test.process.crls,
                            .executor = &test.process.executor,
                            .metrics = &certificate_metrics}};
  testing::InProcessServer server{&service};
  std::unique_ptr<v1::AuthorityService::Stub> stub =
      v1::AuthorityService::NewStub(server.channel());
};

template <typename Request>
Request Named() {
  Request request;
  request.set_name(kRoot);
  return request;
}

TEST_CASE("Every method of the contract answers over gRPC") {
  using Stub = v1::AuthorityService::Stub;
  Fixture f;
  const auto created =
      RequireOk(f.Call(&Stub::CreateAuthority, SignProcess::Request("root"))).authority();
  CHECK(created.name() == kRoot);
  CHECK(RequireOk(f.Call(&Stub::GetAuthority, Named<v1::GetAuthorityRequest>()))
            .authority()
            .SerializeAsString() == created.SerializeAsString());
  v1::ListAuthoritiesRequest list;
  list.set_parent("tenants/default");
  list.set_page_size(1);
  RequireOk(f.Call(&Stub::CreateAuthority, SignProcess::Request("other")));
  const auto first = RequireOk(f.Call(&Stub::ListAuthorities, list));
  REQUIRE(first.authorities_size() == 1);
  CHECK(first.authorities(0).name() == "tenants/default/authorities/other");
  list.set_page_token(first.next_page_token());
  const auto second = RequireOk(f.Call(&Stub::ListAuthorities, list));
  REQUIRE(second.authorities_size() == 1);
  CHECK(second.authorities(0).name() == kRoot);
  CHECK(second.next_page_token().empty());

  v1::UpdateAuthorityRequest update;
  update.mutable_authority()->set_name(kRoot);
  update.mutable_authority()->mutable_settings()->set_ocsp_nonces(true);
  update.mutable_update_mask()->add_paths("settings");
  CHECK(RequireOk(f.Call(&Stub::UpdateAuthority, update)).authority().settings().ocsp_nonces());
  CHECK(RequireOk(f.Call(&Stub::RotateOcspSigner, Named<v1::RotateOcspSignerRequest>()))
            .authority()
            .ocsp_signer() != created.ocsp_signer());
  v1::CrossSignAuthorityRequest cross = Named<v1::CrossSignAuthorityRequest>();
  cross.set_authority("tenants/default/authorities/other");
  CHECK(RequireOk(f.Call(&Stub::CrossSignAuthority, cross)).certificate().authority() == kRoot);
  CHECK(RequireOk(f.Call(&Stub::PublishCrls, Named<v1::PublishCrlsRequest>())).number() == 1);
  const auto crl = RequireOk(f.Call(&Stub::GetCrl, Named<v1::GetCrlRequest>()));
  CHECK(RequireOk(pki::ParseCrl(crl.der())).number == 1);
  CHECK(RequireOk(f.Call(&Stub::ExportAuthority, Named<v1::ExportAuthorityRequest>()))
            .data()
            .find("BEGIN CERTIFICATE") != std::string::npos);
  v1::ImportAuthorityRequest import;
  import.set_parent("tenants/default");
  import.set_authority_id("imported");
  import.set_pem("nothing");
  CHECK_THAT(f.Call(&Stub::ImportAuthority, import),
             StatusIs(absl::StatusCode::kInvalidArgument, "pem"));
}

TEST_CASE("Failures keep their code and reason on the way, and are counted") {
  using Stub = v1::AuthorityService::Stub;
  Fixture f;
  RequireOk(f.Call(&Stub::CreateAuthority, SignProcess::Request("root")));
  const auto exists = f.Call(&Stub::CreateAuthority, SignProcess::Request("root"));
  CHECK_THAT(exists, StatusIs(absl::StatusCode::kAlreadyExists));
  CHECK(runtime::ReasonOf(exists.status()) == kAuthorityExists);
  auto request = Named<v1::ExportAuthorityRequest>();
  request.set_include_key(true);
  const auto forbidden = f.Call(&Stub::ExportAuthority, request);
  CHECK_THAT(forbidden, StatusIs(absl::StatusCode::kPermissionDenied));
  CHECK(runtime::ReasonOf(forbidden.status()) == kKeyExportForbidden);
  const std::string exposed = f.metrics.Expose();
  CHECK(exposed.find("certificate_operations_total{operation=\"authority\","
                     "status=\"ALREADY_EXISTS\"} 1") != std::string::npos);
}

}  // namespace
}  // namespace countersign::sign
