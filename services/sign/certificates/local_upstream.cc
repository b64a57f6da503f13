#include "services/sign/certificates/local_upstream.h"

#include <memory>
#include <utility>

#include "libs/base/thread_pool.h"

namespace countersign::sign {

void LocalUpstream::Issue(Task task, Done done) {
  const auto request = std::make_shared<v1::IssueCertificateRequest>(std::move(task.request));
  executor_->Schedule([this, request, done = std::move(done)]() mutable {
    issuing_->Issue(
        *request, /*call=*/nullptr,
        [done = std::move(done)](absl::StatusOr<v1::IssueCertificateResponse> response) {
          if (!response.ok()) return done(response.status());
          Issued issued;
          issued.certificate = std::move(*response->mutable_certificate()->mutable_name());
          done(std::move(issued));
        });
  });
}

}  // namespace countersign::sign
