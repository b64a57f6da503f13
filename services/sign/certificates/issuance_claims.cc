#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/sign/certificates/issuance_store.h"
#include "services/sign/certificates/renewal_request.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Statement;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

// Tenants that one claim looks at, at most.
constexpr int64_t kMaxTenants = 1000;

constexpr absl::string_view kClaimedColumns =
    "issuance_id, upstream, renewal, tries, max_tries, progress, request, replaces, owner_team,"
    " environment, labels";

constexpr int64_t kQueued = v1::ISSUANCE_STATE_QUEUED;
constexpr int64_t kWaiting = v1::ISSUANCE_STATE_WAITING;
constexpr int64_t kSucceeded = v1::ISSUANCE_STATE_SUCCEEDED;
constexpr int64_t kFailed = v1::ISSUANCE_STATE_FAILED;
// Partial indexes are found by these very words.
constexpr absl::string_view kIsWaiting = "state IN (1, 3)";

Value Text(absl::string_view text) { return Value::Text(text); }

ClaimedIssuance ClaimedFromRow(const std::string& tenant, const Row& row) {
  ClaimedIssuance claimed;
  claimed.name = {tenant, row.Text(0)};
  claimed.upstream = row.Text(1);
  claimed.renewal = row.Text(2);
  claimed.tries = row.Int(3);
  claimed.max_tries = row.Int(4);
  claimed.progress = row.Bytes(5);
  if (claimed.renewal.empty() && !claimed.request->ParseFromString(row.Bytes(6))) {
    claimed.request = absl::DataLossError("the queued request is damaged");
  }
  return claimed;
}

}  // namespace

std::string IssuanceStore::ClaimSql() const {
  return absl::StrCat(
      "WITH due (due_tenant, due_id) AS MATERIALIZED (SELECT tenant, issuance_id FROM issuances"
      " WHERE renewal = $1 AND tenant = $2 AND ",
      kIsWaiting, " AND due_time <= $3 ORDER BY due_time LIMIT $4",
      database_->engine() == storage::Engine::kPostgres ? " FOR UPDATE SKIP LOCKED" : "",
      ") UPDATE issuances SET state = 2, claim = $5, due_time = $6, tries = tries + 1,"
      " update_time = $3 FROM due WHERE tenant = due_tenant AND issuance_id = due_id RETURNING ",
      kClaimedColumns);
}

absl::StatusOr<std::vector<ClaimedIssuance>> IssuanceStore::Claim(const std::string& claim,
                                                                  int64_t count,
                                                                  std::string* last_tenant,
                                                                  absl::Time now,
                                                                  absl::Time lease_end) {
  const std::string sql = ClaimSql();
  std::vector<ClaimedIssuance> claimed;
  std::string last;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        claimed.clear();
        last = *last_tenant;
        // Each tenant is one step in the index, however many requests it has.
        ASSIGN_OR_RETURN(
            const Rows rows,
            transaction.Query(
                absl::StrCat("WITH RECURSIVE waiting (tenant) AS (SELECT MIN(tenant) FROM issuances"
                             " WHERE renewal = '' AND ",
                             kIsWaiting,
                             " UNION ALL SELECT (SELECT MIN(i.tenant) FROM issuances AS i"
                             " WHERE i.renewal = '' AND i.state IN (1, 3)"
                             " AND i.tenant > waiting.tenant) FROM waiting"
                             " WHERE waiting.tenant IS NOT NULL)"
                             " SELECT tenant FROM waiting WHERE tenant IS NOT NULL LIMIT $1"),
                {kMaxTenants}));
        std::vector<std::string> tenants;
        for (const Row& row : rows) tenants.push_back(row.Text(0));
        std::rotate(tenants.begin(), std::upper_bound(tenants.begin(), tenants.end(), last),
                    tenants.end());
        // An equal share for each; then what some left over, for those that have more.
        int64_t left = count;
        const auto take = [&](const std::string& tenant, int64_t most) -> absl::StatusOr<int64_t> {
          ASSIGN_OR_RETURN(
              const Rows taken,
              transaction.Query(sql, {Text(""), Text(tenant), absl::ToUnixMicros(now), most,
                                      Text(claim), absl::ToUnixMicros(lease_end)}));
          for (const Row& row : taken) claimed.push_back(ClaimedFromRow(tenant, row));
          left -= static_cast<int64_t>(taken.size());
          if (!taken.empty()) last = tenant;
          return static_cast<int64_t>(taken.size());
        };
        std::vector<std::string> more;
        const int64_t share = std::max<int64_t>(
            1, count / std::max<int64_t>(1, static_cast<int64_t>(tenants.size())));
        for (const std::string& tenant : tenants) {
          if (left == 0) break;
          const int64_t most = std::min(share, left);
          ASSIGN_OR_RETURN(const int64_t taken, take(tenant, most));
          if (taken == most) more.push_back(tenant);
        }
        for (const std::string& tenant : more) {
          if (left == 0) break;
          RETURN_IF_ERROR(take(tenant, left).status());
        }
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  *last_tenant = last;
  return claimed;
}

