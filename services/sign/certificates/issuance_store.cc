#include "services/sign/certificates/issuance_store.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/error_details.h"
#include "services/sign/errors.h"
#include "services/sign/names.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Statement;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

constexpr absl::Duration kRetryWhenFull = absl::Seconds(1);

constexpr absl::string_view kColumns =
    "tenant, issuance_id, state, tries, max_tries, due_time, upstream, renewal, certificate,"
    " error, create_time, update_time";
constexpr int64_t kQueued = v1::ISSUANCE_STATE_QUEUED;
constexpr int64_t kRunning = v1::ISSUANCE_STATE_RUNNING;
constexpr int64_t kWaiting = v1::ISSUANCE_STATE_WAITING;
constexpr int64_t kFailed = v1::ISSUANCE_STATE_FAILED;
constexpr int64_t kCancelled = v1::ISSUANCE_STATE_CANCELLED;
// Partial indexes are found by these very words.
static_assert(kQueued == 1 && kRunning == 2 && kWaiting == 3);
constexpr absl::string_view kIsWaiting = "state IN (1, 3)";

Value Text(absl::string_view text) { return Value::Text(text); }

void SetTimestamp(int64_t micros, google::protobuf::Timestamp* timestamp) {
  timestamp->set_seconds(micros / 1000000);
  timestamp->set_nanos(static_cast<int32_t>(micros % 1000000 * 1000));
}

v1::Issuance FromRow(const Row& row) {
  v1::Issuance issuance;
  const std::string& tenant = row.Text(0);
  issuance.set_name(FormatResourceName(tenant, kIssuances, row.Text(1)));
  issuance.set_state(static_cast<v1::IssuanceState>(row.Int(2)));
  issuance.set_tries(static_cast<int32_t>(row.Int(3)));
  issuance.set_max_tries(static_cast<int32_t>(row.Int(4)));
  if (row.Int(2) == kWaiting) SetTimestamp(row.Int(5), issuance.mutable_next_try_time());
  if (!row.Text(6).empty()) {
    issuance.set_upstream(FormatResourceName(tenant, kUpstreams, row.Text(6)));
  }
  if (!row.Text(7).empty()) {
    issuance.set_renewal(FormatResourceName(tenant, kRenewals, row.Text(7)));
  }
  issuance.set_certificate(row.Text(8));
  if (!row.Bytes(9).empty()) issuance.mutable_error()->ParseFromString(row.Bytes(9));
  SetTimestamp(row.Int(10), issuance.mutable_create_time());
  SetTimestamp(row.Int(11), issuance.mutable_update_time());
  return issuance;
}

// The same bytes for the same request.
std::string Serialize(const v1::IssueCertificateRequest& request) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream output(&stream);
  output.SetSerializationDeterministic(true);
  request.SerializeToCodedStream(&output);
  output.Trim();
  return bytes;
}

// As it is answered when it has just been queued.
v1::Issuance Queued(const NewIssuance& issuance, int64_t max_tries, int64_t micros) {
  return FromRow(
      Row({Text(issuance.name.tenant), Text(issuance.name.id), kQueued, 0, max_tries, micros,
           Text(issuance.upstream), Text(""), Text(""), Value::Bytes(""), micros, micros}));
}

absl::StatusOr<Row> ReadRow(Transaction& transaction, const ResourceId& name) {
  ASSIGN_OR_RETURN(Rows rows, transaction.Query(absl::StrCat("SELECT ", kColumns,
                                                             " FROM issuances WHERE tenant = $1"
                                                             " AND issuance_id = $2"),
                                                {Text(name.tenant), Text(name.id)}));
  if (rows.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no such issuance: ", FormatResourceName(name.tenant, kIssuances, name.id)));
  }
  return std::move(rows[0]);
}

}  // namespace

absl::Status QueueFull(int64_t capacity) {
  return runtime::AttachRetryAfter(
      runtime::AttachReason(absl::ResourceExhaustedError(absl::StrCat(
                                "the issuance queue is full (", capacity, " wait); try later")),
                            "QUEUE_FULL"),
      kRetryWhenFull);
}

