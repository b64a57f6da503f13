// Another Countersign's CertificateService, for tests and benchmarks: real certificates, after a
// while.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_FAKE_AUTHORITY_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_FAKE_AUTHORITY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/base/mutex.h"

namespace countersign::sign {

// Thread-safe. Issues one certificate a request id, and answers the same when asked again. The
// answer comes after a delay that takes no thread.
class FakeAuthority final : public v1::CertificateService::CallbackService {
 public:
  FakeAuthority();
  ~FakeAuthority() override;

  void SetDelay(absl::Duration delay);

  grpc::ServerUnaryReactor* IssueCertificate(grpc::CallbackServerContext* context,
                                             const v1::IssueCertificateRequest* request,
                                             v1::IssueCertificateResponse* reply) override;

  // Calls, and the different request ids among them.
  int64_t calls() const;
  int64_t issued() const;

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

// A certification request for DNS names `host`, by one key for all.
std::string MakeTestCsr(const std::string& host);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_FAKE_AUTHORITY_H_
