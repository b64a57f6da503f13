#include "services/yubikey-agent/grpc_sub_key_authority.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/crypto/random.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"

namespace countersign::yubikey {
namespace {

namespace spb = ::countersign::sign::v1;

// Sign counts a life from its begin, five minutes ago for clocks that go wrong, and its last second
// is part of it.
constexpr absl::Duration kBackdated = absl::Minutes(5);

absl::Status FromSign(const grpc::Status& grpc_status) {
  const absl::Status status = runtime::FromGrpcStatus(grpc_status);
  if (status.ok()) return status;
  absl::Status prefixed(status.code(), absl::StrCat("sign: ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { prefixed.SetPayload(url, payload); });
  return prefixed;
}

template <typename Request, typename Response>
struct Call {
  std::unique_ptr<grpc::ClientContext> context;
  Request request;
  Response response;
};

}  // namespace

struct GrpcSubKeyAuthority::Impl {
  std::unique_ptr<spb::CertificateService::Stub> stub;
  const base::Clock* clock;

  template <typename Request, typename Response>
  std::shared_ptr<Call<Request, Response>> NewCall(absl::Time deadline) const {
    auto call = std::make_shared<Call<Request, Response>>();
    call->context = runtime::MakeContext(deadline - clock->Now());
    return call;
  }
};

GrpcSubKeyAuthority::GrpcSubKeyAuthority(std::shared_ptr<grpc::Channel> channel,
                                         const base::Clock* clock)
    : impl_(std::make_unique<Impl>()) {
  impl_->stub = spb::CertificateService::NewStub(std::move(channel));
  impl_->clock = clock;
}

GrpcSubKeyAuthority::~GrpcSubKeyAuthority() = default;

void GrpcSubKeyAuthority::Issue(Request request, absl::Time deadline,
                                std::function<void(absl::StatusOr<Issued>)> done) {
  auto call = impl_->NewCall<spb::IssueCertificateRequest, spb::IssueCertificateResponse>(deadline);
  call->request.set_parent(std::move(request.authority));
  call->request.set_profile(spb::CERTIFICATE_PROFILE_CODE_SIGNING);
  call->request.set_csr(std::move(request.csr));
  call->request.mutable_lifetime()->set_seconds(
      absl::ToInt64Seconds(request.lifetime + kBackdated + absl::Seconds(1)));
  call->request.set_request_id(crypto::RandomUuid());
  if (request.log) call->request.set_ledger(spb::LEDGER_WAIT_SEQUENCED);
  auto* const raw = call.get();
  impl_->stub->async()->IssueCertificate(
      raw->context.get(), &raw->request, &raw->response,
      [call = std::move(call), done = std::move(done)](const grpc::Status& status) {
        if (!status.ok()) return done(FromSign(status));
        Issued issued;
        issued.name = std::move(*call->response.mutable_certificate()->mutable_name());
        issued.chain.push_back(std::move(*call->response.mutable_certificate()->mutable_der()));
        for (std::string& issuer : *call->response.mutable_issuers()) {
          issued.chain.push_back(std::move(issuer));
        }
        done(std::move(issued));
      });
}

void GrpcSubKeyAuthority::Revoke(const std::string& name, absl::Time deadline,
                                 std::function<void(absl::Status)> done) {
  auto call =
      impl_->NewCall<spb::RevokeCertificateRequest, spb::RevokeCertificateResponse>(deadline);
  call->request.set_name(name);
  call->request.set_reason(spb::REVOCATION_REASON_CESSATION_OF_OPERATION);
  call->request.set_request_id(crypto::RandomUuid());
  auto* const raw = call.get();
  impl_->stub->async()->RevokeCertificate(
      raw->context.get(), &raw->request, &raw->response,
      [call = std::move(call), done = std::move(done)](const grpc::Status& grpc_status) {
        const absl::Status status = FromSign(grpc_status);
        // Somebody revoked it for another reason, which is as good.
        const bool was = runtime::ReasonOf(status) == "ALREADY_REVOKED";
        done(was ? absl::OkStatus() : status);
      });
}

void GrpcSubKeyAuthority::Check(const std::string& name, absl::Time deadline,
                                std::function<void(absl::StatusOr<State>)> done) {
  auto call = impl_->NewCall<spb::GetCertificateRequest, spb::GetCertificateResponse>(deadline);
  call->request.set_name(name);
  auto* const raw = call.get();
  impl_->stub->async()->GetCertificate(
      raw->context.get(), &raw->request, &raw->response,
      [call = std::move(call), done = std::move(done)](const grpc::Status& status) {
        if (!status.ok()) return done(FromSign(status));
        switch (call->response.certificate().status()) {
          case spb::CERTIFICATE_STATUS_REVOKED:
            return done(State::kRevoked);
          case spb::CERTIFICATE_STATUS_ON_HOLD:
            return done(State::kOnHold);
          default:
            return done(State::kGood);
        }
      });
}

}  // namespace countersign::yubikey
