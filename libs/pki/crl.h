// Certificate revocation lists (RFC 5280 section 5). Values and pure functions.
#ifndef COUNTERSIGN_LIBS_PKI_CRL_H_
#define COUNTERSIGN_LIBS_PKI_CRL_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "libs/crypto/algorithm.h"
#include "libs/pki/certificate.h"

namespace countersign::pki {

struct RevokedEntry {
  std::string serial;  // big-endian magnitude
  absl::Time revocation_time;
  int reason = 0;  // CRLReason; 0, unspecified, is left out of the encoding
};

struct CrlTemplate {
  crypto::Algorithm signature_algorithm = crypto::Algorithm::kEcdsaP256Sha256;
  std::string issuer_der;
  std::string authority_key_id;
  int64_t number = 1;
  absl::Time this_update;
  absl::Time next_update;
  // Of a shard: the URL of its certificates' CRL distribution point. Makes a critical
  // IssuingDistributionPoint with onlyContainsUserCerts false. Empty: a full CRL without one.
  std::string distribution_point;
  // In any order; the list is absent when empty.
  absl::Span<const RevokedEntry> revoked;
};

// The DER of the TBSCertList.
std::string BuildTbsCertList(const CrlTemplate& what);

struct Crl {
  std::string der;
  std::string tbs;
  std::string signature_algorithm;
  std::string signature;
  std::string issuer_der;
  std::string authority_key_id;
  absl::Time this_update;
  absl::Time next_update;
  int64_t number = 0;
  std::string distribution_point;  // the first URL of its issuingDistributionPoint
  bool only_user_certificates = false;
  bool only_ca_certificates = false;
  std::vector<RevokedEntry> revoked;
};

// The CRL in `der`, with nothing behind it: version 2 with a nextUpdate. InvalidArgument, saying
// where, when it is none or has a critical extension that is not understood.
absl::StatusOr<Crl> ParseCrl(absl::string_view der);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_CRL_H_
