#include "services/sign/certificates/fake_authority.h"

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "absl/time/clock.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/csr.h"
#include "libs/pki/signature.h"

namespace countersign::sign {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) std::abort();
  return *std::move(value);
}

crypto::PrivateKey NewKey() {
  return OrDie(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
}

}  // namespace

struct FakeAuthority::Impl {
  const crypto::PrivateKey key = NewKey();
  const std::string name = pki::EncodeName(OrDie(pki::ParseNameText("CN=Upstream")));
  std::atomic<int64_t> delay_us{0};
  std::atomic<int64_t> calls{0};
  base::Mutex mutex;
  std::map<std::string, std::string> issued ABSL_GUARDED_BY(mutex);

  std::string Issue(const v1::IssueCertificateRequest& request) {
    {
      base::MutexLock lock(&mutex);
      const auto known = issued.find(request.request_id());
      if (known != issued.end()) return known->second;
    }
    const pki::Csr csr = OrDie(pki::ParseCsrDerOrPem(request.csr()));
    pki::CertificateTemplate what;
    what.serial = pki::RandomSerial();
    what.issuer_der = name;
    what.subject_der = csr.subject_der;
    what.not_before = absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()));
    what.not_after = what.not_before + absl::Hours(24 * 90);
    what.spki_der = csr.spki_der;
    what.subject_alt_names = csr.extensions.subject_alt_names;
    std::string der = OrDie(pki::SignAndAssemble(pki::BuildTbsCertificate(what), key));
    base::MutexLock lock(&mutex);
    return issued.emplace(request.request_id(), std::move(der)).first->second;
  }
};

FakeAuthority::FakeAuthority() : impl_(std::make_unique<Impl>()) {}

FakeAuthority::~FakeAuthority() = default;

void FakeAuthority::SetDelay(absl::Duration delay) {
  impl_->delay_us = absl::ToInt64Microseconds(delay);
}

grpc::ServerUnaryReactor* FakeAuthority::IssueCertificate(
    grpc::CallbackServerContext* context, const v1::IssueCertificateRequest* request,
    v1::IssueCertificateResponse* reply) {
  const auto answer_at =
      std::chrono::system_clock::now() + std::chrono::microseconds(impl_->delay_us.load());
  ++impl_->calls;
  reply->mutable_certificate()->set_der(impl_->Issue(*request));
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (impl_->delay_us == 0) {
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  auto alarm = std::make_shared<grpc::Alarm>();
  alarm->Set(answer_at, [alarm, reactor](bool) { reactor->Finish(grpc::Status::OK); });
  return reactor;
}

int64_t FakeAuthority::calls() const { return impl_->calls; }

int64_t FakeAuthority::issued() const {
  base::MutexLock lock(&impl_->mutex);
  return static_cast<int64_t>(impl_->issued.size());
}

std::string MakeTestCsr(const std::string& host) {
  static const crypto::PrivateKey& key = *new crypto::PrivateKey(NewKey());
  return OrDie(pki::BuildCsr({}, {{pki::GeneralName::Kind::kDns, host}}, key));
}

}  // namespace countersign::sign
