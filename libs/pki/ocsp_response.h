// OCSP responses taken apart and checked (RFC 6960 section 4.2): for clients and tests.
#ifndef COUNTERSIGN_LIBS_PKI_OCSP_RESPONSE_H_
#define COUNTERSIGN_LIBS_PKI_OCSP_RESPONSE_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/pki/certificate.h"
#include "libs/pki/ocsp_request.h"

namespace countersign::pki {

struct OcspResponse {
  struct Single {
    enum class Kind { kGood, kRevoked, kUnknown } kind = Kind::kUnknown;
    OcspHash hash = OcspHash::kSha1;
    std::string issuer_name_hash;
    std::string issuer_key_hash;
    std::string serial;
    absl::Time revocation_time = absl::InfinitePast();
    int reason = 0;
    absl::Time this_update;
    absl::Time next_update = absl::InfiniteFuture();  // absent
  };

  int response_status = 0;  // 0 successful, else an OcspError; then nothing below is set
  std::string tbs;
  std::string signature_algorithm;
  std::string signature;
  std::string responder_key_hash;  // one of the two is empty
  std::string responder_name_der;
  absl::Time produced_at;
  std::vector<Single> singles;
  std::string nonce;
  std::vector<std::string> certificates;  // DER
};

// InvalidArgument when `der` is not a response.
absl::StatusOr<OcspResponse> ParseOcspResponse(absl::string_view der);

// Whether it was signed by `issuer` or by a delegate of it whose certificate it carries, valid at
// `now`. FailedPrecondition, saying why, when not.
absl::Status CheckOcspResponse(const OcspResponse& response, const Certificate& issuer,
                               absl::Time now);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_OCSP_RESPONSE_H_