v1::ItemError ToItemError(const absl::Status& status) {
  v1::ItemError error;
  error.set_code(static_cast<int32_t>(status.code()));
  error.set_message(std::string(status.message()));
  error.set_reason(runtime::ReasonOf(status).value_or(""));
  return error;
}

// What one transaction queues.
struct IssuanceStore::Batch {
  int64_t room = 0;
  std::vector<Row> rows;
  std::map<ResourceId, size_t> places;  // of the rows
};

absl::StatusOr<int64_t> IssuanceStore::Room(Transaction& transaction) {
  if (database_->engine() == storage::Engine::kPostgres) {
    RETURN_IF_ERROR(
        transaction.Query("SELECT id FROM issuance_queue WHERE id = 1 FOR UPDATE").status());
  }
  ASSIGN_OR_RETURN(const Rows rows, transaction.Query(absl::StrCat("SELECT COUNT(*) FROM issuances"
                                                                   " WHERE renewal = '' AND ",
                                                                   kIsWaiting)));
  return capacity_ - rows[0].Int(0);
}

absl::Status IssuanceStore::Enqueue(absl::Span<EnqueueGroup* const> groups, absl::Time now) {
  return database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        Batch batch;
        ASSIGN_OR_RETURN(batch.room, Room(transaction));
        for (EnqueueGroup* group : groups) {
          const size_t before = batch.rows.size();
          const absl::Status status = EnqueueIn(transaction, *group, &batch, now);
          if (status.ok()) continue;
          group->result = status;
          batch.rows.erase(batch.rows.begin() + static_cast<std::ptrdiff_t>(before),
                           batch.rows.end());
          std::erase_if(batch.places, [&](const auto& place) { return place.second >= before; });
        }
        if (batch.rows.empty()) return absl::OkStatus();
        return transaction
            .BulkInsert(
                "issuances",
                {"tenant", "issuance_id", "state", "tries", "max_tries", "due_time", "claim",
                 "upstream", "renewal", "replaces", "owner_team", "environment", "labels",
                 "request", "progress", "certificate", "error", "create_time", "update_time"},
                batch.rows)
            .status();
      },
      storage::Isolation::kReadCommitted);
}

absl::Status IssuanceStore::EnqueueIn(Transaction& transaction, EnqueueGroup& group, Batch* batch,
                                      absl::Time now) {
  const int64_t micros = absl::ToUnixMicros(now);
  const std::string known_sql = absl::StrCat(
      "SELECT ", kColumns, ", request FROM issuances WHERE tenant = $1 AND issuance_id = $2");
  std::set<ResourceId> upstreams;
  std::vector<std::vector<Value>> params;
  for (const NewIssuance& issuance : group.issuances) {
    const std::string& tenant = issuance.name.tenant;
    params.push_back({Text(tenant), Text(issuance.name.id)});
    if (issuance.upstream.empty() || !upstreams.insert({tenant, issuance.upstream}).second)
      continue;
    ASSIGN_OR_RETURN(const Rows found, transaction.Query("SELECT 1 FROM upstreams WHERE tenant = $1"
                                                         " AND upstream_id = $2",
                                                         {Text(tenant), Text(issuance.upstream)}));
    if (found.empty()) {
      return absl::NotFoundError(absl::StrCat(
          "no such upstream: ", FormatResourceName(tenant, kUpstreams, issuance.upstream)));
    }
  }
  std::vector<Statement> look_ups;
  for (size_t i = 0; i < params.size(); ++i) {
    if (group.issuances[i].idempotent) look_ups.push_back({known_sql, params[i]});
  }
  std::vector<Rows> known;
  if (!look_ups.empty()) {
    ASSIGN_OR_RETURN(known, transaction.Pipeline(look_ups));
  }
  std::vector<v1::Issuance> answer;
  int64_t taken = 0;
  size_t looked_up = 0;
  for (const NewIssuance& issuance : group.issuances) {
    const std::string request = Serialize(issuance.request);
    const Rows* found = issuance.idempotent ? &known[looked_up++] : nullptr;
    // One of the same transaction is not in the table yet.
    const auto twin = batch->places.find(issuance.name);
    const bool there = found != nullptr && !found->empty();
    if (there || twin != batch->places.end()) {
      const Row& row = there ? (*found)[0] : batch->rows[twin->second];
      if (row.Bytes(there ? 12 : 13) != request || row.Text(there ? 6 : 7) != issuance.upstream) {
        return ExistsError(kRequestIdReused, absl::StrCat("request_id ", issuance.name.id,
                                                          " was used for a different request; "
                                                          "make up a new one for each request"));
      }
      answer.push_back(there ? FromRow(row) : Queued(issuance, max_tries_, micros));
      continue;
    }
    ++taken;
    batch->places.emplace(issuance.name, batch->rows.size());
    batch->rows.push_back(
        Row({Text(issuance.name.tenant), Text(issuance.name.id), kQueued, 0, max_tries_, micros,
             Text(""), Text(issuance.upstream), Text(""), Text(""), Text(""), Text(""), Text(""),
             Value::Bytes(request), Value::Bytes(""), Text(""), Value::Bytes(""), micros, micros}));
    answer.push_back(Queued(issuance, max_tries_, micros));
  }
  if (taken > batch->room) return QueueFull(capacity_);
  batch->room -= taken;
  group.result = std::move(answer);
  return absl::OkStatus();
}

