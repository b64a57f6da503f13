#include "services/sign/certificates/certificate_writer.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/authority_names.h"
#include "services/sign/certificates/certificate_metrics.h"
#include "services/sign/certificates/certificate_rows.h"
#include "services/sign/errors.h"
#include "services/sign/requests.h"

namespace countersign::sign {
namespace {

using storage::Engine;
using storage::OnConflict;
using storage::Row;
using storage::Rows;
using storage::Statement;
using storage::Transaction;
using storage::Value;

constexpr size_t kMaxBatch = 4096;
// A second transaction is begun beside one under way when so many wait.
constexpr size_t kWorthOverlapping = 256;
// Beyond this callers are told to come again: some seconds of work.
constexpr size_t kMaxWaiting = 100000;
constexpr absl::Duration kRetryAfter = absl::Milliseconds(200);
// How long the outcome of a lost commit is asked for.
constexpr absl::Duration kLongestDoubt = absl::Seconds(15);
constexpr absl::Duration kPause = absl::Milliseconds(50);

// Where a certificate stands in the transaction that is to insert it.
enum class Fate {
  kInsert,
  kKnown,   // its request was answered before
  kFailed,  // `failure` says why
};

bool IsRefusal(const absl::Status& status) {
  return absl::IsAlreadyExists(status) || absl::IsFailedPrecondition(status) ||
         absl::IsInvalidArgument(status);
}

}  // namespace

struct CertificateWriter::Item {
  std::string tenant;
  std::string request_id;
  std::string request_fingerprint;
  std::string replaces;
  std::string ocsp_record;
  Row row{std::vector<Value>()};
  v1::Certificate answer;
  absl::Status failure;
  CertificateStore::InsertDone done;

