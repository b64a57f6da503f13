// An authority with many certificates, as the OCSP service finds it in the database of the sign
// service (services/sign/FORMAT.md): real keys, a delegated signer, records that are signed.
#ifndef COUNTERSIGN_BENCHMARKS_OCSP_DATABASE_H_
#define COUNTERSIGN_BENCHMARKS_OCSP_DATABASE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/ocsp_record.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_responder.h"

namespace countersign::bench {

// Immutable and thread-safe.
class OcspDatabase {
 public:
  static constexpr int64_t kAuthorityId = 1;
  static constexpr uint32_t kSignerId = 1;

  // Signs for `certificates` of them, every tenth revoked, on all cores. Responses are good from a
  // minute ago for four days, nonces are answered.
  static absl::StatusOr<std::unique_ptr<const OcspDatabase>> Create(int64_t certificates);

  // Makes the sign service's tables in the empty database at `url` and fills those that OCSP reads;
  // the signer's key is sealed under `kek`.
  absl::Status Fill(const std::string& url, const crypto::Kek& kek) const;

  int64_t certificates() const { return static_cast<int64_t>(records_.size()); }
  const pki::Certificate& authority() const { return authority_; }
  const pki::Certificate& signer() const { return signer_; }
  const crypto::PrivateKey& signer_key() const { return signer_key_; }
  const pki::OcspResponder& responder() const { return *responder_; }
  const std::string& record(int64_t index) const { return records_[static_cast<size_t>(index)]; }

  // A 16-byte serial number: that of a certificate for an index below certificates(), of none from
  // there on.
  static std::string Serial(int64_t index);
  // An OCSPRequest for it.
  std::string Request(int64_t index, pki::OcspHash hash, absl::string_view nonce = "") const;
  // The response that the database holds for it.
  std::string Response(int64_t index, pki::OcspHash hash) const;

 private:
  OcspDatabase(crypto::PrivateKey authority_key, crypto::PrivateKey signer_key);
  absl::Status MakeCertificates();
  absl::Status SignRecords(int64_t certificates);

  crypto::PrivateKey authority_key_;
  crypto::PrivateKey signer_key_;
  pki::Certificate authority_;
  pki::Certificate signer_;
  std::unique_ptr<const pki::OcspResponder> responder_;
  int64_t this_update_ = 0;
  std::vector<std::string> records_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_BENCHMARKS_OCSP_DATABASE_H_