absl::StatusOr<v1::Issuance> IssuanceStore::Get(const ResourceId& name) {
  v1::Issuance issuance;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(const Row row, ReadRow(transaction, name));
    issuance = FromRow(row);
    return absl::OkStatus();
  }));
  return issuance;
}

absl::StatusOr<v1::Issuance> IssuanceStore::Cancel(const ResourceId& name, absl::Time now) {
  v1::Issuance issuance;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(
            const Rows cancelled,
            transaction.Query(
                absl::StrCat("UPDATE issuances SET state = $3, update_time = $4"
                             " WHERE tenant = $1 AND issuance_id = $2 AND ",
                             kIsWaiting, " RETURNING renewal"),
                {Text(name.tenant), Text(name.id), kCancelled, absl::ToUnixMicros(now)}));
        if (!cancelled.empty() && !cancelled[0].Text(0).empty()) {
          RETURN_IF_ERROR(
              transaction
                  .Run("UPDATE renewals SET total = total - 1, end_time = CASE WHEN started = 1 AND"
                       " succeeded + failed >= total - 1 THEN $3 ELSE end_time END"
                       " WHERE tenant = $1 AND renewal_id = $2",
                       {Text(name.tenant), cancelled[0][0], absl::ToUnixMicros(now)})
                  .status());
        }
        ASSIGN_OR_RETURN(const Row row, ReadRow(transaction, name));
        issuance = FromRow(row);
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  switch (issuance.state()) {
    case v1::ISSUANCE_STATE_CANCELLED:
      return issuance;
    case v1::ISSUANCE_STATE_RUNNING:
      return PreconditionError("ISSUANCE_RUNNING",
                               absl::StrCat(issuance.name(), " is running; wait for it"));
    default:
      return PreconditionError(
          "ISSUANCE_DONE",
          absl::StrCat(issuance.name(), " is done: ", v1::IssuanceState_Name(issuance.state())));
  }
}

absl::StatusOr<v1::Issuance> IssuanceStore::Retry(const ResourceId& name, absl::Time now) {
  v1::Issuance issuance;
  RETURN_IF_ERROR(database_->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(const int64_t room, Room(transaction));
        ASSIGN_OR_RETURN(Row row, ReadRow(transaction, name));
        issuance = FromRow(row);
        if (row.Int(2) != kFailed) {
          return PreconditionError("ISSUANCE_NOT_FAILED",
                                   absl::StrCat(issuance.name(), " has not failed: ",
                                                v1::IssuanceState_Name(issuance.state())));
        }
        if (row.Text(7).empty() && room <= 0) return QueueFull(capacity_);
        ASSIGN_OR_RETURN(
            const int64_t changed,
            transaction.Run("UPDATE issuances SET state = 1, tries = 0, due_time = $3,"
                            " update_time = $3 WHERE tenant = $1 AND issuance_id = $2"
                            " AND state = 5",
                            {Text(name.tenant), Text(name.id), absl::ToUnixMicros(now)}));
        if (changed == 1 && !row.Text(7).empty()) {
          RETURN_IF_ERROR(transaction
                              .Run("UPDATE renewals SET failed = failed - 1, end_time = NULL"
                                   " WHERE tenant = $1 AND renewal_id = $2",
                                   {Text(name.tenant), row[7]})
                              .status());
        }
        ASSIGN_OR_RETURN(row, ReadRow(transaction, name));
        issuance = FromRow(row);
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted));
  return issuance;
}

