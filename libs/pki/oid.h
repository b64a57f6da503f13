// Object identifiers that PKIX needs, as the contents of their OBJECT IDENTIFIER, and their text.
//
// Constants and pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_OID_H_
#define COUNTERSIGN_LIBS_PKI_OID_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::pki {

// Whether `contents` are those of an OBJECT IDENTIFIER: at least one number, each in its shortest
// form and below 2^128.
bool IsOid(absl::string_view contents);
// "1.2.840.113549" of contents for which IsOid holds.
std::string FormatOid(absl::string_view contents);
// Its inverse. InvalidArgument for anything else than numbers below 2^128 between dots.
absl::StatusOr<std::string> ParseOid(absl::string_view text);

// The contents in a literal, which may hold zero bytes.
template <size_t N>
constexpr absl::string_view OidContents(const char (&contents)[N]) {
  return absl::string_view(contents, N - 1);
}

// Attributes of names (RFC 4519, RFC 5280 appendix A).
inline constexpr auto kOidCommonName = OidContents("\x55\x04\x03");
inline constexpr auto kOidSurname = OidContents("\x55\x04\x04");
inline constexpr auto kOidSerialNumber = OidContents("\x55\x04\x05");
inline constexpr auto kOidCountry = OidContents("\x55\x04\x06");
inline constexpr auto kOidLocality = OidContents("\x55\x04\x07");
inline constexpr auto kOidState = OidContents("\x55\x04\x08");
inline constexpr auto kOidStreet = OidContents("\x55\x04\x09");
inline constexpr auto kOidOrganization = OidContents("\x55\x04\x0A");
inline constexpr auto kOidOrganizationalUnit = OidContents("\x55\x04\x0B");
inline constexpr auto kOidTitle = OidContents("\x55\x04\x0C");
inline constexpr auto kOidBusinessCategory = OidContents("\x55\x04\x0F");
inline constexpr auto kOidPostalCode = OidContents("\x55\x04\x11");
inline constexpr auto kOidGivenName = OidContents("\x55\x04\x2A");
inline constexpr auto kOidInitials = OidContents("\x55\x04\x2B");
inline constexpr auto kOidGenerationQualifier = OidContents("\x55\x04\x2C");
inline constexpr auto kOidDnQualifier = OidContents("\x55\x04\x2E");
inline constexpr auto kOidPseudonym = OidContents("\x55\x04\x41");
inline constexpr auto kOidOrganizationIdentifier = OidContents("\x55\x04\x61");
inline constexpr auto kOidEmailAddress = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x09\x01");
inline constexpr auto kOidDomainComponent = OidContents("\x09\x92\x26\x89\x93\xF2\x2C\x64\x01\x19");
inline constexpr auto kOidUserId = OidContents("\x09\x92\x26\x89\x93\xF2\x2C\x64\x01\x01");

// Extensions of certificates and CRLs (RFC 5280 sections 4.2 and 5.2).
inline constexpr auto kOidSubjectKeyId = OidContents("\x55\x1D\x0E");
inline constexpr auto kOidKeyUsage = OidContents("\x55\x1D\x0F");
inline constexpr auto kOidSubjectAltName = OidContents("\x55\x1D\x11");
inline constexpr auto kOidIssuerAltName = OidContents("\x55\x1D\x12");
inline constexpr auto kOidBasicConstraints = OidContents("\x55\x1D\x13");
inline constexpr auto kOidCrlNumber = OidContents("\x55\x1D\x14");
inline constexpr auto kOidCrlReason = OidContents("\x55\x1D\x15");
inline constexpr auto kOidInvalidityDate = OidContents("\x55\x1D\x18");
inline constexpr auto kOidDeltaCrlIndicator = OidContents("\x55\x1D\x1B");
inline constexpr auto kOidIssuingDistributionPoint = OidContents("\x55\x1D\x1C");
inline constexpr auto kOidCertificateIssuer = OidContents("\x55\x1D\x1D");
inline constexpr auto kOidNameConstraints = OidContents("\x55\x1D\x1E");
inline constexpr auto kOidCrlDistributionPoints = OidContents("\x55\x1D\x1F");
inline constexpr auto kOidCertificatePolicies = OidContents("\x55\x1D\x20");
inline constexpr auto kOidPolicyMappings = OidContents("\x55\x1D\x21");
inline constexpr auto kOidAuthorityKeyId = OidContents("\x55\x1D\x23");
inline constexpr auto kOidPolicyConstraints = OidContents("\x55\x1D\x24");
inline constexpr auto kOidExtendedKeyUsage = OidContents("\x55\x1D\x25");
inline constexpr auto kOidFreshestCrl = OidContents("\x55\x1D\x2E");
inline constexpr auto kOidInhibitAnyPolicy = OidContents("\x55\x1D\x36");
inline constexpr auto kOidAuthorityInfoAccess = OidContents("\x2B\x06\x01\x05\x05\x07\x01\x01");
inline constexpr auto kOidTlsFeature = OidContents("\x2B\x06\x01\x05\x05\x07\x01\x18");
// RFC 6962 section 3.3.
inline constexpr auto kOidSctList = OidContents("\x2B\x06\x01\x04\x01\xD6\x79\x02\x04\x02");

