#include "services/sign/certificates/certificate_queries.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "services/sign/certificates/certificate_rows.h"
#include "services/sign/certificates/resource_names.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using storage::Engine;
using storage::Value;

// A WHERE clause in the making.
//
// Rows are found in one of two ways. A filter that few rows can satisfy (a fingerprint, a host
// name) is looked up in its own index; all other columns are then written so that no index fits
// them, and no statistics are needed to choose. Any other filter reads an index that begins with
// the tenant and goes on in the order of the page.
class Where {
 public:
  Where(Engine engine, bool looked_up) : engine_(engine), looked_up_(looked_up) {}

  std::string Parameter(Value value) {
    params_.push_back(std::move(value));
    return absl::StrCat("$", params_.size());
  }
  void And(absl::string_view condition) {
    absl::StrAppend(&sql_, sql_.empty() ? " WHERE " : " AND ", condition);
  }

  // Columns that an index may be chosen for, unless rows are looked up by another one.
  std::string Text(absl::string_view column) const {
    return looked_up_ ? absl::StrCat(column, " || ''") : std::string(column);
  }
  std::string Number(absl::string_view column) const {
    return looked_up_ ? absl::StrCat(column, " + 0") : std::string(column);
  }

  Engine engine() const { return engine_; }
  bool looked_up() const { return looked_up_; }
  const std::string& sql() const { return sql_; }
  std::vector<Value> TakeParams() { return std::move(params_); }

 private:
  const Engine engine_;
  const bool looked_up_;
  std::string sql_;
  std::vector<Value> params_;
};

absl::StatusOr<Value> Sha256Value(absl::string_view field, absl::string_view hex) {
  const auto bytes = base::HexDecode(hex);
  if (!bytes.ok() || bytes->size() != 32) {
    return FieldError(field, "expected a SHA-256 in hex, 64 digits");
  }
  return Value::Bytes(*bytes);
}

absl::Status AddStatuses(const v1::CertificateFilter& filter, Where* where) {
  std::vector<int> statuses;
  for (const int status : filter.statuses()) {
    if (status == v1::CERTIFICATE_STATUS_UNSPECIFIED || !v1::CertificateStatus_IsValid(status)) {
      return FieldError("filter.statuses", "unknown status");
    }
    statuses.push_back(status);
  }
  std::sort(statuses.begin(), statuses.end());
  statuses.erase(std::unique(statuses.begin(), statuses.end()), statuses.end());
  if (statuses.empty()) return absl::OkStatus();
  // Literals, so that the databases see that a partial index fits.
  if (statuses.size() == 1) {
    where->And(absl::StrCat(where->Number("status"), " = ", statuses[0]));
    if (statuses[0] != v1::CERTIFICATE_STATUS_REVOKED && !where->looked_up()) {
      where->And(absl::StrCat("status <> ", static_cast<int>(v1::CERTIFICATE_STATUS_REVOKED)));
    }
    return absl::OkStatus();
  }
  std::string list;
  for (const int status : statuses) absl::StrAppend(&list, list.empty() ? "" : ", ", status);
  // The order of the page comes from another index.
  where->And(absl::StrCat("status + 0 IN (", list, ")"));
  return absl::OkStatus();
}

