// What a renewal asks for: the certificate that there is, once more.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWAL_REQUEST_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWAL_REQUEST_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "countersign/sign/v1/issuance_service.pb.h"
#include "libs/storage/database.h"
#include "services/sign/certificates/queue_names.h"

namespace countersign::sign {

// Makes the requests of one claim. They depend only on what never changes of a certificate and on
// what the renewal took down when it was started, so that a repeated one is the same request.
class RenewalRequests {
 public:
  // The certificates that those of `renewal` which run under `claim` replace.
  static absl::StatusOr<RenewalRequests> Read(storage::Transaction& transaction,
                                              const ResourceId& renewal, const std::string& claim);

  struct Item {
    std::string replaces;  // certificate id
    std::string owner_team;
    std::string environment;
    std::string labels;  // JSON, as in the table
    bool local = false;  // issued by the certificate's own authority
  };
  // FailedPrecondition when the certificate was revoked since, has no certification request or, for
  // a local one, no authority of this service.
  absl::StatusOr<v1::IssueCertificateRequest> Make(const Item& item) const;

 private:
  struct Replaced {
    std::string authority;
    int64_t profile = 0;
    int64_t status = 0;
    std::string subject;
    std::string der;
    std::string csr;
  };

  std::string tenant_;
  v1::StartRenewalRequest start_;
  std::map<std::string, Replaced> certificates_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RENEWAL_REQUEST_H_
