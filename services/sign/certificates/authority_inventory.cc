// What authorities put into the inventory within their own transactions.
#include <utility>

#include "absl/strings/str_cat.h"
#include "services/sign/certificates/authorities_impl.h"
#include "services/sign/certificates/certificate_rows.h"
#include "services/sign/certificates/crl_shard.h"

namespace countersign::sign {

using ::countersign::storage::Engine;
using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

absl::StatusOr<NewCertificate> Issued(const LiveAuthority& issuer,
                                      const pki::Certificate& certificate,
                                      v1::CertificateProfile profile, absl::Time now) {
  NewCertificate added;
  added.tenant = issuer.tenant;
  added.authority_id = issuer.id;
  added.authority = issuer.name;
  added.certificate = certificate;
  added.profile = profile;
  added.crl_shard = CrlShardOf(certificate.serial, issuer.settings.crl_shards());
  ASSIGN_OR_RETURN(added.ocsp_record, issuer.SignOcspRecord({.serial = certificate.serial},
                                                            certificate.not_after, now));
  return added;
}

absl::StatusOr<std::vector<v1::Certificate>> Authorities::Impl::InsertCertificates(
    Transaction& transaction, absl::Span<const NewCertificate> certificates, int64_t change_number,
    absl::Time now) {
  std::vector<Row> rows;
  std::vector<Row> hosts;
  std::vector<Row> records;
  std::vector<v1::Certificate> answers;
  for (const NewCertificate& certificate : certificates) {
    Row row = ToRow(certificate, now);
    answers.push_back(FromRow(row, certificate.authority));
    for (const std::string& host : HostNamesOf(row)) {
      hosts.emplace_back(std::vector<Value>{row[kTenantColumn], Value::Text(host), row[kIdColumn]});
    }
    if (!certificate.ocsp_record.empty()) {
      records.emplace_back(std::vector<Value>{row[kAuthorityColumn], row[kSerialColumn],
                                              change_number,
                                              Value::Bytes(certificate.ocsp_record)});
    }
    rows.push_back(std::move(row));
  }
  RETURN_IF_ERROR(
      transaction.BulkInsert("certificates", CertificateColumns(), rows, storage::OnConflict::kSkip)
          .status());
  // On PostgreSQL an index over the column `host_names` serves.
  if (!hosts.empty() && database()->engine() == Engine::kSqlite) {
    RETURN_IF_ERROR(transaction
                        .BulkInsert("certificate_host_names",
                                    {"tenant", "host_name", "certificate_id"}, hosts,
                                    storage::OnConflict::kSkip)
                        .status());
  }
  if (!records.empty()) {
    RETURN_IF_ERROR(transaction
                        .BulkInsert("ocsp_records",
                                    {"authority_id", "serial", "change_number", "record"}, records)
                        .status());
  }
  return answers;
}

}  // namespace countersign::sign
