// What each certificate profile allows, requires and adds.
//
// Constants and pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_PROFILES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_PROFILES_H_

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/certificates.pb.h"
#include "libs/crypto/public_key.h"
#include "libs/pki/certificate_builder.h"
#include "libs/pki/general_name.h"
#include "libs/pki/name.h"

namespace countersign::sign {

// The kinds of alternative names, as bits.
enum NameKinds : uint8_t {
  kNoNames = 0,
  kDnsNames = 1 << 0,
  kIpNames = 1 << 1,
  kEmailNames = 1 << 2,
  kUriNames = 1 << 3,
};

// What names a certificate has to have.
enum class NeededName {
  kAlternativeName,
  kCommonName,
  kSubject,  // any attribute
  kSubjectOrAlternativeName,
};

struct ProfileRules {
  v1::CertificateProfile profile;
  absl::string_view name;  // as the command line spells it
  absl::Duration default_lifetime;
  absl::Duration max_lifetime;  // InfiniteDuration: as long as the issuer's
  uint8_t name_kinds;           // NameKinds that it may have
  NeededName needs;
  // Whether a common name has to be one of the alternative names, and is left out when it is not
  // (CA/Browser Forum Baseline Requirements 7.1.4.3).
  bool common_name_is_alternative;
  int min_rsa_bits;
  uint16_t key_usage;                                   // pki::KeyUsageBit
  uint16_t rsa_key_usage;                               // beside those, of RSA keys
  std::array<absl::string_view, 2> extended_key_usage;  // OID contents; empty: none
  bool ca;
  // Whether it points to the authority's OCSP service and CRLs.
  bool points_to_status;
  bool ocsp_no_check;
};

// Null for a profile that is not issued for requests: UNSPECIFIED, ROOT_CA, an unknown one.
const ProfileRules* FindProfile(v1::CertificateProfile profile);

// OK when a key of this type and size may have such a certificate; else InvalidArgument with reason
// PROFILE.
absl::Status CheckKey(const ProfileRules& rules, const crypto::PublicKey& key);

// Brings a request's names into the form that the profile wants: host names in lower case, each
// name once, a common name only as the rules have it. InvalidArgument with reason BAD_NAME for a
// name that is malformed, with reason PROFILE for one that is missing or of a kind that is not
// allowed.
absl::Status FitNames(const ProfileRules& rules, pki::Name* subject,
                      std::vector<pki::GeneralName>* names);

struct Validity {
  absl::Time not_before;
  absl::Time not_after;  // the last second
};

// What a request asks for, and what there is to give. Whole seconds.
struct ValidityRequest {
  absl::Duration lifetime;               // zero: the profile's usual one
  std::optional<absl::Time> not_before;  // absent: some minutes ago
  absl::Time now;
  Validity issuer;  // of the chain
};

// InvalidArgument with reason BAD_VALIDITY for one that is too long, over already, begins too early
// or too late, or does not lie within the issuer's; the usual life is cut to fit.
absl::StatusOr<Validity> FitValidity(const ProfileRules& rules, const ValidityRequest& request);

// Sets what the profile decides of a certificate for `key`: basic constraints, key usages,
// no-check.
void ApplyRules(const ProfileRules& rules, crypto::KeyType key, pki::CertificateTemplate* what);

// When the owner of a certificate should renew it: in a window around two thirds of its life, at
// the `where`-th part of it, 0 to 1 (RFC 9773 section 4.1 has clients spread over such a window).
absl::Time RenewTime(const Validity& validity, double where);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_PROFILES_H_
