// Certificate authorities at rest and in use.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "countersign/sign/v1/authority_service.pb.h"
#include "libs/base/clock.h"
#include "libs/crypto/aead.h"
#include "libs/pki/certificate.h"
#include "libs/pki/ocsp_record.h"
#include "libs/pki/ocsp_responder.h"
#include "services/sign/key_ring.h"
#include "services/sign/key_store.h"

namespace countersign::pki {
class WeakKeys;
}

namespace countersign::sign {

class CertificateMetrics;
class CertificateStore;

// An authority, ready to sign. Immutable and thread-safe.
struct LiveAuthority {
  int64_t id = 0;  // authorities.authority_id
  std::string tenant;
  std::string name;  // resource name
  pki::Certificate certificate;
  std::vector<std::string> issuers;  // DER, up to the root
  v1::AuthoritySettings settings;    // with the defaults filled in
  bool disabled = false;
  std::string key_version;             // resource name of the key version that signs
  std::shared_ptr<const LiveKey> key;  // null from LoadBy… when it is disabled or destroyed
  // The delegated OCSP signer in use, and its certificate's validity.
  uint32_t ocsp_signer_id = 0;
  absl::Time ocsp_not_before;
  absl::Time ocsp_not_after;
  std::shared_ptr<const crypto::PrivateKey> ocsp_key;
  std::unique_ptr<const pki::OcspResponder> ocsp_responder;

  // The packed record of a certificate that expires at `not_after`, signed for both hashes at
  // `now`: what a certificate is stored with, and what takes its place at revocation. Of `status`
  // the serial number and what is said of a revocation are taken; the times are filled in:
  // thisUpdate is the start of the minute, but neither before the signer's validity nor before the
  // revocation; nextUpdate is ocsp_lifetime later, but not after the signer's end.
  // FailedPrecondition with reason ISSUER_EXPIRED when the signer has ended.
  absl::StatusOr<std::string> SignOcspRecord(pki::OcspStatus status, absl::Time not_after,
                                             absl::Time now) const;
};

// Thread-safe. Methods block on the database: call them on an executor. Those that take a request
// answer, and fail, as the contract says of the method of the same name.
class Authorities {
 public:
  struct Options {
    KeyStore* keys;
    KeyRing* key_ring;
    CertificateStore* certificates;
    // Seals the OCSP signers' keys, and those only: the ocsp service has it too.
    crypto::Kek ocsp_kek;
    bool allow_key_export = false;
    // Keys that no authority may have; null for none but what pki::WeakKeys computes.
    const pki::WeakKeys* weak_keys = nullptr;
    // Told after each commit, with the number of the change in ocsp_head; must not block.
    std::function<void(int64_t change_number)> on_change;
    CertificateMetrics* metrics = nullptr;  // null for none
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive it.
  explicit Authorities(Options options);
  ~Authorities();

  // FailedPrecondition when the signers in the database are sealed under another KEK than
  // `ocsp_kek`. For the start.
  absl::Status CheckOcspKek();

  absl::StatusOr<v1::CreateAuthorityResponse> CreateAuthority(
      const v1::CreateAuthorityRequest& request);
  absl::StatusOr<v1::ImportAuthorityResponse> ImportAuthority(
      const v1::ImportAuthorityRequest& request);
  absl::StatusOr<v1::GetAuthorityResponse> GetAuthority(const v1::GetAuthorityRequest& request);
  absl::StatusOr<v1::ListAuthoritiesResponse> ListAuthorities(
      const v1::ListAuthoritiesRequest& request);
  absl::StatusOr<v1::UpdateAuthorityResponse> UpdateAuthority(
      const v1::UpdateAuthorityRequest& request);
  absl::StatusOr<v1::CrossSignAuthorityResponse> CrossSignAuthority(
      const v1::CrossSignAuthorityRequest& request);
  absl::StatusOr<v1::ExportAuthorityResponse> ExportAuthority(
      const v1::ExportAuthorityRequest& request);
  absl::StatusOr<v1::RotateOcspSignerResponse> RotateOcspSigner(
      const v1::RotateOcspSignerRequest& request);

  // The authority of this resource name when it is in memory and fresh (at most 5 s old), else
  // null. Never blocks.
  std::shared_ptr<const LiveAuthority> Find(const std::string& name);
  // The same, read when it is not in memory. NotFound; FailedPrecondition when its key is disabled.
  absl::StatusOr<std::shared_ptr<const LiveAuthority>> Load(const std::string& name);
  // The same by its name or number, whatever its key's state: what was issued is answered for all
  // the same. For revocation and CRLs.
  absl::StatusOr<std::shared_ptr<const LiveAuthority>> LoadByName(const std::string& name);
  absl::StatusOr<std::shared_ptr<const LiveAuthority>> LoadById(int64_t id);
  // The numbers of all authorities.
  absl::StatusOr<std::vector<int64_t>> ListIds();

  // Rotates the OCSP signers that have less than a third of their life left, where the authority's
  // key is enabled and its certificate has not expired. Several processes may do it at once: each
  // signer is rotated by one of them. One authority's failure does not keep the others from it; the
  // first is returned. For a timer.
  absl::Status RotateExpiringOcspSigners();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_AUTHORITIES_H_
