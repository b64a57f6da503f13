#include "services/sign/certificates/renewal_request.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"
#include "libs/pki/general_name.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/labels.h"

namespace countersign::sign {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Value;

absl::StatusOr<RenewalRequests> RenewalRequests::Read(storage::Transaction& transaction,
                                                      const ResourceId& renewal,
                                                      const std::string& claim) {
  RenewalRequests requests;
  requests.tenant_ = renewal.tenant;
  const std::vector<Value> params = {Value::Text(renewal.tenant), Value::Text(renewal.id)};
  ASSIGN_OR_RETURN(
      const Rows renewals,
      transaction.Query("SELECT request FROM renewals WHERE tenant = $1 AND renewal_id = $2",
                        params));
  if (renewals.empty() || !requests.start_.ParseFromString(renewals[0].Bytes(0))) {
    return absl::DataLossError(absl::StrCat("renewal ", renewal.id, " is missing or damaged"));
  }
  ASSIGN_OR_RETURN(
      Rows rows, transaction.Query(
                     "SELECT c.certificate_id, a.name, c.profile, c.status, c.subject, c.der, c.csr"
                     " FROM issuances AS i JOIN certificates AS c"
                     " ON c.tenant = i.tenant AND c.certificate_id = i.replaces"
                     " LEFT JOIN authorities AS a ON a.authority_id = c.authority_id"
                     " WHERE i.tenant = $1 AND i.renewal = $2 AND i.state = 2 AND i.claim = $3",
                     {params[0], params[1], Value::Text(claim)}));
  for (Row& row : rows) {
    requests.certificates_.emplace(std::move(row[0]).AsString(),
                                   Replaced{.authority = std::move(row[1]).AsString(),
                                            .profile = row.Int(2),
                                            .status = row.Int(3),
                                            .subject = std::move(row[4]).AsString(),
                                            .der = std::move(row[5]).AsString(),
                                            .csr = std::move(row[6]).AsString()});
  }
  return requests;
}

absl::StatusOr<v1::IssueCertificateRequest> RenewalRequests::Make(const Item& item) const {
  const std::string name = CertificateName{tenant_, item.replaces}.ToString();
  const auto found = certificates_.find(item.replaces);
  if (found == certificates_.end()) {
    return absl::NotFoundError(absl::StrCat(name, " is not in the inventory any more"));
  }
  const Replaced& old = found->second;
  if (old.csr.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no certification request is kept of ", name, "; issue a new one"));
  }
  // REPLACED may be the doing of an earlier try whose end was not written down.
  if (old.status == v1::CERTIFICATE_STATUS_REVOKED ||
      old.status == v1::CERTIFICATE_STATUS_ON_HOLD) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " was revoked or put on hold, so it is not renewed"));
  }
  v1::IssueCertificateRequest request;
  if (item.local) {
    if (old.authority.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          name, " is no authority's of this service; renew it by an upstream authority"));
    }
    request.set_parent(old.authority);
  }
  ASSIGN_OR_RETURN(const pki::Certificate certificate, pki::ParseCertificate(old.der));
  request.set_profile(static_cast<v1::CertificateProfile>(old.profile));
  request.set_csr(old.csr);
  // Not those of the certification request, which others may have taken the place of.
  request.set_subject(old.subject);
  for (const pki::GeneralName& alternative : certificate.extensions.subject_alt_names) {
    request.add_subject_alt_names(pki::FormatGeneralName(alternative));
  }
  if (start_.has_lifetime()) *request.mutable_lifetime() = start_.lifetime();
  request.set_owner_team(item.owner_team);
  request.set_environment(item.environment);
  ParseLabels(item.labels, request.mutable_labels());
  request.set_replaces(name);
  return request;
}

}  // namespace countersign::sign
