// Revokes certificates, holds and releases them (RFC 5280 section 5.3.1).
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_REVOCATION_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_REVOCATION_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "libs/base/clock.h"
#include "services/sign/certificates/certificate_store.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::sign {

class Authorities;
class CrlPublisher;
class KeyStore;
class OcspNotifier;

// Thread-safe. Methods block on the database, and on OCSP responders for at most a second: call
// them on an executor. They answer, and fail, as the contract says of the method of the same name.
//
// A certificate's status and its OCSP record, signed here, are committed together. Then the
// responders are told, and after a key compromise the CRL is signed; a failure of either is logged
// and made good later, since the revocation itself is done.
class Revocation {
 public:
  struct Options {
    KeyStore* keys;  // keeps answers by request id
    CertificateStore* certificates;
    Authorities* authorities;
    OcspNotifier* notifier;
    CrlPublisher* crls;
    // Signs the records of many certificates in parallel; null: on the calling thread.
    base::ThreadPool* executor = nullptr;
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive it.
  explicit Revocation(Options options);

  absl::StatusOr<v1::RevokeCertificateResponse> Revoke(const v1::RevokeCertificateRequest& request);
  absl::StatusOr<v1::BatchRevokeCertificatesResponse> BatchRevoke(
      const v1::BatchRevokeCertificatesRequest& request);
  absl::StatusOr<v1::ReleaseCertificateResponse> Release(
      const v1::ReleaseCertificateRequest& request);

 private:
  struct Plan;

  // Runs `body`, unless the request was answered before. A call that ended between the two does it
  // again, which changes nothing.
  template <typename Response, typename Request>
  absl::StatusOr<Response> Once(const std::string& tenant, absl::string_view method,
                                const Request& request,
                                const std::function<absl::StatusOr<Response>()>& body);

  // What revoking `certificate` for `reason` changes; nothing when it is so already.
  absl::StatusOr<std::optional<CertificateStore::StatusChange>> Decide(
      const v1::Certificate& certificate, v1::RevocationReason reason) const;
  // The certificates that `request` names and that are to be revoked.
  absl::StatusOr<std::vector<v1::Certificate>> Select(
      const v1::BatchRevokeCertificatesRequest& request, const std::string& tenant,
      v1::RevocationReason reason);
  // Signs the records of `plan`, commits it, and tells the world. Aborted when a certificate
  // changed meanwhile.
  absl::Status Apply(Plan* plan);

  const Options options_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_REVOCATION_H_