absl::StatusOr<v1::ListIssuancesResponse> IssuanceStore::List(
    const v1::ListIssuancesRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size()));
  const std::string scope =
      absl::StrCat(request.parent(), " ", request.state(), " ", request.renewal());
  ASSIGN_OR_RETURN(const std::string token, ParsePageToken(scope, request.page_token()));
  std::vector<Value> params = {Text(tenant), size + 1};
  std::string sql = absl::StrCat("SELECT ", kColumns, " FROM issuances WHERE tenant = $1");
  if (request.state() != v1::ISSUANCE_STATE_UNSPECIFIED) {
    params.push_back(static_cast<int64_t>(request.state()));
    absl::StrAppend(&sql, " AND state = $", params.size());
  }
  if (!request.renewal().empty()) {
    ASSIGN_OR_RETURN(const ResourceId renewal,
                     ParseResourceName("renewal", request.renewal(), kRenewals));
    if (renewal.tenant != tenant) return FieldError("renewal", "it is another tenant's");
    params.push_back(Text(renewal.id));
    absl::StrAppend(&sql, " AND renewal = $", params.size());
  }
  if (!token.empty()) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(token, '/');
    int64_t after = 0;
    if (!absl::SimpleAtoi(parts.first, &after)) {
      return FieldError("page_token", "not a token that this list answered; start without one");
    }
    params.push_back(after);
    params.push_back(Text(parts.second));
    absl::StrAppend(&sql, " AND (create_time, issuance_id) > ($", params.size() - 1, ", $",
                    params.size(), ")");
  }
  absl::StrAppend(&sql, " ORDER BY create_time, issuance_id LIMIT $2");
  ASSIGN_OR_RETURN(const Rows rows, database_->Query(sql, params));
  v1::ListIssuancesResponse response;
  for (int64_t i = 0; i < std::min(size, static_cast<int64_t>(rows.size())); ++i) {
    *response.add_issuances() = FromRow(rows[i]);
  }
  if (static_cast<int64_t>(rows.size()) > size) {
    const Row& last = rows[size - 1];
    response.set_next_page_token(
        MakePageToken(scope, absl::StrCat(last.Int(10), "/", last.Text(1))));
  }
  return response;
}

absl::StatusOr<QueueStats> IssuanceStore::Stats(absl::Time now) {
  QueueStats stats;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    stats = {};
    const std::vector<Value> none;
    const std::string waiting = absl::StrCat(
        "SELECT COUNT(*), MIN(create_time), MIN(due_time) FROM issuances"
        " WHERE renewal = '' AND ",
        kIsWaiting);
    ASSIGN_OR_RETURN(const std::vector<Rows> rows,
                     transaction.Pipeline(std::vector<Statement>{
                         {waiting, none},
                         {"SELECT COUNT(*), MIN(due_time) FROM issuances WHERE state = 2", none},
                         {"SELECT CAST(COALESCE(SUM(total - succeeded - failed), 0) AS BIGINT),"
                          " MIN(create_time) FROM renewals WHERE end_time IS NULL",
                          none}}));
    const auto time = [](const Value& value) -> std::optional<absl::Time> {
      if (value.is_null()) return std::nullopt;
      return absl::FromUnixMicros(value.AsInt());
    };
    stats.waiting = rows[0][0].Int(0);
    stats.oldest = time(rows[0][0][1]);
    stats.due = time(rows[0][0][2]);
    stats.running = rows[1][0].Int(0);
    stats.expired = !rows[1][0].IsNull(1) && absl::FromUnixMicros(rows[1][0].Int(1)) < now;
    stats.renewal_waiting = rows[2][0].Int(0);
    stats.renewal_oldest = time(rows[2][0][1]);
    return absl::OkStatus();
  }));
  return stats;
}

}  // namespace countersign::sign
