#include "services/ocsp/change_source.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/pki/ocsp_record.h"

namespace countersign::ocsp {
namespace {

using storage::Row;
using storage::Rows;
using storage::Transaction;
using storage::Value;

constexpr absl::Duration kFirstBackOff = absl::Milliseconds(50);

// The head, what identifies the state of the small tables, and up to a page of changed records;
// with no change one row whose last columns are null. The limit within makes it a walk along the
// index.
constexpr size_t kPage = 2000;
constexpr absl::string_view kPoll =
    "SELECT h.change_number, a.n, a.s, s.n, s.s, c.n, c.s, "
    "r.change_number, r.authority_id, r.record "
    "FROM ocsp_head h "
    "CROSS JOIN (SELECT COUNT(*) AS n, "
    "CAST(COALESCE(SUM(update_time % 1000000007), 0) AS BIGINT) AS s FROM authorities) a "
    "CROSS JOIN (SELECT COUNT(*) AS n, CAST(COALESCE(SUM(signer_id), 0) AS BIGINT) AS s "
    "FROM ocsp_signers) s "
    "CROSS JOIN (SELECT COUNT(*) AS n, CAST(COALESCE(SUM(number), 0) AS BIGINT) AS s FROM crls) c "
    "LEFT JOIN (SELECT change_number, authority_id, record FROM ocsp_records "
    "WHERE change_number > $1 ORDER BY change_number LIMIT 2000) r ON 1 = 1 "
    "WHERE h.id = 1 ORDER BY r.change_number";
enum PollColumn : size_t {
  kHead,
  kAuthorityCount,
  kAuthoritySum,
  kSignerCount,
  kSignerSum,
  kCrlCount,
  kCrlSum,
  kChangeNumber,
  kAuthorityId,
  kRecord,
};

constexpr absl::string_view kAuthorities =
    "SELECT authority_id, tenant, name, certificate, settings FROM authorities "
    "ORDER BY authority_id";
constexpr absl::string_view kSigners =
    "SELECT signer_id, authority_id, algorithm, certificate, sealed_key FROM ocsp_signers ORDER BY "
    "signer_id";
constexpr absl::string_view kCrl = "SELECT der FROM crls WHERE authority_id = $1 AND shard = $2";
constexpr absl::string_view kCount = "SELECT COUNT(*) FROM ocsp_records";
constexpr absl::string_view kAllRecords = "SELECT authority_id, record FROM ocsp_records";

std::chrono::steady_clock::time_point SteadyNow() { return std::chrono::steady_clock::now(); }

// CRL numbers only grow.
int64_t CrlVersion(const Row& row) { return row.Int(kCrlSum) * 1024 + row.Int(kCrlCount); }

std::array<int64_t, 4> FingerprintOf(const Row& row) {
  return {row.Int(kAuthorityCount), row.Int(kAuthoritySum), row.Int(kSignerCount),
          row.Int(kSignerSum)};
}

void LogMalformed(int64_t count) {
  if (count == 0) return;
  base::Log(base::Severity::kError, "malformed OCSP records were left out",
            {{"count", absl::StrCat(count)}});
}

}  // namespace

ChangeSource::ChangeSource(Options options) : options_(std::move(options)) {
  thread_ = std::thread([this] { Work(); });
}

ChangeSource::~ChangeSource() {
  {
    base::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  wake_.NotifyAll();
  thread_.join();
}

void ChangeSource::Refresh(int64_t change_number, Done done) {
  {
    base::MutexLock lock(&mutex_);
    if (!stopping_) {
      waiters_.push_back({change_number, std::exchange(done, nullptr)});
      awaited_ = std::max(awaited_, change_number);
      options_.responses->SetAwaited(awaited_);
    }
  }
  if (done != nullptr) return done(absl::UnavailableError("the responder stops"));
  wake_.NotifyAll();
}

void ChangeSource::Work() {
  absl::Duration back_off = kFirstBackOff;
  while (true) {
    const auto begun = SteadyNow();
    // Those who asked before a reading began are answered by it.
    std::vector<Waiter> waiters;
    {
      base::MutexLock lock(&mutex_);
      if (stopping_) break;
      waiters.swap(waiters_);
    }
    const absl::Status read = Read();
    if (!read.ok()) {
      ++failures_;
      base::Log(loaded_ ? base::Severity::kWarning : base::Severity::kInfo,
                "the database of certificates cannot be read",
                {{"reason", std::string(read.message())}});
    }
    {
      base::MutexLock lock(&mutex_);
      // A change that is known and could not be read stays awaited.
      if (read.ok()) {
        awaited_ = 0;
        for (const Waiter& waiter : waiters_) awaited_ = std::max(awaited_, waiter.change_number);
        options_.responses->SetAwaited(awaited_);
      }
    }
    Answer(std::move(waiters), read);

    absl::Duration rest = back_off;
    if (read.ok()) {
      back_off = kFirstBackOff;
      rest = options_.interval - absl::FromChrono(SteadyNow() - begun);
    } else {
      back_off = std::min(2 * back_off, options_.max_back_off);
    }
    base::MutexLock lock(&mutex_);
    wake_.WaitFor(&mutex_, std::max(rest, absl::ZeroDuration()), [&]() {
      // Whoever asks while the database is down waits for the next try, which is soon.
      return stopping_ || (read.ok() && !waiters_.empty());
    });
  }
  std::vector<Waiter> waiters;
  {
    base::MutexLock lock(&mutex_);
    waiters.swap(waiters_);
  }
  Answer(std::move(waiters), absl::UnavailableError("the responder stops"));
}

void ChangeSource::Answer(std::vector<Waiter> waiters, const absl::Status& read) {
  for (Waiter& waiter : waiters) {
    if (!read.ok()) {
      waiter.done(absl::UnavailableError(
          absl::StrCat("the database of certificates cannot be read: ", read.message())));
    } else if (waiter.change_number > last_change_) {
      waiter.done(absl::OutOfRangeError(
          absl::StrCat("the database's last change is number ", last_change_)));
    } else {
      waiter.done(last_change_);
    }
  }
}

std::shared_ptr<storage::Database> ChangeSource::database() const {
  base::MutexLock lock(&mutex_);
  return database_;
}

absl::Status ChangeSource::Timed(absl::string_view type, std::function<absl::Status()> function) {
  const auto begun = SteadyNow();
  absl::Status status = function();
  options_.on_query(type, absl::FromChrono(SteadyNow() - begun));
  return status;
}

absl::Status ChangeSource::Read() {
  std::shared_ptr<storage::Database> opened = database();
  if (opened == nullptr) {
    ASSIGN_OR_RETURN(opened, options_.open());
    base::MutexLock lock(&mutex_);
    database_ = opened;
  }
  if (!loaded_) return Timed("load", [&] { return Load(*opened); });
  while (true) {
    bool more = false;
    RETURN_IF_ERROR(Timed("poll", [&] { return Poll(*opened, &more); }));
    if (!more) return absl::OkStatus();
  }
}

absl::Status ChangeSource::Load(storage::Database& database) {
  const absl::Time now = options_.clock->Now();
  const int64_t expired_before = absl::ToUnixSeconds(now - Responses::kKeptAfterExpiry);
  int64_t head = 0;
  int64_t malformed = 0;
  RETURN_IF_ERROR(database.InSnapshot([&](Transaction& transaction) -> absl::Status {
    malformed = 0;
    ++queries_;
    ASSIGN_OR_RETURN(const Rows rows, transaction.Query(kPoll, {INT64_MAX}));
    if (rows.empty()) return absl::FailedPreconditionError("the table ocsp_head has no row yet");
    head = rows[0].Int(kHead);
    crl_version_ = CrlVersion(rows[0]);
    RETURN_IF_ERROR(ReadDirectory(transaction, FingerprintOf(rows[0])));
    ++queries_;
    ASSIGN_OR_RETURN(const Rows count, transaction.Query(kCount));
    options_.responses->index().Reserve(static_cast<size_t>(count[0].Int(0)));
    ++queries_;
    return transaction.Scan(kAllRecords, [&](const storage::RowView& row) {
      const auto record = pki::UnpackOcspRecord(row.Bytes(1));
      if (!record.ok()) {
        ++malformed;
      } else if (record->not_after >= expired_before) {
        options_.responses->index().Apply({{row.Int(0), row.Bytes(1)}});
      }
      return absl::OkStatus();
    });
  }));
  LogMalformed(malformed);
  last_change_ = head;
  loaded_ = true;
  options_.responses->Synchronised(head, now);
  base::Log(base::Severity::kInfo, "responses are loaded",
            {{"certificates", absl::StrCat(options_.responses->index().size())},
             {"change_number", absl::StrCat(head)}});
  return absl::OkStatus();
}

absl::Status ChangeSource::Poll(storage::Database& database, bool* more) {
  const absl::Time now = options_.clock->Now();
  ++queries_;
  ASSIGN_OR_RETURN(const Rows rows, database.Query(kPoll, {last_change_}));
  if (rows.empty()) return absl::FailedPreconditionError("the table ocsp_head has no row");
  const int64_t head = rows[0].Int(kHead);
  if (head < last_change_) {
    // An older copy of the database: what was issued since then stays, what it holds is read anew.
    base::Log(base::Severity::kError, "the database went back to an older state",
              {{"change_number", absl::StrCat(head)}, {"before", absl::StrCat(last_change_)}});
    loaded_ = false;
    return Load(database);
  }
  crl_version_ = CrlVersion(rows[0]);
  // Before the records, which may be of an authority or by a signer that is new.
  if (const Fingerprint fingerprint = FingerprintOf(rows[0]); fingerprint != fingerprint_) {
    RETURN_IF_ERROR(database.InSnapshot(
        [&](Transaction& transaction) { return ReadDirectory(transaction, fingerprint); }));
  }
  std::vector<ResponseIndex::Change> changes;
  int64_t last = last_change_;
  for (const Row& row : rows) {
    if (row.IsNull(kChangeNumber)) continue;
    changes.push_back({row.Int(kAuthorityId), row.Bytes(kRecord)});
    last = row.Int(kChangeNumber);
  }
  LogMalformed(options_.responses->index().Apply(changes));
  *more = changes.size() >= kPage;
  if (*more) {
    last_change_ = last;
  } else {
    last_change_ = head;
    options_.responses->Synchronised(head, now);
  }
  return absl::OkStatus();
}

absl::Status ChangeSource::ReadDirectory(Transaction& transaction, const Fingerprint& fingerprint) {
  ++queries_;
  const storage::Statement statements[] = {{kAuthorities, {}}, {kSigners, {}}};
  std::vector<Rows> results;
  RETURN_IF_ERROR(Timed("directory", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(results, transaction.Pipeline(statements));
    return absl::OkStatus();
  }));
  std::vector<AuthorityRow> authorities;
  for (const Row& row : results[0]) {
    authorities.push_back({.authority_id = row.Int(0),
                           .tenant = row.Text(1),
                           .name = row.Text(2),
                           .certificate = row.Bytes(3),
                           .settings = row.Bytes(4)});
  }
  std::vector<SignerRow> signers;
  for (const Row& row : results[1]) {
    signers.push_back({.signer_id = row.Int(0),
                       .authority_id = row.Int(1),
                       .algorithm = row.Text(2),
                       .certificate = row.Bytes(3),
                       .sealed_key = row.Bytes(4)});
  }
  const std::shared_ptr<const Directory> previous = options_.responses->directory();
  options_.responses->SetDirectory(
      Directory::Build(authorities, signers, *options_.kek, previous.get()));
  fingerprint_ = fingerprint;
  return absl::OkStatus();
}

absl::StatusOr<std::string> ChangeSource::ReadCrl(int64_t authority_id, int64_t shard) {
  const std::shared_ptr<storage::Database> opened = database();
  if (opened == nullptr) return absl::UnavailableError("the database is not open yet");
  ++queries_;
  std::string der;
  RETURN_IF_ERROR(Timed("crl", [&]() -> absl::Status {
    ASSIGN_OR_RETURN(Rows rows, opened->Query(kCrl, {authority_id, shard}));
    if (rows.empty()) return absl::NotFoundError("there is no such CRL");
    der = std::move(rows[0][0]).AsString();
    return absl::OkStatus();
  }));
  return der;
}

}  // namespace countersign::ocsp
