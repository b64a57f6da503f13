// AuthoritySettings: what may be set, and what is meant where nothing is.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_SETTINGS_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_SETTINGS_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/certificates.pb.h"
#include "libs/pki/general_name.h"

namespace countersign::sign {

// `settings` with the contract's defaults filled in. InvalidArgument, naming the field below
// `field` ("authority.settings"), for what the contract does not allow: URLs that are no http(s)
// URLs, a crl_url without {shard} for several shards, lives out of bounds (a CRL's 1 hour to 400
// days, an OCSP response's 10 minutes to 10 days, caches' at most that), malformed subtrees.
absl::StatusOr<v1::AuthoritySettings> CompleteSettings(absl::string_view field,
                                                       const v1::AuthoritySettings& settings);

// The NameConstraints that permitted_names and excluded_names spell. Errors as above.
absl::StatusOr<pki::NameConstraints> ConstraintsOf(absl::string_view field,
                                                   const v1::AuthoritySettings& settings);

absl::Duration ToDuration(const google::protobuf::Duration& duration);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_SETTINGS_H_
