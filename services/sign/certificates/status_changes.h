// Changes of status, and what stands in CRLs.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_STATUS_CHANGES_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_STATUS_CHANGES_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "services/sign/certificates/certificate_store.h"

namespace countersign::sign {

// As CertificateStore::ChangeStatus, at `now`.
absl::StatusOr<int64_t> ApplyStatusChanges(storage::Database& database,
                                           absl::Span<const CertificateStore::StatusChange> changes,
                                           absl::Span<const v1::CertificateStatus> expected,
                                           absl::Time now);

// As CertificateStore::Revoked.
absl::StatusOr<std::vector<pki::RevokedEntry>> ReadRevoked(storage::Database& database,
                                                           int64_t authority_id, int64_t shard,
                                                           absl::Time expired_before);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_STATUS_CHANGES_H_
