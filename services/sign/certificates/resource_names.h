// Names of authorities and certificates (AIP-122).
//
// Pure functions and values, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RESOURCE_NAMES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RESOURCE_NAMES_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::sign {

// `tenants/{tenant}/authorities/{id}`.
struct AuthorityName {
  std::string tenant;
  std::string id;

  std::string ToString() const;
};

// `tenants/{tenant}/certificates/{id}`.
struct CertificateName {
  std::string tenant;
  std::string id;

  std::string ToString() const;
};

// InvalidArgument, naming `field`, for anything else than the one spelling of a name: an
// authority's id is as a key's; a certificate's is a serial number in lower-case hex without
// leading zeros, or `fp-` and a SHA-256 in hex.
absl::StatusOr<AuthorityName> ParseAuthorityName(absl::string_view field, absl::string_view name);
absl::StatusOr<CertificateName> ParseCertificateName(absl::string_view field,
                                                     absl::string_view name);

// Lower-case hex without leading zeros of a big-endian magnitude: "0" for none.
std::string SerialHex(absl::string_view serial);
// Its inverse, which takes upper case and leading zeros. InvalidArgument, naming `field`, for what
// is no hex number of at most 20 bytes.
absl::StatusOr<std::string> ParseSerialHex(absl::string_view field, absl::string_view hex);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_RESOURCE_NAMES_H_
