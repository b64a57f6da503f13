// RFC 5280's MUSTs as checks over a certificate that is about to be signed.
#ifndef COUNTERSIGN_LIBS_PKI_LINT_H_
#define COUNTERSIGN_LIBS_PKI_LINT_H_

#include "absl/status/status.h"
#include "libs/pki/certificate.h"

namespace countersign::pki {

// OK, or InvalidArgument with everything that is wrong, each with the section that it breaks. The
// signature is not looked at; `issuer` is null for a self-signed certificate. Pure.
absl::Status LintCertificate(const Certificate& certificate, const Certificate* issuer);

// The TBSCertificate `tbs` with an empty signature, as ParseCertificate takes it: what is linted
// before anything is signed.
absl::StatusOr<Certificate> ParseTbsCertificate(absl::string_view tbs);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_LINT_H_
