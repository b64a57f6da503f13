// OCSP requests (RFC 6960 section 4.1). Pure functions over bytes; nothing allocates but where
// said.
#ifndef COUNTERSIGN_LIBS_PKI_OCSP_REQUEST_H_
#define COUNTERSIGN_LIBS_PKI_OCSP_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/pki/der.h"

namespace countersign::pki {

// The hashes that CertIDs are answered with.
enum class OcspHash : uint8_t { kSha1, kSha256, kSha384, kSha512 };

// A CertID; its views lie in the request.
struct OcspCertId {
  OcspHash hash = OcspHash::kSha1;
  bool known_hash = true;  // false: another algorithm, and `hash` means nothing
  absl::string_view issuer_name_hash;
  absl::string_view issuer_key_hash;
  // Big-endian magnitude without leading zeros; of a negative one its contents, which look like
  // another number's magnitude.
  absl::string_view serial;
  bool negative_serial = false;  // no certificate has one (RFC 5280 section 4.1.2.2)
  absl::string_view element;     // the CertID as it stands in the request
};

struct OcspRequest {
  // One CertID needs no allocation.
  absl::InlinedVector<OcspCertId, 1> cert_ids;
  // Contents of the nonce's inner OCTET STRING; empty and has_nonce false when there is none.
  absl::string_view nonce;
  bool has_nonce = false;
  bool has_signature = false;
  // Another extension that is critical: the request must not be answered (RFC 6960 section 4.4).
  bool unknown_critical_extension = false;
  // The preferred signature algorithms' (section 4.4.7) contents; empty for none.
  absl::string_view preferred_algorithms;
};

// The request in `der`. The views lie in `der`. InvalidArgument (malformedRequest) when it is not
// strict DER, has bytes behind it, no CertID, more than 1,000, another version than v1, or a nonce
// of 0 or more than 128 bytes (RFC 9654).
absl::StatusOr<OcspRequest> ParseOcspRequest(absl::string_view der);

// The bytes of a GET's path behind the responder's own: percent-decoded, then base64 (RFC 6960
// appendix A.1), into `*out`, without allocating when it has room. '+', '/' and '=' may come raw or
// encoded, a space stands for '+', leading slashes are passed over (no request begins with one),
// padding may lack. False when it is not base64.
bool DecodeOcspPath(absl::string_view path, std::string* out);

// A request for one certificate, with a nonce when that is not empty. For clients and tests.
std::string BuildOcspRequest(OcspHash hash, absl::string_view issuer_name_der,
                             absl::string_view issuer_key_bits, absl::string_view serial,
                             absl::string_view nonce = "");

// Digest of `data`: 20, 32, 48 or 64 bytes.
std::string OcspDigest(OcspHash hash, absl::string_view data);

// What requests and responses share: reading a CertID, its hash's AlgorithmIdentifier with NULL
// parameters as most clients write it (absent ones are read too), and the nonce Extension (RFC 9654
// section 2.1).
bool ReadOcspCertId(DerReader* in, OcspCertId* id);
absl::string_view OcspHashAlgorithmDer(OcspHash hash);
void WriteOcspNonce(absl::string_view nonce, DerWriter* out);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_OCSP_REQUEST_H_