// Access methods (RFC 5280 section 4.2.2.1).
inline constexpr auto kOidAccessOcsp = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01");
inline constexpr auto kOidAccessCaIssuers = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x02");

// Extended key usages (RFC 5280 section 4.2.1.12, RFC 6960 section 4.2.2.2).
inline constexpr auto kOidAnyExtendedKeyUsage = OidContents("\x55\x1D\x25\x00");
inline constexpr auto kOidServerAuth = OidContents("\x2B\x06\x01\x05\x05\x07\x03\x01");
inline constexpr auto kOidClientAuth = OidContents("\x2B\x06\x01\x05\x05\x07\x03\x02");
inline constexpr auto kOidCodeSigning = OidContents("\x2B\x06\x01\x05\x05\x07\x03\x03");
inline constexpr auto kOidEmailProtection = OidContents("\x2B\x06\x01\x05\x05\x07\x03\x04");
inline constexpr auto kOidTimeStamping = OidContents("\x2B\x06\x01\x05\x05\x07\x03\x08");
inline constexpr auto kOidOcspSigning = OidContents("\x2B\x06\x01\x05\x05\x07\x03\x09");

// OCSP (RFC 6960 section 4.4, RFC 9654).
inline constexpr auto kOidOcspBasic = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x01");
inline constexpr auto kOidOcspNonce = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x02");
inline constexpr auto kOidOcspNoCheck = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x05");
inline constexpr auto kOidOcspArchiveCutoff = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x06");
inline constexpr auto kOidOcspServiceLocator = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x07");
inline constexpr auto kOidOcspPreferredSignatures =
    OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x08");
inline constexpr auto kOidOcspExtendedRevoke = OidContents("\x2B\x06\x01\x05\x05\x07\x30\x01\x09");

// Hashes, keys and signatures (RFC 3279, 4055, 5480, 5758, 8410).
inline constexpr auto kOidSha1 = OidContents("\x2B\x0E\x03\x02\x1A");
inline constexpr auto kOidSha256 = OidContents("\x60\x86\x48\x01\x65\x03\x04\x02\x01");
inline constexpr auto kOidSha384 = OidContents("\x60\x86\x48\x01\x65\x03\x04\x02\x02");
inline constexpr auto kOidSha512 = OidContents("\x60\x86\x48\x01\x65\x03\x04\x02\x03");
inline constexpr auto kOidRsaEncryption = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x01");
inline constexpr auto kOidRsaSha256 = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0B");
inline constexpr auto kOidRsaSha384 = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0C");
inline constexpr auto kOidRsaSha512 = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0D");
inline constexpr auto kOidRsaPss = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x01\x0A");
inline constexpr auto kOidEcPublicKey = OidContents("\x2A\x86\x48\xCE\x3D\x02\x01");
inline constexpr auto kOidP256 = OidContents("\x2A\x86\x48\xCE\x3D\x03\x01\x07");
inline constexpr auto kOidP384 = OidContents("\x2B\x81\x04\x00\x22");
inline constexpr auto kOidEcdsaSha256 = OidContents("\x2A\x86\x48\xCE\x3D\x04\x03\x02");
inline constexpr auto kOidEcdsaSha384 = OidContents("\x2A\x86\x48\xCE\x3D\x04\x03\x03");
inline constexpr auto kOidEd25519 = OidContents("\x2B\x65\x70");

// Attributes of certification requests (RFC 2985 section 5.4).
inline constexpr auto kOidChallengePassword = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x09\x07");
inline constexpr auto kOidExtensionRequest = OidContents("\x2A\x86\x48\x86\xF7\x0D\x01\x09\x0E");

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_OID_H_
