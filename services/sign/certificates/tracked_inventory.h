// Takes what upstream authorities issue into the inventory.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_TRACKED_INVENTORY_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_TRACKED_INVENTORY_H_

#include "services/sign/certificates/issuance_queue.h"

namespace countersign::sign {

class CertificateStore;

// For IssuanceQueue::Options. A certificate is taken with its request's profile, owner,
// environment, labels, certification request and what it replaces; it is to be renewed when the
// authority said, else at two thirds of its life. FailedPrecondition when it is not for the key of
// the request, or is no certificate. `store` must outlive it.
IssuanceQueue::Track TrackInInventory(CertificateStore* store);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_TRACKED_INVENTORY_H_
