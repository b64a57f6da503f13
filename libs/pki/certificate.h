// X.509 certificates (RFC 5280 section 4), parsed strictly.
//
// Values and pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PKI_CERTIFICATE_H_
#define COUNTERSIGN_LIBS_PKI_CERTIFICATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/crypto/public_key.h"
#include "libs/pki/general_name.h"
#include "libs/pki/name.h"

namespace countersign::pki {

// Bits of the KeyUsage extension, by their number in RFC 5280 section 4.2.1.3.
enum KeyUsageBit : uint16_t {
  kDigitalSignature = 1 << 0,
  kContentCommitment = 1 << 1,
  kKeyEncipherment = 1 << 2,
  kDataEncipherment = 1 << 3,
  kKeyAgreement = 1 << 4,
  kKeyCertSign = 1 << 5,
  kCrlSign = 1 << 6,
  kEncipherOnly = 1 << 7,
  kDecipherOnly = 1 << 8,
};

struct Extension {
  std::string oid;  // contents of the OBJECT IDENTIFIER
  bool critical = false;
  std::string value;  // contents of the OCTET STRING
};

struct BasicConstraints {
  bool ca = false;
  std::optional<int64_t> path_length;
};

// What the extensions of a certificate say, those that are understood. `others` keeps the rest.
struct Extensions {
  std::optional<BasicConstraints> basic_constraints;
  std::optional<uint16_t> key_usage;            // KeyUsageBit
  std::vector<std::string> extended_key_usage;  // OID contents, in order; empty: absent
  std::vector<GeneralName> subject_alt_names;   // empty: absent
  std::optional<NameConstraints> name_constraints;
  std::string subject_key_id;
  std::string authority_key_id;
  std::vector<std::string> ocsp_urls;
  std::vector<std::string> issuer_urls;
  std::vector<std::string> crl_urls;  // of distribution points without reasons
  std::vector<std::string> policies;  // OID contents
  bool ocsp_no_check = false;
  std::vector<Extension> others;
  // Every extension as it stands, in order.
  std::vector<Extension> all;

  bool HasExtendedKeyUsage(absl::string_view oid) const;
};

// A certificate's fields; `der` is the whole of it, and the views of it are copies.
struct Certificate {
  std::string der;
  std::string tbs;  // the TBSCertificate element
  int version = 3;
  std::string serial;               // big-endian magnitude without leading zeros
  std::string signature_algorithm;  // AlgorithmIdentifier, the same inside and outside
  std::string signature;
  std::string issuer_der;  // Name elements
  std::string subject_der;
  Name issuer;
  Name subject;
  absl::Time not_before;
  absl::Time not_after;  // the last second that is valid
  std::string spki_der;
  std::string key_bits;  // contents of subjectPublicKey: what key hashes are taken of
  Extensions extensions;

  // The key, when it is of a kind that the suite knows.
  absl::StatusOr<crypto::PublicKey> Key() const;
  // Whether `issuer` has signed it: names chain and the signature holds. FailedPrecondition with
  // the reason when not.
  absl::Status CheckIssuedBy(const Certificate& issuer) const;
  bool IsSelfIssued() const { return issuer_der == subject_der; }
  // SHA-256 of `der`, 32 bytes.
  std::string Fingerprint() const;
  std::string SerialHex() const;
};

// The certificate in `der`, with nothing behind it. InvalidArgument, saying where, for what is not
// the DER of a certificate: an extension twice, an understood extension that does not parse, a
// negative serial number or one longer than 20 bytes, times in other forms than RFC 5280 asks.
absl::StatusOr<Certificate> ParseCertificate(absl::string_view der);

// DER, or PEM with exactly one certificate.
absl::StatusOr<Certificate> ParseCertificateDerOrPem(absl::string_view bytes);

// Validity as a certificate spells it: UTCTime until 2049, GeneralizedTime from 2050 on (RFC 5280
// section 4.1.2.5), in whole seconds. WriteGeneralizedTime is for CRLs and OCSP.
void WriteTime(absl::Time time, DerWriter* out);
void WriteGeneralizedTime(absl::Time time, DerWriter* out);
// Either form, with seconds and Z. False for anything else.
bool ReadTime(DerReader* in, absl::Time* time);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_CERTIFICATE_H_