// $1 is the tenant.
absl::Status AddLookUps(const v1::CertificateFilter& filter, Where* where) {
  if (!filter.fingerprint_sha256().empty()) {
    ASSIGN_OR_RETURN(Value value,
                     Sha256Value("filter.fingerprint_sha256", filter.fingerprint_sha256()));
    where->And(absl::StrCat("fingerprint_sha256 = ", where->Parameter(std::move(value))));
  }
  if (!filter.key_fingerprint().empty()) {
    ASSIGN_OR_RETURN(Value value, Sha256Value("filter.key_fingerprint", filter.key_fingerprint()));
    where->And(absl::StrCat("key_sha256 = ", where->Parameter(std::move(value))));
  }
  if (!filter.serial_number().empty()) {
    ASSIGN_OR_RETURN(const std::string serial,
                     ParseSerialHex("filter.serial_number", filter.serial_number()));
    // Of a certificate issued here it is the id.
    where->And(absl::StrCat("certificate_id IN (SELECT ",
                            where->Parameter(Value::Text(SerialHex(serial))),
                            " UNION ALL SELECT certificate_id FROM certificates"
                            " WHERE tenant = $1 AND authority_id IS NULL AND serial = ",
                            where->Parameter(Value::Bytes(serial)), ")"));
  }
  if (!filter.host_name().empty()) {
    const std::string host =
        where->Parameter(Value::Text(absl::AsciiStrToLower(filter.host_name())));
    if (where->engine() == Engine::kPostgres) {
      where->And(absl::StrCat("string_to_array(host_names, ' ') @> ARRAY[", host, "]"));
    } else {
      where->And(
          absl::StrCat("certificate_id IN (SELECT certificate_id FROM "
                       "certificate_host_names WHERE tenant = $1 AND host_name = ",
                       host, ")"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckText(absl::string_view field, absl::string_view text) {
  // PostgreSQL's TEXT holds none.
  if (text.find('\0') == absl::string_view::npos) return absl::OkStatus();
  return FieldError(field, "has a zero byte in it");
}

bool IsLookedUp(const v1::CertificateFilter& filter) {
  return !filter.fingerprint_sha256().empty() || !filter.key_fingerprint().empty() ||
         !filter.serial_number().empty() || !filter.host_name().empty();
}

absl::Status AddFilter(const CertificateSelection& what, Where* where) {
  const v1::CertificateFilter& filter = *what.filter;
  RETURN_IF_ERROR(CheckText("filter.host_name", filter.host_name()));
  RETURN_IF_ERROR(CheckText("filter.owner_team", filter.owner_team()));
  RETURN_IF_ERROR(CheckText("filter.environment", filter.environment()));
  const std::string tenant = where->Parameter(Value::Text(what.tenant));
  // The primary key serves look-ups by id; of what is not looked up an authority's own index must
  // not have to compete with the tenant's.
  const bool by_id = !filter.serial_number().empty() ||
                     (!filter.host_name().empty() && where->engine() == Engine::kSqlite);
  const bool by_authority = what.authority_id.has_value() && filter.owner_team().empty() &&
                            filter.environment().empty() && filter.statuses_size() != 1;
  const bool by_tenant = by_id || (!where->looked_up() && !by_authority);
  where->And(absl::StrCat(by_tenant ? "tenant" : "tenant || ''", " = ", tenant));
  RETURN_IF_ERROR(AddLookUps(filter, where));
  if (!filter.owner_team().empty()) {
    where->And(absl::StrCat(where->Text("owner_team"), " = ",
                            where->Parameter(Value::Text(filter.owner_team()))));
  }
  if (!filter.environment().empty()) {
    where->And(absl::StrCat(where->Text("environment"), " = ",
                            where->Parameter(Value::Text(filter.environment()))));
  }
  RETURN_IF_ERROR(AddStatuses(filter, where));
  if (what.authority_id.has_value()) {
    where->And(absl::StrCat(by_authority ? where->Number("authority_id") : "authority_id + 0",
                            " = ", where->Parameter(*what.authority_id)));
  }
  if (filter.has_expires_from()) {
    where->And(absl::StrCat(where->Number("not_after"),
                            " >= ", where->Parameter(ToMicros(filter.expires_from()))));
  }
  if (filter.has_expires_before()) {
    where->And(absl::StrCat(where->Number("not_after"), " < ",
                            where->Parameter(ToMicros(filter.expires_before()))));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<InventoryStatement> ListQuery(Engine engine, const CertificateSelection& what,
                                             const std::optional<PageEnd>& after, int64_t limit,
                                             bool with_der) {
  Where where(engine, IsLookedUp(*what.filter));
  RETURN_IF_ERROR(AddFilter(what, &where));
  const std::string not_after = where.Number("not_after");
  if (after.has_value()) {
    const std::string moment = where.Parameter(after->not_after);
    where.And(absl::StrCat("(", not_after, ", certificate_id) > (", moment, ", ",
                           where.Parameter(Value::Text(after->certificate_id)), ")"));
  }
  InventoryStatement query;
  query.sorts = where.looked_up();
  // A literal limit: a plan that is kept is made for that many rows.
  query.sql = absl::StrCat("SELECT ", CertificateSelectList(with_der), " FROM certificates",
                           where.sql(), " ORDER BY ", not_after, ", certificate_id LIMIT ", limit);
  query.params = where.TakeParams();
  return query;
}

absl::StatusOr<InventoryStatement> RenewalQuery(Engine engine, const CertificateSelection& what,
                                                absl::Time by, const absl::Time* due) {
  Where where(engine, IsLookedUp(*what.filter));
  RETURN_IF_ERROR(AddFilter(what, &where));
  where.And("csr IS NOT NULL");
  where.And(absl::StrCat("create_time <= ", where.Parameter(absl::ToUnixMicros(by))));
  if (due != nullptr) {
    where.And(absl::StrCat("renew_time <= ", where.Parameter(absl::ToUnixMicros(*due))));
  }
  InventoryStatement query;
  query.sorts = where.looked_up();
  query.sql = absl::StrCat(
      "SELECT certificate_id, owner_team, environment, labels FROM certificates", where.sql());
  query.params = where.TakeParams();
  return query;
}

absl::StatusOr<InventoryStatement> BulkUpdateQuery(Engine engine, const CertificateSelection& what,
                                                   const v1::BulkUpdateCertificatesRequest& request,
                                                   absl::Time now) {
  Where where(engine, IsLookedUp(*what.filter));
  RETURN_IF_ERROR(AddFilter(what, &where));
  std::string set = absl::StrCat("update_time = ", where.Parameter(absl::ToUnixMicros(now)));
  const bool moves = request.has_owner_team() || request.has_environment();
  if (request.has_owner_team()) {
    RETURN_IF_ERROR(CheckText("owner_team", request.owner_team()));
    absl::StrAppend(&set, ", owner_team = ", where.Parameter(Value::Text(request.owner_team())));
  }
  if (request.has_environment()) {
    RETURN_IF_ERROR(CheckText("environment", request.environment()));
    absl::StrAppend(&set, ", environment = ", where.Parameter(Value::Text(request.environment())));
  }
  if (request.status() != v1::CERTIFICATE_STATUS_UNSPECIFIED) {
    const std::string revoked =
        absl::StrCat("(", static_cast<int>(v1::CERTIFICATE_STATUS_REVOKED), ", ",
                     static_cast<int>(v1::CERTIFICATE_STATUS_ON_HOLD), ")");
    absl::StrAppend(&set, ", status = CASE WHEN status IN ", revoked, " THEN status ELSE ",
                    static_cast<int>(request.status()), " END");
    if (!moves) where.And(absl::StrCat("status + 0 NOT IN ", revoked));
  }
  InventoryStatement query;
  query.sorts = where.looked_up();
  query.sql = absl::StrCat("UPDATE certificates SET ", set, where.sql());
  query.params = where.TakeParams();
  return query;
}

absl::string_view ByIndexSettings(bool sorts) {
  return sorts ? "SELECT set_config('enable_seqscan', 'off', true), "
                 "set_config('jit', 'off', true), "
                 "set_config('max_parallel_workers_per_gather', '0', true), "
                 "set_config('plan_cache_mode', 'force_generic_plan', true)"
               : "SELECT set_config('enable_seqscan', 'off', true), "
                 "set_config('enable_sort', 'off', true), "
                 "set_config('enable_bitmapscan', 'off', true), "
                 "set_config('jit', 'off', true), "
                 "set_config('max_parallel_workers_per_gather', '0', true), "
                 "set_config('plan_cache_mode', 'force_generic_plan', true)";
}

}  // namespace countersign::sign
