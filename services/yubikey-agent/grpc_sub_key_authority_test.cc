#include "services/yubikey-agent/grpc_sub_key_authority.h"

#include <grpcpp/grpcpp.h>

#include <future>

#include "catch2/catch.hpp"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/runtime/call.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"

namespace countersign::yubikey {
namespace {

namespace spb = ::countersign::sign::v1;

using countersign::testing::InProcessServer;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;
using State = SubKeyAuthority::State;

// Answers with `status` and keeps what it was asked.
class FakeSign final : public spb::CertificateService::CallbackService {
 public:
  grpc::ServerUnaryReactor* IssueCertificate(grpc::CallbackServerContext* context,
                                             const spb::IssueCertificateRequest* request,
                                             spb::IssueCertificateResponse* response) override {
    issue = *request;
    response->mutable_certificate()->set_name("tenants/example/certificates/1f");
    response->mutable_certificate()->set_der("leaf");
    response->add_issuers("intermediate");
    response->add_issuers("root");
    return runtime::FinishUnary(context, status);
  }
  grpc::ServerUnaryReactor* RevokeCertificate(grpc::CallbackServerContext* context,
                                              const spb::RevokeCertificateRequest* request,
                                              spb::RevokeCertificateResponse* response) override {
    revoke = *request;
    return runtime::FinishUnary(context, status);
  }
  grpc::ServerUnaryReactor* GetCertificate(grpc::CallbackServerContext* context,
                                           const spb::GetCertificateRequest* request,
                                           spb::GetCertificateResponse* response) override {
    response->mutable_certificate()->set_status(certificate_status);
    return runtime::FinishUnary(context, status);
  }

  absl::Status status;
  spb::CertificateStatus certificate_status = spb::CERTIFICATE_STATUS_ACTIVE;
  spb::IssueCertificateRequest issue;
  spb::RevokeCertificateRequest revoke;
};

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

absl::StatusOr<SubKeyAuthority::Issued> Issue(SubKeyAuthority* authority, bool log) {
  std::promise<absl::StatusOr<SubKeyAuthority::Issued>> result;
  authority->Issue(
      {.authority = "tenants/example/authorities/code",
       .csr = "csr",
       .lifetime = absl::Hours(1),
       .log = log},
      Soon(), [&](absl::StatusOr<SubKeyAuthority::Issued> issued) { result.set_value(issued); });
  return result.get_future().get();
}

absl::Status Revoke(SubKeyAuthority* authority) {
  std::promise<absl::Status> result;
  authority->Revoke("tenants/example/certificates/1f", Soon(),
                    [&](absl::Status status) { result.set_value(status); });
  return result.get_future().get();
}

absl::StatusOr<State> Check(SubKeyAuthority* authority) {
  std::promise<absl::StatusOr<State>> result;
  authority->Check("tenants/example/certificates/1f", Soon(),
                   [&](absl::StatusOr<State> state) { result.set_value(state); });
  return result.get_future().get();
}

TEST_CASE("a code-signing certificate is asked for, which lasts as long as is meant") {
  FakeSign sign;
  InProcessServer server(&sign);
  GrpcSubKeyAuthority authority(server.channel());
  const SubKeyAuthority::Issued issued = RequireOk(Issue(&authority, false));
  CHECK(issued.chain == std::vector<std::string>{"leaf", "intermediate", "root"});
  CHECK(issued.name == "tenants/example/certificates/1f");
  CHECK(sign.issue.parent() == "tenants/example/authorities/code");
  CHECK(sign.issue.profile() == spb::CERTIFICATE_PROFILE_CODE_SIGNING);
  CHECK(sign.issue.csr() == "csr");
  // Sign begins the validity five minutes ago.
  CHECK(sign.issue.lifetime().seconds() == 3600 + 300 + 1);
  CHECK(sign.issue.request_id().size() == 36);
  CHECK(sign.issue.ledger() == spb::LEDGER_WAIT_UNSPECIFIED);
  RequireOk(Issue(&authority, true));
  CHECK(sign.issue.ledger() == spb::LEDGER_WAIT_SEQUENCED);
  sign.status = runtime::AttachReason(absl::FailedPreconditionError("expired"), "ISSUER_EXPIRED");
  const absl::Status failed = Issue(&authority, false).status();
  CHECK_THAT(failed, StatusIs(absl::StatusCode::kFailedPrecondition, "sign: expired"));
  CHECK(runtime::ReasonOf(failed) == "ISSUER_EXPIRED");
}

TEST_CASE("a certificate that is revoked already is revoked") {
  FakeSign sign;
  InProcessServer server(&sign);
  GrpcSubKeyAuthority authority(server.channel());
  CHECK_THAT(Revoke(&authority), IsOk());
  CHECK(sign.revoke.name() == "tenants/example/certificates/1f");
  CHECK(sign.revoke.reason() == spb::REVOCATION_REASON_CESSATION_OF_OPERATION);
  sign.status = runtime::AttachReason(absl::FailedPreconditionError("was"), "ALREADY_REVOKED");
  CHECK_THAT(Revoke(&authority), IsOk());
  sign.status = absl::NotFoundError("none");
  CHECK_THAT(Revoke(&authority), StatusIs(absl::StatusCode::kNotFound, "sign: none"));
}

TEST_CASE("what the inventory says is told; a service that is not there is unavailable") {
  FakeSign sign;
  InProcessServer server(&sign);
  GrpcSubKeyAuthority authority(server.channel());
  CHECK(RequireOk(Check(&authority)) == State::kGood);
  sign.certificate_status = spb::CERTIFICATE_STATUS_REPLACED;
  CHECK(RequireOk(Check(&authority)) == State::kGood);
  sign.certificate_status = spb::CERTIFICATE_STATUS_ON_HOLD;
  CHECK(RequireOk(Check(&authority)) == State::kOnHold);
  sign.certificate_status = spb::CERTIFICATE_STATUS_REVOKED;
  CHECK(RequireOk(Check(&authority)) == State::kRevoked);
  server.Stop();
  CHECK_THAT(Check(&authority), StatusIs(absl::StatusCode::kUnavailable, "sign: "));
}

}  // namespace
}  // namespace countersign::yubikey
