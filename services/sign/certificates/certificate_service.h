// The contract's CertificateService over the domain: translates, and keeps work off gRPC's threads.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_SERVICE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_SERVICE_H_

#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/certificate_metrics.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/issuer.h"
#include "services/sign/certificates/revocation.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

// Thread-safe. A certificate is checked and signed on the executor; its call is then answered by
// the thread that made it durable.
class CertificateService final : public v1::CertificateService::CallbackService {
 public:
  struct Options {
    Issuer* issuer;
    CertificateStore* certificates;
    Authorities* authorities;
    Revocation* revocation;
    base::ThreadPool* executor;
    CertificateMetrics* metrics = nullptr;  // null for none
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive every call.
  explicit CertificateService(const Options& options) : options_(options) {}

  grpc::ServerUnaryReactor* IssueCertificate(grpc::CallbackServerContext* context,
                                             const v1::IssueCertificateRequest* request,
                                             v1::IssueCertificateResponse* reply) override;
  grpc::ServerUnaryReactor* BatchIssueCertificates(
      grpc::CallbackServerContext* context, const v1::BatchIssueCertificatesRequest* request,
      v1::BatchIssueCertificatesResponse* reply) override;
  grpc::ServerUnaryReactor* GetCertificate(grpc::CallbackServerContext* context,
                                           const v1::GetCertificateRequest* request,
                                           v1::GetCertificateResponse* reply) override;
  grpc::ServerUnaryReactor* ListCertificates(grpc::CallbackServerContext* context,
                                             const v1::ListCertificatesRequest* request,
                                             v1::ListCertificatesResponse* reply) override;
  grpc::ServerUnaryReactor* RevokeCertificate(grpc::CallbackServerContext* context,
                                              const v1::RevokeCertificateRequest* request,
                                              v1::RevokeCertificateResponse* reply) override;
  grpc::ServerUnaryReactor* BatchRevokeCertificates(
      grpc::CallbackServerContext* context, const v1::BatchRevokeCertificatesRequest* request,
      v1::BatchRevokeCertificatesResponse* reply) override;
  grpc::ServerUnaryReactor* ReleaseCertificate(grpc::CallbackServerContext* context,
                                               const v1::ReleaseCertificateRequest* request,
                                               v1::ReleaseCertificateResponse* reply) override;
  grpc::ServerUnaryReactor* BulkUpdateCertificates(
      grpc::CallbackServerContext* context, const v1::BulkUpdateCertificatesRequest* request,
      v1::BulkUpdateCertificatesResponse* reply) override;
  grpc::ServerUnaryReactor* ImportCertificates(grpc::CallbackServerContext* context,
                                               const v1::ImportCertificatesRequest* request,
                                               v1::ImportCertificatesResponse* reply) override;

 private:
  // Runs `method` on the executor, and answers with what it returns.
  template <typename Response, typename Method>
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context,
                                CertificateOperation operation, Response* reply, Method method);
  void Observe(CertificateOperation operation, const absl::Status& status,
               const Stopwatch& stopwatch) const;
  absl::StatusOr<v1::GetCertificateResponse> Get(const v1::GetCertificateRequest& request);
  absl::StatusOr<v1::ImportCertificatesResponse> Import(
      const v1::ImportCertificatesRequest& request);

  const Options options_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_SERVICE_H_
