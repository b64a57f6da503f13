// The certificate inventory at rest, with what OCSP responders read of it.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_STORE_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "countersign/sign/v1/certificate_service.pb.h"
#include "libs/base/clock.h"
#include "libs/pki/certificate.h"
#include "libs/pki/crl.h"
#include "libs/storage/database.h"

namespace countersign::sign {

class CertificateMetrics;

// A certificate on its way into the inventory.
struct NewCertificate {
  std::string tenant;
  int64_t authority_id = 0;  // 0: another's, to be tracked
  std::string authority;     // resource name; empty when authority_id is 0
  pki::Certificate certificate;
  v1::CertificateProfile profile = v1::CERTIFICATE_PROFILE_UNSPECIFIED;
  std::string owner_team;
  std::string environment;
  std::vector<std::pair<std::string, std::string>> labels;
  std::optional<absl::Time> renew_time;
  int64_t crl_shard = 0;
  std::string csr;
  std::string replaces;     // certificate id that becomes REPLACED; empty for none
  std::string ocsp_record;  // packed (libs/pki/ocsp_record.h); empty for authority_id 0
  // When not empty: kept with the answer in table `requests`, in the same transaction, so that a
  // repeated request answers the same. Answered then is what was kept first.
  std::string request_id;
  std::string request_fingerprint;
};

// Thread-safe. Inserts are gathered: those that wait at the same time share one transaction, which
// takes the row of ocsp_head, numbers the changes, and inserts in bulk.
class CertificateStore {
 public:
  struct Options {
    storage::Database* database;
    const base::Clock* clock = base::Clock::System();
    // Told after each commit that changed ocsp_records, with the last change's number; must not
    // block.
    std::function<void(int64_t change_number)> on_change;
    // How long its statements take; null for none.
    CertificateMetrics* metrics = nullptr;
  };

  explicit CertificateStore(Options options);
  // Waits for what is under way.
  ~CertificateStore();

  // AlreadyExists with reason REQUEST_ID_REUSED when the request id was used for another request;
  // else what the database answered. `done` is called once, from any thread, when the certificate
  // is durable.
  using InsertDone = std::function<void(absl::StatusOr<v1::Certificate>)>;
  void Insert(NewCertificate certificate, InsertDone done);
  // The same, waited for.
  absl::StatusOr<v1::Certificate> InsertAndWait(NewCertificate certificate);

  // Blocking; as the contract says of the methods of the same name.
  absl::StatusOr<v1::Certificate> Get(const std::string& name);
  absl::StatusOr<v1::ListCertificatesResponse> List(const v1::ListCertificatesRequest& request);
  absl::StatusOr<v1::BulkUpdateCertificatesResponse> BulkUpdate(
      const v1::BulkUpdateCertificatesRequest& request);

  // Takes certificates of others in (authority_id 0), durably. Answers with those in the inventory,
  // in order: one that is there, issued here or imported, stays as it is.
  absl::StatusOr<std::vector<v1::Certificate>> Import(
      absl::Span<const NewCertificate> certificates);

  // What was answered for a request id of the tenant, if it is kept: see NewCertificate. Errors as
  // Insert.
  absl::StatusOr<std::optional<v1::Certificate>> Recall(const std::string& tenant,
                                                        const std::string& request_id,
                                                        const std::string& request_fingerprint);

  // The certification request that a certificate was issued for; empty when none was kept.
  absl::StatusOr<std::string> GetCsr(const std::string& name);

  // One change of status on the way into the tables: a revocation, a hold, a release.
  struct StatusChange {
    std::string name;  // resource name
    v1::CertificateStatus status;
    absl::Time time;
    v1::RevocationReason reason;
    std::string ocsp_record;
  };
  // Applies all or none in one transaction, provided that each certificate still has the status in
  // `expected` (same order). Aborted when one does not. Returns the last change's number.
  absl::StatusOr<int64_t> ChangeStatus(absl::Span<const StatusChange> changes,
                                       absl::Span<const v1::CertificateStatus> expected);

  // The revoked and held certificates of a shard that had not expired at `expired_before`.
  absl::StatusOr<std::vector<pki::RevokedEntry>> Revoked(int64_t authority_id, int64_t shard,
                                                         absl::Time expired_before);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_CERTIFICATE_STORE_H_
