// The public key of an X.509 certificate, and nothing else of it.
#ifndef COUNTERSIGN_LIBS_BUNDLE_CERTIFICATE_H_
#define COUNTERSIGN_LIBS_BUNDLE_CERTIFICATE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::bundle {

// The DER of the subjectPublicKeyInfo in the certificate `der` (RFC 5280 section 4.1). Walks to
// that field by its tags: whoever trusts the certificate itself checks its signature and names
// elsewhere. InvalidArgument when the outline is not a certificate's or bytes follow it.
absl::StatusOr<std::string> CertificateSpki(absl::string_view der);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_CERTIFICATE_H_
