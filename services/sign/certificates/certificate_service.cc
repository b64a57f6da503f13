#include "services/sign/certificates/certificate_service.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>
#include <vector>

#include "libs/base/status_macros.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/call.h"
#include "services/sign/certificates/foreign_certificates.h"

namespace countersign::sign {
namespace {

// OK, or why it is not worth beginning: a call that waited for the executor.
absl::Status CheckWanted(const grpc::CallbackServerContext& context) {
  if (context.IsCancelled()) {
    return absl::CancelledError("the caller gave up while the call was queued");
  }
  if (context.deadline() < std::chrono::system_clock::now()) {
    return absl::DeadlineExceededError("the deadline passed while the call was queued");
  }
  return absl::OkStatus();
}

}  // namespace

void CertificateService::Observe(CertificateOperation operation, const absl::Status& status,
                                 const Stopwatch& stopwatch) const {
  if (options_.metrics == nullptr) return;
  options_.metrics->Observe(operation, status.code(), stopwatch.Elapsed());
}

template <typename Response, typename Method>
grpc::ServerUnaryReactor* CertificateService::Run(grpc::CallbackServerContext* context,
                                                  CertificateOperation operation, Response* reply,
                                                  Method method) {
  const Stopwatch stopwatch;
  return runtime::RunUnary(
      context, options_.executor,
      [this, operation, reply, stopwatch, method = std::move(method)]() -> absl::Status {
        absl::StatusOr<Response> response = method();
        Observe(operation, response.status(), stopwatch);
        if (!response.ok()) return response.status();
        *reply = *std::move(response);
        return absl::OkStatus();
      });
}

grpc::ServerUnaryReactor* CertificateService::IssueCertificate(
    grpc::CallbackServerContext* context, const v1::IssueCertificateRequest* request,
    v1::IssueCertificateResponse* reply) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const Stopwatch stopwatch;
  options_.executor->Schedule([this, context, request, reply, reactor, stopwatch] {
    if (const absl::Status wanted = CheckWanted(*context); !wanted.ok()) {
      return runtime::FinishCall(context, reactor, wanted);
    }
    options_.issuer->Issue(*request, context,
                           [this, context, reply, reactor,
                            stopwatch](absl::StatusOr<v1::IssueCertificateResponse> response) {
                             const CertificateOperation operation = CertificateOperation::kIssue;
                             Observe(operation, response.status(), stopwatch);
                             if (response.ok()) *reply = *std::move(response);
                             runtime::FinishCall(context, reactor, response.status());
                           });
  });
  return reactor;
}

grpc::ServerUnaryReactor* CertificateService::BatchIssueCertificates(
    grpc::CallbackServerContext* context, const v1::BatchIssueCertificatesRequest* request,
    v1::BatchIssueCertificatesResponse* reply) {
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  const Stopwatch stopwatch;
  options_.executor->Schedule([this, context, request, reply, reactor, stopwatch] {
    if (const absl::Status wanted = CheckWanted(*context); !wanted.ok()) {
      return runtime::FinishCall(context, reactor, wanted);
    }
    options_.issuer->IssueBatch(
        *request, [this, context, reply, reactor,
                   stopwatch](absl::StatusOr<v1::BatchIssueCertificatesResponse> response) {
          Observe(CertificateOperation::kBatchIssue, response.status(), stopwatch);
          if (response.ok()) *reply = *std::move(response);
          runtime::FinishCall(context, reactor, response.status());
        });
  });
  return reactor;
}

absl::StatusOr<v1::GetCertificateResponse> CertificateService::Get(
    const v1::GetCertificateRequest& request) {
  v1::GetCertificateResponse response;
  ASSIGN_OR_RETURN(*response.mutable_certificate(), options_.certificates->Get(request.name()));
  const std::string& authority = response.certificate().authority();
  if (authority.empty()) return response;
  v1::GetAuthorityRequest get;
  get.set_name(authority);
  ASSIGN_OR_RETURN(v1::GetAuthorityResponse found, options_.authorities->GetAuthority(get));
  response.mutable_issuers()->Swap(found.mutable_authority()->mutable_chain());
  return response;
}

absl::StatusOr<v1::ImportCertificatesResponse> CertificateService::Import(
    const v1::ImportCertificatesRequest& request) {
  ASSIGN_OR_RETURN(const std::vector<NewCertificate> foreign, ForeignCertificates(request));
  ASSIGN_OR_RETURN(std::vector<v1::Certificate> certificates,
                   options_.certificates->Import(foreign));
  v1::ImportCertificatesResponse response;
  for (v1::Certificate& certificate : certificates) {
    response.add_certificates()->Swap(&certificate);
  }
  return response;
}

grpc::ServerUnaryReactor* CertificateService::GetCertificate(
    grpc::CallbackServerContext* context, const v1::GetCertificateRequest* request,
    v1::GetCertificateResponse* reply) {
  return Run(context, CertificateOperation::kGet, reply, [this, request] { return Get(*request); });
}

grpc::ServerUnaryReactor* CertificateService::ListCertificates(
    grpc::CallbackServerContext* context, const v1::ListCertificatesRequest* request,
    v1::ListCertificatesResponse* reply) {
  return Run(context, CertificateOperation::kList, reply,
             [this, request] { return options_.certificates->List(*request); });
}

grpc::ServerUnaryReactor* CertificateService::RevokeCertificate(
    grpc::CallbackServerContext* context, const v1::RevokeCertificateRequest* request,
    v1::RevokeCertificateResponse* reply) {
  return Run(context, CertificateOperation::kRevoke, reply,
             [this, request] { return options_.revocation->Revoke(*request); });
}

grpc::ServerUnaryReactor* CertificateService::BatchRevokeCertificates(
    grpc::CallbackServerContext* context, const v1::BatchRevokeCertificatesRequest* request,
    v1::BatchRevokeCertificatesResponse* reply) {
  return Run(context, CertificateOperation::kRevoke, reply,
             [this, request] { return options_.revocation->BatchRevoke(*request); });
}

grpc::ServerUnaryReactor* CertificateService::ReleaseCertificate(
    grpc::CallbackServerContext* context, const v1::ReleaseCertificateRequest* request,
    v1::ReleaseCertificateResponse* reply) {
  return Run(context, CertificateOperation::kRelease, reply,
             [this, request] { return options_.revocation->Release(*request); });
}

grpc::ServerUnaryReactor* CertificateService::BulkUpdateCertificates(
    grpc::CallbackServerContext* context, const v1::BulkUpdateCertificatesRequest* request,
    v1::BulkUpdateCertificatesResponse* reply) {
  return Run(context, CertificateOperation::kBulkUpdate, reply,
             [this, request] { return options_.certificates->BulkUpdate(*request); });
}

grpc::ServerUnaryReactor* CertificateService::ImportCertificates(
    grpc::CallbackServerContext* context, const v1::ImportCertificatesRequest* request,
    v1::ImportCertificatesResponse* reply) {
  return Run(context, CertificateOperation::kImport, reply,
             [this, request] { return Import(*request); });
}

}  // namespace countersign::sign
