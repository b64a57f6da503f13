// From a request to a certificate that lacks nothing but its signature.
//
// Values and pure functions, but for randomness; safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "libs/pki/certificate.h"
#include "libs/pki/weak_keys.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/profiles.h"

namespace countersign::sign {

// An authority, and what all that it issues has of it. Immutable.
struct IssuingAuthority {
  std::shared_ptr<const LiveAuthority> live;
  // Its certificate and its issuers' up to the root, DER.
  std::vector<std::string> chain;
  // Those of the chain that are not empty.
  std::vector<pki::NameConstraints> name_constraints;
  // When all of the chain is valid.
  Validity validity;
  // OK, or FailedPrecondition saying why it issues nothing, or no authorities.
  absl::Status may_issue;
  absl::Status may_issue_authorities;
};

// DataLoss when a certificate of the chain does not parse.
absl::StatusOr<std::shared_ptr<const IssuingAuthority>> MakeIssuingAuthority(
    std::shared_ptr<const LiveAuthority> live);

// A certificate in the making.
struct Issuance {
  pki::Certificate certificate;  // unsigned: with neither `der` nor `signature`
  std::string csr;               // DER
  absl::Time renew_time;
  int64_t crl_shard = 0;
};

// Whether the fields of a request are well-formed, whatever the authority: InvalidArgument, naming
// the field. The certification request itself is not looked into.
absl::Status CheckIssueRequest(const v1::IssueCertificateRequest& request);

// Checks all that the contract says of IssueCertificate, and makes what is to be signed. Fails as
// it says there, nothing having been signed. `request` has passed CheckIssueRequest.
absl::StatusOr<Issuance> PrepareIssuance(const v1::IssueCertificateRequest& request,
                                         const IssuingAuthority& authority,
                                         const pki::WeakKeys& weak_keys, absl::Time now);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_ISSUANCE_H_
