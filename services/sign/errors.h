// The failures that callers of the service can switch on (AIP-193).
#ifndef COUNTERSIGN_SERVICES_SIGN_ERRORS_H_
#define COUNTERSIGN_SERVICES_SIGN_ERRORS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "libs/runtime/field_error.h"

namespace countersign::sign {

// ErrorInfo reasons.
inline constexpr char kKeyVersionDisabled[] = "KEY_VERSION_DISABLED";
inline constexpr char kKeyVersionDestroyed[] = "KEY_VERSION_DESTROYED";
inline constexpr char kWrongAlgorithm[] = "WRONG_ALGORITHM";
inline constexpr char kDecryptionFailed[] = "DECRYPTION_FAILED";
inline constexpr char kKeyExists[] = "KEY_EXISTS";
inline constexpr char kRequestIdReused[] = "REQUEST_ID_REUSED";
inline constexpr char kNoLedger[] = "NO_LEDGER";
inline constexpr char kNoYubikeyAgent[] = "NO_YUBIKEY_AGENT";
inline constexpr char kYubikeySessionRefused[] = "YUBIKEY_SESSION_REFUSED";
inline constexpr char kBackendRequired[] = "BACKEND_REQUIRED";
inline constexpr char kKeyOfAnotherTenant[] = "KEY_OF_ANOTHER_TENANT";
inline constexpr char kAuthorityExists[] = "AUTHORITY_EXISTS";
inline constexpr char kAuthorityDisabled[] = "AUTHORITY_DISABLED";
inline constexpr char kIssuerCannot[] = "ISSUER_CANNOT";
inline constexpr char kIssuerExpired[] = "ISSUER_EXPIRED";
inline constexpr char kSettingsFixed[] = "SETTINGS_FIXED";
inline constexpr char kLint[] = "LINT";
inline constexpr char kBadCsr[] = "BAD_CSR";
inline constexpr char kBadCsrSignature[] = "BAD_CSR_SIGNATURE";
inline constexpr char kWeakKey[] = "WEAK_KEY";
inline constexpr char kBadName[] = "BAD_NAME";
inline constexpr char kForbiddenName[] = "FORBIDDEN_NAME";
inline constexpr char kBadValidity[] = "BAD_VALIDITY";
inline constexpr char kProfile[] = "PROFILE";
inline constexpr char kKeyExportForbidden[] = "KEY_EXPORT_FORBIDDEN";
inline constexpr char kAlreadyRevoked[] = "ALREADY_REVOKED";
inline constexpr char kNotOurs[] = "NOT_OURS";

using ::countersign::runtime::FieldError;

// INVALID_ARGUMENT with one of the reasons above.
absl::Status ArgumentError(absl::string_view reason, absl::string_view message);

// FAILED_PRECONDITION with one of the reasons above.
absl::Status PreconditionError(absl::string_view reason, absl::string_view message);

// ALREADY_EXISTS with one of the reasons above.
absl::Status ExistsError(absl::string_view reason, absl::string_view message);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_ERRORS_H_
