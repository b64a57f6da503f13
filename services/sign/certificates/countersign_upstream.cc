#include "services/sign/certificates/countersign_upstream.h"

#include <grpcpp/grpcpp.h>

#include <set>
#include <utility>

#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"

namespace countersign::sign {
namespace {

struct UpstreamCall {
  std::unique_ptr<grpc::ClientContext> context;
  v1::IssueCertificateRequest request;
  v1::IssueCertificateResponse response;
};

}  // namespace

struct CountersignUpstream::Impl {
  std::string authority;
  absl::Duration timeout;
  std::unique_ptr<v1::CertificateService::Stub> stub;

  base::Mutex mutex;
  std::set<UpstreamCall*> calls ABSL_GUARDED_BY(mutex);
  bool cancelled ABSL_GUARDED_BY(mutex) = false;
};

CountersignUpstream::CountersignUpstream(std::shared_ptr<grpc::Channel> channel,
                                         std::string authority, absl::Duration timeout)
    : impl_(std::make_shared<Impl>()) {
  impl_->authority = std::move(authority);
  impl_->timeout = timeout;
  impl_->stub = v1::CertificateService::NewStub(channel);
}

CountersignUpstream::~CountersignUpstream() = default;

void CountersignUpstream::Issue(Task task, Done done) {
  // Owner, environment and labels are this inventory's own, and what it replaces is not known
  // there.
  auto call = std::make_shared<UpstreamCall>();
  call->context = runtime::MakeContext(impl_->timeout);
  call->request = std::move(task.request);
  call->request.set_parent(impl_->authority);
  call->request.clear_owner_team();
  call->request.clear_environment();
  call->request.clear_labels();
  call->request.clear_replaces();
  call->request.clear_ledger();
  call->request.clear_log();
  {
    base::MutexLock lock(&impl_->mutex);
    if (impl_->cancelled) {
      call = nullptr;
    } else {
      impl_->calls.insert(call.get());
    }
  }
  if (call == nullptr) return done(absl::CancelledError("the service stops"));
  UpstreamCall* raw = call.get();
  impl_->stub->async()->IssueCertificate(
      raw->context.get(), &raw->request, &raw->response,
      [impl = impl_, call = std::move(call), done = std::move(done)](grpc::Status status) {
        absl::StatusOr<Issued> result = absl::UnknownError("no answer");
        if (!status.ok()) {
          result = runtime::FromGrpcStatus(status);
        } else {
          v1::Certificate& certificate = *call->response.mutable_certificate();
          result.emplace();
          result->der = std::move(*certificate.mutable_der());
          if (certificate.has_renew_time()) {
            result->renew_time = absl::FromUnixSeconds(certificate.renew_time().seconds());
          }
        }
        {
          base::MutexLock lock(&impl->mutex);
          impl->calls.erase(call.get());
        }
        done(std::move(result));
      });
}

void CountersignUpstream::Cancel() {
  base::MutexLock lock(&impl_->mutex);
  impl_->cancelled = true;
  for (UpstreamCall* call : impl_->calls) call->context->TryCancel();
}

}  // namespace countersign::sign
