// Issues certificates: from a request to something durable.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUING_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUING_H_

#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "services/sign/ledger_client.h"

namespace countersign::sign {

// Thread-safe. The seam between those who want certificates (the gRPC service, the queue) and the
// authority that makes them.
class Issuing {
 public:
  using Done = std::function<void(absl::StatusOr<v1::IssueCertificateResponse>)>;

  virtual ~Issuing() = default;

  // Issues one certificate as the contract says of IssueCertificate. Calls `done` once, from any
  // thread, when the certificate is durable. `request` is used only until Issue returns.
  virtual void Issue(const v1::IssueCertificateRequest& request, Call call, Done done) = 0;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUING_H_
