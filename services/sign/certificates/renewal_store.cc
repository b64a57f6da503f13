#include "services/sign/certificates/renewal_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/sign/certificates/certificate_queries.h"
#include "services/sign/certificates/issuance_store.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

Value Text(absl::string_view text) { return Value::Text(text); }

void SetTimestamp(int64_t micros, google::protobuf::Timestamp* timestamp) {
  timestamp->set_seconds(micros / 1000000);
  timestamp->set_nanos(static_cast<int32_t>(micros % 1000000 * 1000));
}

absl::StatusOr<v1::Renewal> Read(Transaction& transaction, const ResourceId& name) {
  ASSIGN_OR_RETURN(
      const Rows rows,
      transaction.Query("SELECT total, succeeded, failed, concurrency, create_time, end_time,"
                        " (SELECT COUNT(*) FROM issuances AS i WHERE i.tenant = r.tenant"
                        " AND i.renewal = r.renewal_id AND i.state = 2) FROM renewals AS r"
                        " WHERE tenant = $1 AND renewal_id = $2",
                        {Text(name.tenant), Text(name.id)}));
  const std::string resource = FormatResourceName(name.tenant, kRenewals, name.id);
  if (rows.empty()) return absl::NotFoundError(absl::StrCat("no such renewal: ", resource));
  const Row& row = rows[0];
  v1::Renewal renewal;
  renewal.set_name(resource);
  renewal.set_total(row.Int(0));
  renewal.set_succeeded(row.Int(1));
  renewal.set_failed(row.Int(2));
  renewal.set_concurrency(static_cast<int32_t>(row.Int(3)));
  // Workers claim some ahead.
  renewal.set_running(std::min(row.Int(6), row.Int(3)));
  renewal.set_done(!row.IsNull(5));
  SetTimestamp(row.Int(4), renewal.mutable_create_time());
  if (!row.IsNull(5)) SetTimestamp(row.Int(5), renewal.mutable_end_time());
  return renewal;
}

}  // namespace

absl::StatusOr<std::string> UpstreamId(absl::string_view field, const std::string& tenant,
                                       const std::string& upstream) {
  if (upstream.empty()) return std::string();
  ASSIGN_OR_RETURN(ResourceId name, ParseResourceName(field, upstream, kUpstreams));
  if (name.tenant != tenant) return FieldError(field, "it is another tenant's");
  return std::move(name.id);
}

absl::StatusOr<bool> RenewalStore::Create(const NewRenewal& renewal, absl::Time now) {
  const v1::StartRenewalRequest& request = renewal.request;
  ASSIGN_OR_RETURN(const std::string upstream,
                   UpstreamId("upstream", renewal.name.tenant, request.upstream()));
  const std::string bytes = request.SerializeAsString();
  const std::vector<Value> id = {Text(renewal.name.tenant), Text(renewal.name.id)};
  const int64_t micros = absl::ToUnixMicros(now);
  bool created = false;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        created = false;
        if (renewal.idempotent) {
          ASSIGN_OR_RETURN(
              const Rows rows,
              transaction.Query(
                  "SELECT request FROM renewals WHERE tenant = $1 AND renewal_id = $2", id));
          if (!rows.empty()) {
            if (rows[0].Bytes(0) == bytes) return absl::OkStatus();
            return ExistsError(kRequestIdReused,
                               absl::StrCat("request_id ", renewal.name.id,
                                            " was used for a different request; "
                                            "make up a new one for each request"));
          }
        }
        if (!upstream.empty()) {
          ASSIGN_OR_RETURN(const Rows found,
                           transaction.Query("SELECT 1 FROM upstreams WHERE tenant ="
                                             " $1 AND upstream_id = $2",
                                             {id[0], Text(upstream)}));
          if (found.empty()) {
            return absl::NotFoundError(absl::StrCat("no such upstream: ", request.upstream()));
          }
        }
        ASSIGN_OR_RETURN(const int64_t total,
                         Queue(transaction, renewal.name, upstream, renewal.page, now));
        const bool done = total == 0 && !renewal.more;
        created = true;
        return transaction
            .Run(
                "INSERT INTO renewals (tenant, renewal_id, request, upstream, concurrency, started,"
                " total, succeeded, failed, claim, lease_time, create_time, end_time)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, $10, $11)",
                {id[0], id[1], Value::Bytes(bytes), Text(upstream), request.concurrency(),
                 renewal.more ? 0 : 1, total, Text(renewal.claim),
                 absl::ToUnixMicros(renewal.lease_end), micros,
                 done ? Value(micros) : Value::Null()})
            .status();
      },
      storage::Isolation::kReadCommitted));
  return created;
}

