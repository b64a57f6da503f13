// Certification path validation (RFC 5280 section 6.1, without policies).
#ifndef COUNTERSIGN_LIBS_PKI_PATH_H_
#define COUNTERSIGN_LIBS_PKI_PATH_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/pki/certificate.h"

namespace countersign::pki {

// Checks `path`, a certificate and its issuers, the last one being trusted: signatures, names,
// validity at `now`, basic constraints, path lengths, key usage, name constraints, critical
// extensions. FailedPrecondition, saying which certificate and why, when it does not hold. Pure.
absl::Status CheckPath(absl::Span<const Certificate> path, absl::Time now);

// `leaf` and, of `pool`, its issuers in order, as far as they are there. Signatures are checked.
std::vector<Certificate> OrderChain(const Certificate& leaf, absl::Span<const Certificate> pool);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_PATH_H_
