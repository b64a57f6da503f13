#include "services/sign/certificates/tracked_inventory.h"

#include <string>
#include <utility>

#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"
#include "libs/pki/csr.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/requests.h"

namespace countersign::sign {
namespace {

absl::StatusOr<NewCertificate> ToTrack(const std::string& tenant,
                                       const v1::IssueCertificateRequest& request,
                                       const Upstream::Issued& issued) {
  NewCertificate tracked;
  ASSIGN_OR_RETURN(tracked.certificate, pki::ParseCertificate(issued.der));
  ASSIGN_OR_RETURN(pki::Csr csr, pki::ParseCsrDerOrPem(request.csr()));
  if (tracked.certificate.spki_der != csr.spki_der) {
    return absl::FailedPreconditionError(
        "the upstream authority issued a certificate for another key than the request's");
  }
  tracked.tenant = tenant;
  tracked.profile = request.profile();
  tracked.owner_team = request.owner_team();
  tracked.environment = request.environment();
  for (const auto& [key, value] : request.labels()) tracked.labels.emplace_back(key, value);
  const absl::Duration life = tracked.certificate.not_after - tracked.certificate.not_before;
  tracked.renew_time =
      issued.renew_time.value_or(tracked.certificate.not_before + life * (2.0 / 3));
  tracked.csr = std::move(csr.der);
  tracked.request_id = request.request_id();
  tracked.request_fingerprint = RequestFingerprint("TrackCertificate", request);
  if (!request.replaces().empty()) {
    ASSIGN_OR_RETURN(CertificateName replaces,
                     ParseCertificateName("replaces", request.replaces()));
    tracked.replaces = std::move(replaces.id);
  }
  return tracked;
}

}  // namespace

IssuanceQueue::Track TrackInInventory(CertificateStore* store) {
  return [store](const std::string& tenant, const v1::IssueCertificateRequest& request,
                 Upstream::Issued issued, std::function<void(absl::StatusOr<std::string>)> done) {
    absl::StatusOr<NewCertificate> tracked = ToTrack(tenant, request, issued);
    if (!tracked.ok()) {
      // What the authority answered cannot become right by asking again.
      return done(absl::FailedPreconditionError(tracked.status().message()));
    }
    store->Insert(*std::move(tracked),
                  [done = std::move(done)](absl::StatusOr<v1::Certificate> certificate) {
                    if (!certificate.ok()) return done(certificate.status());
                    done(certificate->name());
                  });
  };
}

}  // namespace countersign::sign