absl::StatusOr<RenewalStore::Start> RenewalStore::GetStart(const ResourceId& name) {
  ASSIGN_OR_RETURN(const Rows rows,
                   database_->Query("SELECT request, started, create_time FROM renewals"
                                    " WHERE tenant = $1 AND renewal_id = $2",
                                    {Text(name.tenant), Text(name.id)}));
  if (rows.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no such renewal: ", FormatResourceName(name.tenant, kRenewals, name.id)));
  }
  Start start;
  if (!start.request.ParseFromString(rows[0].Bytes(0))) {
    return absl::DataLossError(absl::StrCat("renewal ", name.id, " is damaged"));
  }
  start.complete = rows[0].Int(1) != 0;
  start.time = absl::FromUnixMicros(rows[0].Int(2));
  return start;
}

absl::StatusOr<Rows> RenewalStore::Select(const std::string& tenant,
                                          const v1::CertificateFilter& filter, absl::Time by,
                                          const absl::Time* due) {
  v1::CertificateFilter active = filter;
  active.clear_statuses();
  active.add_statuses(v1::CERTIFICATE_STATUS_ACTIVE);
  if (filter.statuses_size() > 0 &&
      std::find(filter.statuses().begin(), filter.statuses().end(),
                v1::CERTIFICATE_STATUS_ACTIVE) == filter.statuses().end()) {
    return Rows();
  }
  std::optional<AuthorityName> authority;
  if (!filter.authority().empty()) {
    ASSIGN_OR_RETURN(authority, ParseAuthorityName("filter.authority", filter.authority()));
    if (authority->tenant != tenant) {
      return FieldError("filter.authority", "it is another tenant's");
    }
  }
  Rows found;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    CertificateSelection what{.tenant = tenant, .filter = &active};
    if (authority.has_value()) {
      ASSIGN_OR_RETURN(const Rows rows,
                       transaction.Query("SELECT authority_id FROM authorities"
                                         " WHERE tenant = $1 AND name = $2",
                                         {Text(tenant), Text(authority->ToString())}));
      if (rows.empty()) {
        return absl::NotFoundError(absl::StrCat("no such authority: ", filter.authority()));
      }
      what.authority_id = rows[0].Int(0);
    }
    ASSIGN_OR_RETURN(const InventoryStatement query,
                     RenewalQuery(database_->engine(), what, by, due));
    ASSIGN_OR_RETURN(found, transaction.Query(query.sql, query.params));
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<int64_t> RenewalStore::Queue(Transaction& transaction, const ResourceId& name,
                                            const std::string& upstream, absl::Span<const Row> page,
                                            absl::Time now) {
  static const auto& columns = *new std::vector<std::string>{
      "tenant",   "issuance_id", "state",    "tries",       "max_tries",   "due_time", "claim",
      "upstream", "renewal",     "replaces", "owner_team",  "environment", "labels",   "request",
      "progress", "certificate", "error",    "create_time", "update_time"};
  const int64_t micros = absl::ToUnixMicros(now);
  std::vector<Row> rows;
  rows.reserve(page.size());
  for (const Row& row : page) {
    rows.push_back(
        Row({Text(name.tenant), Text(absl::StrCat(name.id, "-", row.Text(0))),
             static_cast<int64_t>(v1::ISSUANCE_STATE_QUEUED), 0, max_tries_, micros, Text(""),
             Text(upstream), Text(name.id), row[0], row[1], row[2], row[3], Value::Bytes(""),
             Value::Bytes(""), Text(""), Value::Bytes(""), micros, micros}));
  }
  return transaction.BulkInsert("issuances", columns, rows, storage::OnConflict::kSkip);
}

absl::Status RenewalStore::AddPage(const ResourceId& name, const std::string& upstream,
                                   absl::Span<const Row> page, absl::Time now) {
  return database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(const int64_t added, Queue(transaction, name, upstream, page, now));
        return transaction
            .Run("UPDATE renewals SET total = total + $3 WHERE tenant = $1 AND renewal_id = $2",
                 {Text(name.tenant), Text(name.id), added})
            .status();
      },
      storage::Isolation::kReadCommitted);
}

