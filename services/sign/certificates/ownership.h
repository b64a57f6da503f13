// Whose a certificate is, and where it is used.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_OWNERSHIP_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_OWNERSHIP_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace countersign::sign {

// OK for an owner of at most 128 bytes and an environment of at most 64, without control
// characters; else InvalidArgument, naming field `owner_team` or `environment`. Pure.
absl::Status CheckOwnership(absl::string_view owner_team, absl::string_view environment);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_OWNERSHIP_H_
