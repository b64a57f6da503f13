#include "services/sign/certificates/status_changes.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/sign/certificates/resource_names.h"

namespace countersign::sign {
namespace {

using storage::Row;
using storage::Rows;
using storage::Statement;
using storage::Transaction;
using storage::Value;

// Statements in one round trip.
constexpr size_t kChunk = 1000;

constexpr absl::string_view kUpdateCertificate =
    "UPDATE certificates SET status = $3, revocation_time = $4, revocation_reason = $5,"
    " update_time = $6 WHERE tenant = $1 AND certificate_id = $2 AND status = $7"
    " RETURNING authority_id, serial";
constexpr absl::string_view kPutRecord =
    "INSERT INTO ocsp_records (authority_id, serial, change_number, record)"
    " VALUES ($1, $2, $3, $4) ON CONFLICT (authority_id, serial)"
    " DO UPDATE SET change_number = excluded.change_number, record = excluded.record";

bool IsRevokedOrHeld(v1::CertificateStatus status) {
  return status == v1::CERTIFICATE_STATUS_REVOKED || status == v1::CERTIFICATE_STATUS_ON_HOLD;
}

// Runs the same statement with each of `params`, and returns the rows of each.
template <size_t kCount>
absl::StatusOr<std::vector<Rows>> RunEach(Transaction& transaction, absl::string_view sql,
                                          const std::vector<std::array<Value, kCount>>& params) {
  std::vector<Rows> all;
  all.reserve(params.size());
  for (size_t begin = 0; begin < params.size(); begin += kChunk) {
    std::vector<Statement> statements;
    for (size_t i = begin; i < std::min(begin + kChunk, params.size()); ++i) {
      statements.push_back({sql, params[i]});
    }
    ASSIGN_OR_RETURN(std::vector<Rows> some, transaction.Pipeline(statements));
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace

absl::StatusOr<int64_t> ApplyStatusChanges(storage::Database& database,
                                           absl::Span<const CertificateStore::StatusChange> changes,
                                           absl::Span<const v1::CertificateStatus> expected,
                                           absl::Time now) {
  if (changes.empty() || changes.size() != expected.size()) {
    return absl::InvalidArgumentError("as many expected statuses as changes, at least one");
  }
  // Everyone locks rows in the same order.
  std::vector<size_t> order(changes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return changes[a].name < changes[b].name; });
  std::vector<std::array<Value, 7>> updates;
  updates.reserve(changes.size());
  for (const size_t i : order) {
    const CertificateStore::StatusChange& change = changes[i];
    ASSIGN_OR_RETURN(const CertificateName name, ParseCertificateName("name", change.name));
    const bool revoked = IsRevokedOrHeld(change.status);
    updates.push_back({Value::Text(name.tenant), Value::Text(name.id),
                       static_cast<int64_t>(change.status),
                       revoked ? Value(absl::ToUnixMicros(change.time)) : Value::Null(),
                       revoked ? Value(static_cast<int64_t>(change.reason)) : Value::Null(),
                       absl::ToUnixMicros(now), static_cast<int64_t>(expected[i])});
  }
  int64_t change_number = 0;
  RETURN_IF_ERROR(database.InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<Rows> updated,
                         RunEach(transaction, kUpdateCertificate, updates));
        std::vector<std::array<Value, 4>> records;
        records.reserve(changes.size());
        for (size_t n = 0; n < updated.size(); ++n) {
          const CertificateStore::StatusChange& change = changes[order[n]];
          if (updated[n].empty()) {
            return absl::AbortedError(
                absl::StrCat(change.name, " changed meanwhile: look at it and try again"));
          }
          const Row& row = updated[n][0];
          if (change.ocsp_record.empty() || row.IsNull(0)) continue;
          records.push_back({row[0], row[1], 0, Value::Bytes(change.ocsp_record)});
        }
        ASSIGN_OR_RETURN(const Rows head,
                         transaction.Query("UPDATE ocsp_head SET change_number = change_number + $1"
                                           " WHERE id = 1 RETURNING change_number",
                                           {records.size()}));
        change_number = head[0].Int(0);
        int64_t number = change_number - static_cast<int64_t>(records.size());
        for (auto& record : records) record[2] = ++number;
        return RunEach(transaction, kPutRecord, records).status();
      },
      storage::Isolation::kReadCommitted));
  return change_number;
}

absl::StatusOr<std::vector<pki::RevokedEntry>> ReadRevoked(storage::Database& database,
                                                           int64_t authority_id, int64_t shard,
                                                           absl::Time expired_before) {
  ASSIGN_OR_RETURN(
      const Rows rows,
      database.Query("SELECT serial, revocation_time, revocation_reason FROM certificates"
                     " WHERE authority_id = $1 AND crl_shard = $2"
                     " AND revocation_time IS NOT NULL AND not_after >= $3",
                     {authority_id, shard, absl::ToUnixMicros(expired_before)}));
  std::vector<pki::RevokedEntry> entries;
  entries.reserve(rows.size());
  for (const Row& row : rows) {
    pki::RevokedEntry entry;
    entry.serial = row.Bytes(0);
    entry.revocation_time = absl::FromUnixMicros(row.Int(1));
    // RFC 5280's CRLReason is the contract's number less one.
    entry.reason = std::max(0, static_cast<int>(row.Int(2)) - 1);
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace countersign::sign