absl::Status RenewalStore::FinishStart(const ResourceId& name, absl::Time now) {
  return database_
      ->Run(
          "UPDATE renewals SET started = 1, end_time = CASE WHEN succeeded + failed >= total"
          " THEN $3 ELSE end_time END WHERE tenant = $1 AND renewal_id = $2 AND started = 0",
          {Text(name.tenant), Text(name.id), absl::ToUnixMicros(now)})
      .status();
}

absl::StatusOr<v1::Renewal> RenewalStore::Get(const ResourceId& name) {
  v1::Renewal renewal;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(renewal, Read(transaction, name));
    return absl::OkStatus();
  }));
  return renewal;
}

absl::StatusOr<v1::Renewal> RenewalStore::Retry(const ResourceId& name, absl::Time now) {
  v1::Renewal renewal;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        static_assert(v1::ISSUANCE_STATE_FAILED == 5);
        ASSIGN_OR_RETURN(
            const int64_t again,
            transaction.Run("UPDATE issuances SET state = 1, tries = 0, due_time = $3,"
                            " update_time = $3 WHERE tenant = $1 AND renewal = $2 AND state = 5",
                            {Text(name.tenant), Text(name.id), absl::ToUnixMicros(now)}));
        if (again > 0) {
          RETURN_IF_ERROR(transaction
                              .Run("UPDATE renewals SET failed = failed - $3, end_time = NULL"
                                   " WHERE tenant = $1 AND renewal_id = $2",
                                   {Text(name.tenant), Text(name.id), again})
                              .status());
        }
        ASSIGN_OR_RETURN(renewal, Read(transaction, name));
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  return renewal;
}

absl::StatusOr<std::vector<RenewalStore::Owned>> RenewalStore::Acquire(const std::string& claim,
                                                                       absl::Time now,
                                                                       absl::Time lease_end) {
  std::vector<Owned> owned;
  const auto read = [&](Transaction& transaction, bool* free) -> absl::Status {
    owned.clear();
    *free = false;
    ASSIGN_OR_RETURN(
        const Rows rows,
        transaction.Query("SELECT tenant, renewal_id, concurrency, started, claim, lease_time"
                          " FROM renewals WHERE end_time IS NULL ORDER BY create_time"));
    for (const Row& row : rows) {
      if (row.Text(4) == claim) {
        owned.push_back({{row.Text(0), row.Text(1)}, row.Int(2), row.Int(3) != 0});
      } else if (row.Int(5) < absl::ToUnixMicros(now)) {
        *free = true;
      }
    }
    return absl::OkStatus();
  };
  bool free = false;
  RETURN_IF_ERROR(
      database_->InSnapshot([&](Transaction& transaction) { return read(transaction, &free); }));
  if (!free) return owned;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(
            transaction
                .Run("UPDATE renewals SET claim = $1, lease_time = $2"
                     " WHERE end_time IS NULL AND claim <> $1 AND lease_time < $3",
                     {Text(claim), absl::ToUnixMicros(lease_end), absl::ToUnixMicros(now)})
                .status());
        bool unused = false;
        return read(transaction, &unused);
      },
      storage::Isolation::kReadCommitted));
  return owned;
}

absl::Status RenewalStore::Release(const std::string& claim) {
  return database_
      ->Run("UPDATE renewals SET claim = '', lease_time = 0 WHERE end_time IS NULL AND claim = $1",
            {Text(claim)})
      .status();
}

}  // namespace countersign::sign