absl::StatusOr<std::vector<ClaimedIssuance>> IssuanceStore::ClaimOfRenewal(
    const ResourceId& renewal, const std::string& claim, int64_t count, absl::Time now,
    absl::Time lease_end) {
  const std::string sql = ClaimSql();
  Rows rows;
  RenewalRequests requests;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(rows, transaction.Query(sql, {Text(renewal.id), Text(renewal.tenant),
                                                       absl::ToUnixMicros(now), count, Text(claim),
                                                       absl::ToUnixMicros(lease_end)}));
        if (rows.empty()) return absl::OkStatus();
        ASSIGN_OR_RETURN(requests, RenewalRequests::Read(transaction, renewal, claim));
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  std::vector<ClaimedIssuance> claimed;
  for (const Row& row : rows) {
    ClaimedIssuance issuance = ClaimedFromRow(renewal.tenant, row);
    issuance.request = requests.Make({.replaces = row.Text(7),
                                      .owner_team = row.Text(8),
                                      .environment = row.Text(9),
                                      .labels = row.Text(10),
                                      .local = issuance.upstream.empty()});
    claimed.push_back(std::move(issuance));
  }
  return claimed;
}

absl::StatusOr<std::vector<ResourceId>> IssuanceStore::Complete(
    const std::string& claim, absl::Span<const Completion> completions, absl::Time now) {
  constexpr absl::string_view kSql =
      "UPDATE issuances SET state = $4, tries = tries - $5, due_time = $6, claim = '',"
      " certificate = $7, error = $8, progress = CASE WHEN $4 IN (1, 3) THEN progress ELSE $9 END,"
      " update_time = $10 WHERE tenant = $1 AND issuance_id = $2 AND claim = $3 AND state = 2"
      " RETURNING issuance_id";
  const int64_t micros = absl::ToUnixMicros(now);
  std::vector<std::vector<Value>> params;
  for (const Completion& completion : completions) {
    const bool back = completion.state == kQueued;
    params.push_back({Text(completion.name.tenant), Text(completion.name.id), Text(claim),
                      static_cast<int64_t>(completion.state), back ? 1 : 0,
                      completion.state == kWaiting ? absl::ToUnixMicros(completion.due) : micros,
                      Text(completion.certificate),
                      Value::Bytes(back || completion.state == kSucceeded
                                       ? ""
                                       : completion.error.SerializeAsString()),
                      Value::Bytes(""), micros});
  }
  std::vector<Statement> statements;
  for (const auto& values : params) statements.push_back({kSql, values});
  std::vector<ResourceId> done;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        done.clear();
        ASSIGN_OR_RETURN(const std::vector<Rows> changed, transaction.Pipeline(statements));
        std::map<ResourceId, std::pair<int64_t, int64_t>> of_renewals;
        for (size_t i = 0; i < completions.size(); ++i) {
          if (changed[i].empty() || completions[i].renewal.empty()) continue;
          auto& counts = of_renewals[{completions[i].name.tenant, completions[i].renewal}];
          counts.first += completions[i].state == kSucceeded;
          counts.second += completions[i].state == kFailed;
        }
        for (const auto& [renewal, counts] : of_renewals) {
          if (counts.first + counts.second == 0) continue;
          ASSIGN_OR_RETURN(
              const Rows ended,
              transaction.Query(
                  "UPDATE renewals SET succeeded = succeeded + $3,"
                  " failed = failed + $4, end_time = CASE WHEN started = 1 AND"
                  " succeeded + failed + $3 + $4 >= total THEN $5 ELSE end_time END"
                  " WHERE tenant = $1 AND renewal_id = $2 RETURNING end_time",
                  {Text(renewal.tenant), Text(renewal.id), counts.first, counts.second, micros}));
          if (!ended.empty() && !ended[0].IsNull(0)) done.push_back(renewal);
        }
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  return done;
}

absl::Status IssuanceStore::SaveProgress(const ResourceId& name, const std::string& claim,
                                         const std::string& progress) {
  ASSIGN_OR_RETURN(
      const int64_t changed,
      database_->Run("UPDATE issuances SET progress = $4 WHERE tenant = $1 AND issuance_id = $2"
                     " AND claim = $3 AND state = 2",
                     {Text(name.tenant), Text(name.id), Text(claim), Value::Bytes(progress)}));
  if (changed == 1) return absl::OkStatus();
  return absl::AbortedError("the claim on this issuance was lost to another process");
}

absl::Status IssuanceStore::ExtendLeases(const std::string& claim, absl::Time lease_end) {
  return database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        for (const absl::string_view sql :
             {"UPDATE issuances SET due_time = $2 WHERE state = 2 AND claim = $1",
              "UPDATE renewals SET lease_time = $2 WHERE end_time IS NULL AND claim = $1"}) {
          RETURN_IF_ERROR(
              transaction.Run(sql, {Text(claim), absl::ToUnixMicros(lease_end)}).status());
        }
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted);
}

absl::Status IssuanceStore::Recover(absl::Time now, const std::string* but_of) {
  return database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        constexpr absl::string_view kAgain =
            "UPDATE issuances SET state = 1, claim = '', tries = tries - 1, due_time = $1,"
            " update_time = $1 WHERE state = 2 AND ";
        const int64_t micros = absl::ToUnixMicros(now);
        RETURN_IF_ERROR(transaction.Run(absl::StrCat(kAgain, "due_time < $1"), {micros}).status());
        if (but_of == nullptr) return absl::OkStatus();
        RETURN_IF_ERROR(
            transaction.Run(absl::StrCat(kAgain, "claim <> $2"), {micros, Text(*but_of)}).status());
        return transaction
            .Run(
                "UPDATE renewals SET claim = '', lease_time = 0"
                " WHERE end_time IS NULL AND claim <> $1",
                {Text(*but_of)})
            .status();
      },
      storage::Isolation::kReadCommitted);
}

}  // namespace countersign::sign
