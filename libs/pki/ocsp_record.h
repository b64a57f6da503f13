// What the suite keeps of a certificate for OCSP: its status and two signatures, not two responses.
//
// A response is its authority's fixed bytes, the serial number, the status, the times and a
// signature; so 1 million certificates with both hashes fit in a few hundred megabytes, and a
// response is put together by copying (ocsp_responder.h).
#ifndef COUNTERSIGN_LIBS_PKI_OCSP_RECORD_H_
#define COUNTERSIGN_LIBS_PKI_OCSP_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::pki {

// What is said of a certificate, and for how long. Times are seconds since 1970.
struct OcspStatus {
  absl::string_view serial;  // big-endian magnitude without leading zeros, 1 to 20 bytes
  bool revoked = false;
  int64_t revocation_time = 0;
  uint8_t reason = 0;       // CRLReason; 0 is left out of the response
  int64_t this_update = 0;  // also producedAt
  int64_t next_update = 0;
};

// An OcspStatus with its signatures over the responses for SHA-1 and SHA-256 CertIDs. Views lie in
// the packed bytes.
struct OcspRecord {
  OcspStatus status;
  int64_t not_after = 0;               // of the certificate: when it may be forgotten
  uint32_t signer_id = 0;              // whose signatures they are (ocsp_signers.signer_id)
  absl::string_view sha1_signature;    // empty: not signed yet
  absl::string_view sha256_signature;  // empty: not signed yet
};

// The packed form, about 60 bytes and the signatures. Grammar, integers big-endian:
//   record = version(1)=1 flags(1) serial_len(1) serial reason(1) revocation_time(8)
//            this_update(8) next_update(8) not_after(8) signer_id(4)
//            len(2) sha1_signature len(2) sha256_signature
// flags: 1 revoked.
void AppendOcspRecord(const OcspRecord& record, std::string* out);
std::string PackOcspRecord(const OcspRecord& record);

// Its inverse; the record's views lie in `packed`. DataLoss when it is malformed or bytes follow.
absl::StatusOr<OcspRecord> UnpackOcspRecord(absl::string_view packed);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_OCSP_RECORD_H_
