// Certificates of other authorities, on their way into the inventory.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_FOREIGN_CERTIFICATES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_FOREIGN_CERTIFICATES_H_

#include <vector>

#include "absl/status/statusor.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "services/sign/certificates/certificate_store.h"

namespace countersign::sign {

// What `request` brings, in order; those of one PEM text follow each other. InvalidArgument, naming
// the field, when there is none, too many, or one does not parse. Pure.
absl::StatusOr<std::vector<NewCertificate>> ForeignCertificates(
    const v1::ImportCertificatesRequest& request);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_FOREIGN_CERTIFICATES_H_
