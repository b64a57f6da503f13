// The certificates that make authorities: their own, cross-certificates, OCSP signers'.
//
// Pure functions, but for randomness and what a key on a card does; safe to use from any thread.
// Those that sign block for such a key: see SignAndAssemble.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_CERTIFICATES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_CERTIFICATES_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "countersign/sign/v1/certificates.pb.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/certificate_builder.h"
#include "services/sign/key_ring.h"

namespace countersign::sign {

// How far a new certificate's validity begins before it is made, for clocks that go wrong.
inline constexpr absl::Duration kBackdated = absl::Minutes(5);
// The life of an OCSP signer (RFC 6960 section 4.2.2.2.1: short, since it is not checked itself).
inline constexpr absl::Duration kOcspSignerLifetime = absl::Hours(30 * 24);

// Lints what `what` describes, signs it with `key`, and parses it. `issuer` is null for a
// self-signed one. InvalidArgument with reason LINT when it would break RFC 5280; nothing is signed
// then. Else as the key's signer answers.
absl::StatusOr<pki::Certificate> SignCertificate(const pki::CertificateTemplate& what,
                                                 const LiveKey& key,
                                                 const pki::Certificate* issuer);

// What an authority's chain lets it put below itself.
struct IssuerLimits {
  // The longest path length that a new authority may have; absent for no limit.
  std::optional<int64_t> path_length;
};

// Whether `chain`, an authority's certificate and its issuers' up to the root, may issue for an
// authority named `subject` at `now`. FailedPrecondition with reason ISSUER_CANNOT, saying why,
// when not: validity, key usage, path lengths, name constraints of the whole chain.
absl::StatusOr<IssuerLimits> CheckIssuer(absl::Span<const pki::Certificate> chain,
                                         const pki::Name& subject, absl::Time now);

// A template for an authority's certificate: serial number, subject, key, basic constraints, key
// usage, key identifiers; and from `issuer` (null for a root), whose settings are `settings`, the
// pointers to OCSP and CRLs. Validity and name constraints are left to the caller.
pki::CertificateTemplate AuthorityTemplate(const std::string& subject_der,
                                           const std::string& spki_der,
                                           std::optional<int64_t> path_length,
                                           const pki::Certificate* issuer,
                                           const v1::AuthoritySettings* settings);

// A delegated OCSP signer (RFC 6960 section 4.2.2.2).
struct OcspSigner {
  std::shared_ptr<const crypto::PrivateKey> key;
  pki::Certificate certificate;
};

// A new P-256 signer, whatever the authority's own key: every client verifies it, and nothing signs
// faster. Certified directly by `key`, that of `authority`, from `now` for kOcspSignerLifetime or
// until the authority's end.
absl::StatusOr<OcspSigner> MakeOcspSigner(const pki::Certificate& authority, const LiveKey& key,
                                          absl::Time now);

// DER elements one after the other, as columns `issuers` and `cross_certificates` hold them.
std::string JoinDer(absl::Span<const std::string> elements);
absl::StatusOr<std::vector<std::string>> SplitDer(absl::string_view joined);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITY_CERTIFICATES_H_