  const std::string& id() const { return row.Text(kIdColumn); }
};

// What a try found. Made anew by each.
struct CertificateWriter::Attempt {
  struct Place {
    Fate fate = Fate::kInsert;
    std::string known;  // the id of the certificate that was kept for the request
    bool other_request = false;
    absl::Status failure;
    std::optional<v1::Certificate> answer;  // of a known one
  };
  std::vector<Place> places;
  int64_t change_number = 0;  // the last change's; 0 for none
  bool committing = false;
};

CertificateWriter::CertificateWriter(const CertificateStore::Options& options,
                                     AuthorityNames* authorities)
    : options_(options), authorities_(authorities) {
  const int threads = options_.database->engine() == Engine::kPostgres ? 2 : 1;
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

CertificateWriter::~CertificateWriter() {
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void CertificateWriter::Add(NewCertificate certificate, CertificateStore::InsertDone done) {
  auto item = std::make_unique<Item>();
  // On the caller's thread, so that the writers have nothing to do but to write.
  item->row = ToRow(certificate, options_.clock->Now());
  item->answer = FromRow(item->row, certificate.authority);
  item->tenant = std::move(certificate.tenant);
  item->request_id = absl::AsciiStrToLower(certificate.request_id);
  item->request_fingerprint = std::move(certificate.request_fingerprint);
  item->replaces = std::move(certificate.replaces);
  item->ocsp_record = std::move(certificate.ocsp_record);
  item->done = std::move(done);
  {
    base::MutexLock lock(&mutex_);
    if (queue_.size() < kMaxWaiting) {
      queue_.push_back(std::move(item));
      wake_.NotifyOne();
      return;
    }
  }
  item->done(runtime::AttachRetryAfter(
      runtime::AttachReason(absl::ResourceExhaustedError(absl::StrCat(
                                kMaxWaiting, " certificates wait to be written: try again soon")),
                            "QUEUE_FULL"),
      kRetryAfter));
}

void CertificateWriter::Work() {
  while (true) {
    std::vector<ItemPtr> batch;
    {
      base::MutexLock lock(&mutex_);
      while (writing_ == 0 ? queue_.empty() && !stopping_ : queue_.size() < kWorthOverlapping) {
        if (stopping_ && queue_.empty()) return;
        wake_.Wait(&mutex_);
      }
      if (queue_.empty()) return;
      const size_t count = std::min(queue_.size(), kMaxBatch);
      batch.reserve(count);
      for (size_t i = 0; i < count; ++i) {
        batch.push_back(std::move(queue_.front()));
        queue_.pop_front();
      }
      ++writing_;
    }
    int64_t change_number = 0;
    Write(batch, &change_number);
    {
      base::MutexLock lock(&mutex_);
      --writing_;
      wake_.NotifyAll();
    }
    // Before the answers, so that OCSP responders hear of a certificate no later than its owner.
    if (change_number != 0 && options_.on_change != nullptr) options_.on_change(change_number);
    for (const ItemPtr& item : batch) {
      if (item->failure.ok()) {
        item->done(std::move(item->answer));
      } else {
        item->done(std::move(item->failure));
      }
    }
  }
}

void CertificateWriter::Write(absl::Span<const ItemPtr> items, int64_t* change_number) {
  const absl::Status status = WriteTogether(items, change_number);
  if (status.ok()) return;
  if (items.size() == 1 || !IsRefusal(status)) {
    for (const ItemPtr& item : items) item->failure = status;
    return;
  }
  // One of them is refused, and with it the transaction.
  const size_t half = items.size() / 2;
  Write(items.subspan(0, half), change_number);
  Write(items.subspan(half), change_number);
}

absl::Status CertificateWriter::WriteTogether(absl::Span<const ItemPtr> items,
                                              int64_t* change_number) {
  Attempt attempt;
  const Stopwatch stopwatch;
  absl::Status status = options_.database->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        attempt = Attempt();
        RETURN_IF_ERROR(Insert(transaction, items, &attempt));
        attempt.committing = true;
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted);
  if (options_.metrics != nullptr) {
    options_.metrics->Observe(CertificateQuery::kInsert, stopwatch.Elapsed());
  }
  if (absl::IsUnavailable(status) && attempt.committing) {
    ASSIGN_OR_RETURN(const bool happened, HasHappened(items, attempt));
    if (happened) status = absl::OkStatus();
  }
  RETURN_IF_ERROR(status);
  *change_number = std::max(*change_number, attempt.change_number);
  for (size_t i = 0; i < items.size(); ++i) {
    Attempt::Place& place = attempt.places[i];
    if (place.answer.has_value()) items[i]->answer = *std::move(place.answer);
    items[i]->failure = std::move(place.failure);
  }
  return absl::OkStatus();
}

absl::Status CertificateWriter::Insert(Transaction& transaction, absl::Span<const ItemPtr> items,
                                       Attempt* attempt) {
  attempt->places.resize(items.size());
  RETURN_IF_ERROR(InsertRequests(transaction, items, attempt));
  RETURN_IF_ERROR(MarkReplaced(transaction, items, attempt));
  RETURN_IF_ERROR(InsertRows(transaction, items, attempt));
  RETURN_IF_ERROR(InsertRecords(transaction, items, attempt));
  return ReadKnown(transaction, items, attempt);
}

absl::Status CertificateWriter::InsertRequests(Transaction& transaction,
                                               absl::Span<const ItemPtr> items, Attempt* attempt) {
  const int64_t now = absl::ToUnixMicros(options_.clock->Now());
  std::vector<Row> rows;
  std::vector<size_t> owners;
  for (size_t i = 0; i < items.size(); ++i) {
    const Item& item = *items[i];
    if (item.request_id.empty()) continue;
    owners.push_back(i);
    rows.emplace_back(std::vector<Value>{Value::Text(item.tenant), Value::Text(item.request_id),
                                         Value::Bytes(item.request_fingerprint),
                                         Value::Bytes(items[i]->id()), now});
  }
  if (rows.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(transaction
                      .Run("DELETE FROM requests WHERE create_time <= $1",
                           {now - absl::ToInt64Microseconds(kRequestIdLifetime)})
                      .status());
  static const auto& columns =
      *new std::vector<std::string>{"tenant", "request_id", "fingerprint", "answer", "create_time"};
  ASSIGN_OR_RETURN(const int64_t inserted,
                   transaction.BulkInsert("requests", columns, rows, OnConflict::kSkip));
  if (inserted == static_cast<int64_t>(rows.size())) return absl::OkStatus();
  // Some were there, or stand twice among these. What is kept now says which certificate each
  // means.
  std::set<std::pair<std::string, std::string>> ids;
  for (const size_t i : owners) {
    const Item& item = *items[i];
    ASSIGN_OR_RETURN(const Rows kept,
                     transaction.Query("SELECT fingerprint, answer FROM requests"
                                       " WHERE tenant = $1 AND request_id = $2",
                                       {Value::Text(item.tenant), Value::Text(item.request_id)}));
    Attempt::Place& place = attempt->places[i];
    if (kept.empty()) return absl::AbortedError("a kept request went away: try again");
    if (kept[0].Bytes(0) != item.request_fingerprint) {
      place.fate = Fate::kFailed;
      place.failure = ExistsError(
          kRequestIdReused, absl::StrCat("request_id ", item.request_id,
                                         " was used for a different request; make up a new one "
                                         "for each request"));
    } else if (kept[0].Bytes(1) != items[i]->id()) {
      place.fate = Fate::kKnown;
      place.known = kept[0].Bytes(1);
    } else {
      // Of another's certificate the id is the same each time.
      ASSIGN_OR_RETURN(const Rows there,
                       transaction.Query("SELECT 1 FROM certificates"
                                         " WHERE tenant = $1 AND certificate_id = $2",
                                         {Value::Text(item.tenant), Value::Text(items[i]->id())}));
      if (!there.empty() || !ids.emplace(item.tenant, items[i]->id()).second) {
        place.fate = Fate::kKnown;
        place.known = items[i]->id();
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CertificateWriter::MarkReplaced(Transaction& transaction,
                                             absl::Span<const ItemPtr> items, Attempt* attempt) {
  const int64_t now = absl::ToUnixMicros(options_.clock->Now());
  // A revoked one stays revoked; the row is found all the same.
  static const auto& update = *new std::string(
      absl::StrCat("UPDATE certificates SET update_time = $3, status = CASE WHEN status IN (",
                   static_cast<int>(v1::CERTIFICATE_STATUS_REVOKED), ", ",
                   static_cast<int>(v1::CERTIFICATE_STATUS_ON_HOLD), ") THEN status ELSE ",
                   static_cast<int>(v1::CERTIFICATE_STATUS_REPLACED),
                   " END WHERE tenant = $1 AND certificate_id = $2 RETURNING certificate_id"));
  std::vector<size_t> owners;
  for (size_t i = 0; i < items.size(); ++i) {
    if (attempt->places[i].fate == Fate::kInsert && !items[i]->replaces.empty()) {
      owners.push_back(i);
    }
  }
  if (owners.empty()) return absl::OkStatus();
  // Everyone locks rows in the same order.
  std::sort(owners.begin(), owners.end(),
            [&](size_t a, size_t b) { return items[a]->replaces < items[b]->replaces; });
  std::vector<std::array<Value, 3>> params;
  params.reserve(owners.size());
  std::vector<Statement> statements;
  for (const size_t i : owners) {
    const Item& item = *items[i];
    params.push_back({Value::Text(item.tenant), Value::Text(item.replaces), now});
    statements.push_back({update, params.back()});
  }
  ASSIGN_OR_RETURN(const std::vector<Rows> results, transaction.Pipeline(statements));
  for (size_t n = 0; n < owners.size(); ++n) {
    if (!results[n].empty()) continue;
    const Item& item = *items[owners[n]];
    Attempt::Place& place = attempt->places[owners[n]];
    place.fate = Fate::kFailed;
    place.failure = absl::NotFoundError(absl::StrCat("no such certificate to replace: tenants/",
                                                     item.tenant, "/certificates/", item.replaces));
    if (item.request_id.empty()) continue;
    RETURN_IF_ERROR(transaction
                        .Run("DELETE FROM requests WHERE tenant = $1 AND request_id = $2",
                             {Value::Text(item.tenant), Value::Text(item.request_id)})
                        .status());
  }
  return absl::OkStatus();
}

absl::Status CertificateWriter::InsertRows(Transaction& transaction,
                                           absl::Span<const ItemPtr> items, Attempt* attempt) {
  std::vector<Row> rows;
  std::vector<Row> hosts;
  rows.reserve(items.size());
  // Rows are lent for the call: they may be needed again.
  std::vector<size_t> owners;
  for (size_t i = 0; i < items.size(); ++i) {
    if (attempt->places[i].fate != Fate::kInsert) continue;
    if (options_.database->engine() == Engine::kSqlite) {
      for (const std::string& host : HostNamesOf(items[i]->row)) {
        hosts.emplace_back(std::vector<Value>{items[i]->row[kTenantColumn], Value::Text(host),
                                              items[i]->row[kIdColumn]});
      }
    }
    owners.push_back(i);
    rows.push_back(std::move(items[i]->row));
  }
  const auto inserted = transaction.BulkInsert("certificates", CertificateColumns(), rows);
  for (size_t n = 0; n < owners.size(); ++n) items[owners[n]]->row = std::move(rows[n]);
  RETURN_IF_ERROR(inserted.status());
  if (hosts.empty()) return absl::OkStatus();
  return transaction
      .BulkInsert("certificate_host_names", {"tenant", "host_name", "certificate_id"}, hosts)
      .status();
}

absl::Status CertificateWriter::InsertRecords(Transaction& transaction,
                                              absl::Span<const ItemPtr> items, Attempt* attempt) {
  std::vector<Row> records;
  records.reserve(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    if (attempt->places[i].fate != Fate::kInsert || items[i]->ocsp_record.empty()) {
      continue;
    }
    records.emplace_back(std::vector<Value>{items[i]->row[kAuthorityColumn],
                                            items[i]->row[kSerialColumn], 0,
                                            Value::Bytes(items[i]->ocsp_record)});
  }
  if (records.empty()) return absl::OkStatus();
  // From here on until the commit others wait.
  ASSIGN_OR_RETURN(const Rows head,
                   transaction.Query("UPDATE ocsp_head SET change_number = change_number + $1"
                                     " WHERE id = 1 RETURNING change_number",
                                     {records.size()}));
  attempt->change_number = head[0].Int(0);
  int64_t number = attempt->change_number - static_cast<int64_t>(records.size());
  for (Row& record : records) record[2] = ++number;
  static const auto& columns =
      *new std::vector<std::string>{"authority_id", "serial", "change_number", "record"};
  return transaction.BulkInsert("ocsp_records", columns, records).status();
}

absl::Status CertificateWriter::ReadKnown(Transaction& transaction, absl::Span<const ItemPtr> items,
                                          Attempt* attempt) {
  for (size_t i = 0; i < items.size(); ++i) {
    Attempt::Place& place = attempt->places[i];
    if (place.fate != Fate::kKnown) continue;
    ASSIGN_OR_RETURN(
        const Rows rows,
        transaction.Query(absl::StrCat("SELECT ", CertificateSelectList(/*with_der=*/true),
                                       " FROM certificates"
                                       " WHERE tenant = $1 AND certificate_id = $2"),
                          {Value::Text(items[i]->tenant), Value::Text(place.known)}));
    if (rows.empty()) {
      // The one of these that the request was kept for has failed itself.
      place.failure = absl::AbortedError("the same request is under way and failed: try again");
      continue;
    }
    std::string authority;
    if (!rows[0].IsNull(kAuthorityColumn)) {
      ASSIGN_OR_RETURN(authority, authorities_->NameOf(transaction, rows[0].Int(kAuthorityColumn)));
    }
    place.answer = FromRow(rows[0], authority);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> CertificateWriter::HasHappened(absl::Span<const ItemPtr> items,
                                                    const Attempt& attempt) {
  const auto witness =
      std::find_if(attempt.places.begin(), attempt.places.end(),
                   [](const Attempt::Place& place) { return place.fate == Fate::kInsert; });
  // With nothing inserted there is nothing to lose.
  if (witness == attempt.places.end()) return true;
  const Item& item = *items[static_cast<size_t>(witness - attempt.places.begin())];
  const absl::Time give_up = absl::Now() + kLongestDoubt;
  while (true) {
    const auto rows = options_.database->Query(
        "SELECT 1 FROM certificates WHERE tenant = $1 AND certificate_id = $2",
        {item.row[kTenantColumn], item.row[kIdColumn]});
    if (rows.ok()) return !rows->empty();
    if (!absl::IsUnavailable(rows.status()) || absl::Now() > give_up) {
      return absl::UnavailableError(absl::StrCat(
          "the database went away while the certificate was committed: it may or may not be in the "
          "inventory; repeat the request with the same request_id (",
          rows.status().message(), ")"));
    }
    absl::SleepFor(kPause);
  }
}

}  // namespace countersign::sign
