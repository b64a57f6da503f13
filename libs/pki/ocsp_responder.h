// Making OCSP responses (RFC 6960 section 4.2, RFC 9919): one issuer, one signer, many
// certificates.
#ifndef COUNTERSIGN_LIBS_PKI_OCSP_RESPONDER_H_
#define COUNTERSIGN_LIBS_PKI_OCSP_RESPONDER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/ocsp_record.h"
#include "libs/pki/ocsp_request.h"

namespace countersign::pki {

// OCSPResponse without responseBytes (section 4.2.1), 5 bytes.
enum class OcspError : uint8_t {
  kMalformedRequest = 1,
  kInternalError = 2,
  kTryLater = 3,
  kSigRequired = 5,
  kUnauthorized = 6,
};
absl::string_view OcspErrorResponse(OcspError error);

// Immutable and thread-safe. Responses name the responder by key (SHA-1 of it), carry the delegated
// signer's certificate and no other, and hold one SingleResponse a CertID.
class OcspResponder {
 public:
  // `signer` is a delegated certificate that `issuer` has issued, or `issuer` itself (then no
  // certificate is embedded). InvalidArgument when it is neither, lacks id-kp-OCSPSigning, or its
  // key is of a kind that signs no responses.
  static absl::StatusOr<std::unique_ptr<const OcspResponder>> Create(const Certificate& issuer,
                                                                     const Certificate& signer,
                                                                     crypto::Algorithm algorithm);
  ~OcspResponder();

  // Whether the CertID names this issuer, under its hash. False for a negative serial number: it is
  // none that an issuer gives out.
  bool Matches(const OcspCertId& id) const;

  // Appends the ResponseData to sign for one certificate.
  void AppendTbs(const OcspStatus& status, OcspHash hash, std::string* out) const;
  // Appends the whole response with that ResponseData and its signature. Allocates nothing when
  // `*out` has room: kResponseOverhead more than the signer's certificate is enough.
  void AppendResponse(const OcspStatus& status, OcspHash hash, absl::string_view signature,
                      std::string* out) const;

  // Signs `status` for both hashes: a record without not_after and signer_id. `sha1` and `sha256`
  // hold the signatures that the record's views lie in. InvalidArgument when `key` is not the
  // signer's, else errors as PrivateKey::SignMessage.
  absl::StatusOr<OcspRecord> Sign(const OcspStatus& status, const crypto::PrivateKey& key,
                                  std::string* sha1, std::string* sha256) const;

  // One answer of a response that is signed on demand: any hash, several CertIDs, a nonce.
  struct Answer {
    OcspCertId id;
    enum class Kind { kGood, kRevoked, kUnknown } kind = Kind::kUnknown;
    int64_t revocation_time = 0;
    uint8_t reason = 0;
  };
  // The ResponseData for `answers`, in order, with `nonce` echoed unless it is empty. CertIDs stand
  // in it as `id.element`, each once. Times are seconds since 1970.
  std::string BuildTbs(absl::Span<const Answer> answers, absl::string_view nonce,
                       int64_t this_update, int64_t next_update) const;
  // The whole response of such a ResponseData.
  std::string Assemble(absl::string_view tbs, absl::string_view signature) const;

  static constexpr size_t kResponseOverhead = 1024;

 private:
  struct Parts;
  explicit OcspResponder(std::unique_ptr<const Parts> parts);
  std::unique_ptr<const Parts> parts_;
};

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_OCSP_RESPONDER_H_
