#include "services/sign/certificates/crl_publisher.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/pki/crl.h"
#include "services/sign/certificates/authorities.h"
#include "services/sign/certificates/certificate_metrics.h"
#include "services/sign/certificates/certificate_store.h"
#include "services/sign/certificates/crl_shard.h"
#include "services/sign/certificates/sign_and_assemble.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

// CRLs that are written together.
constexpr size_t kChunk = 64;

google::protobuf::Timestamp ToTimestamp(int64_t micros) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(micros / 1000000);
  timestamp.set_nanos(static_cast<int32_t>(micros % 1000000 * 1000));
  return timestamp;
}

absl::Duration Lifetime(const LiveAuthority& authority) {
  return absl::Seconds(authority.settings.crl_lifetime().seconds());
}

}  // namespace

CrlPublisher::CrlPublisher(Options options) : options_(options) {}

absl::StatusOr<v1::GetCrlResponse> CrlPublisher::GetCrl(const v1::GetCrlRequest& request) {
  absl::StatusOr<std::shared_ptr<const LiveAuthority>> authority =
      options_.authorities->LoadByName(request.name());
  RETURN_IF_ERROR(authority.status());
  const int64_t shard = request.shard();
  if (shard < 0 || shard >= (*authority)->settings.crl_shards()) {
    return absl::NotFoundError(absl::StrCat(request.name(), " has no CRL shard ", shard,
                                            ", it has ", (*authority)->settings.crl_shards()));
  }
  const auto read = [&] {
    return options_.database->Query(
        "SELECT der, number, this_update, next_update, entries FROM crls"
        " WHERE authority_id = $1 AND shard = $2",
        {(*authority)->id, shard});
  };
  ASSIGN_OR_RETURN(Rows rows, read());
  if (rows.empty()) {
    RETURN_IF_ERROR(
        Publish(**authority, absl::MakeConstSpan(&shard, 1), /*after=*/nullptr).status());
    ASSIGN_OR_RETURN(rows, read());
    if (rows.empty()) return absl::InternalError("a CRL went away");
  }
  v1::GetCrlResponse response;
  response.set_der(rows[0].Bytes(0));
  response.set_number(rows[0].Int(1));
  *response.mutable_this_update() = ToTimestamp(rows[0].Int(2));
  *response.mutable_next_update() = ToTimestamp(rows[0].Int(3));
  response.set_entries(rows[0].Int(4));
  return response;
}

absl::StatusOr<v1::PublishCrlsResponse> CrlPublisher::PublishCrls(
    const v1::PublishCrlsRequest& request) {
  ASSIGN_OR_RETURN(const auto authority, options_.authorities->Load(request.name()));
  std::vector<int64_t> shards(authority->settings.crl_shards());
  for (size_t i = 0; i < shards.size(); ++i) shards[i] = static_cast<int64_t>(i);
  v1::PublishCrlsResponse response;
  ASSIGN_OR_RETURN(const int64_t number, Publish(*authority, shards, /*after=*/nullptr));
  response.set_number(number);
  response.set_shards(authority->settings.crl_shards());
  return response;
}

absl::Status CrlPublisher::PublishShard(int64_t authority_id, int64_t shard) {
  const auto publish = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const auto authority, options_.authorities->LoadById(authority_id));
    return Publish(*authority, absl::MakeConstSpan(&shard, 1), /*after=*/nullptr).status();
  };
  const absl::Status status = publish();
  base::MutexLock lock(&mutex_);
  if (status.ok()) {
    owed_.erase({authority_id, shard});
  } else {
    owed_.insert({authority_id, shard});
  }
  return status;
}

absl::Status CrlPublisher::PublishDue() {
  std::set<std::pair<int64_t, int64_t>> owed;
  {
    base::MutexLock lock(&mutex_);
    owed = owed_;
  }
  absl::Status first;
  const auto note = [&first](int64_t authority_id, const absl::Status& status) {
    // What the key's owner has disabled is no failure.
    if (status.ok() || absl::IsFailedPrecondition(status)) return;
    base::Log(
        base::Severity::kWarning, "a CRL could not be signed",
        {{"authority_id", absl::StrCat(authority_id)}, {"error", std::string(status.message())}});
    if (first.ok()) first = status;
  };
  for (const auto& [authority_id, shard] : owed) {
    note(authority_id, PublishShard(authority_id, shard));
  }
  ASSIGN_OR_RETURN(const std::vector<int64_t> ids, options_.authorities->ListIds());
  for (const int64_t id : ids) note(id, PublishDueOf(id));
  return first;
}

absl::Status CrlPublisher::PublishDueOf(int64_t authority_id) {
  ASSIGN_OR_RETURN(const auto authority, options_.authorities->LoadById(authority_id));
  const absl::Time now = options_.clock->Now();
  if (now >= authority->certificate.not_after) return absl::OkStatus();
  int64_t number = 0;
  std::vector<bool> fresh(authority->settings.crl_shards());
  RETURN_IF_ERROR(options_.database->InSnapshot([&](Transaction& transaction) -> absl::Status {
    fresh.assign(fresh.size(), false);
    ASSIGN_OR_RETURN(const Rows numbers,
                     transaction.Query("SELECT crl_number FROM authorities WHERE authority_id = $1",
                                       {authority_id}));
    if (numbers.empty()) return absl::NotFoundError("the authority is gone");
    number = numbers[0].Int(0);
    ASSIGN_OR_RETURN(const Rows rows,
                     transaction.Query("SELECT shard FROM crls WHERE authority_id = $1"
                                       " AND this_update + (next_update - this_update) / 2 > $2",
                                       {authority_id, absl::ToUnixMicros(now)}));
    for (const Row& row : rows) {
      if (row.Int(0) < static_cast<int64_t>(fresh.size())) fresh[row.Int(0)] = true;
    }
    return absl::OkStatus();
  }));
  std::vector<int64_t> due;
  for (size_t i = 0; i < fresh.size(); ++i) {
    if (!fresh[i]) due.push_back(static_cast<int64_t>(i));
  }
  if (due.empty()) return absl::OkStatus();
  const absl::Status status = Publish(*authority, due, &number).status();
  // Another process has begun to sign since.
  return absl::IsAborted(status) ? absl::OkStatus() : status;
}

absl::StatusOr<int64_t> CrlPublisher::Publish(const LiveAuthority& authority,
                                              absl::Span<const int64_t> shards,
                                              const int64_t* after) {
  if (authority.key == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the key of ", authority.name, " is disabled or destroyed"));
  }
  if (options_.clock->Now() >= authority.certificate.not_after) {
    return PreconditionError(kIssuerExpired,
                             absl::StrCat("the certificate of ", authority.name, " has expired"));
  }
  const Stopwatch watch;
  int64_t number = 0;
  absl::Status status = options_.database->InTransaction(
      [&](Transaction& transaction) -> absl::Status {
        ASSIGN_OR_RETURN(
            const Rows rows,
            transaction.Query(
                "UPDATE authorities SET crl_number = crl_number + 1"
                " WHERE authority_id = $1 AND ($2 = 0 OR crl_number = $3)"
                " RETURNING crl_number",
                {authority.id, after != nullptr ? 1 : 0, after != nullptr ? *after : int64_t{0}}));
        if (rows.empty()) return absl::AbortedError("the CRLs are being signed by another process");
        number = rows[0].Int(0);
        return absl::OkStatus();
      },
      storage::Isolation::kReadCommitted);
  // A chunk a transaction: what one synchronisation costs is shared.
  for (size_t i = 0; i < shards.size() && status.ok(); i += kChunk) {
    status = PublishChunk(authority, shards.subspan(i, kChunk), number);
  }
  if (options_.metrics != nullptr && !absl::IsAborted(status)) {
    options_.metrics->Observe(CertificateOperation::kPublishCrl, status.code(), watch.Elapsed());
  }
  RETURN_IF_ERROR(status);
  return number;
}

absl::Status CrlPublisher::PublishChunk(const LiveAuthority& authority,
                                        absl::Span<const int64_t> shards, int64_t number) {
  const absl::Time now = absl::FromUnixSeconds(absl::ToUnixSeconds(options_.clock->Now()));
  std::vector<std::vector<Value>> params;
  std::vector<storage::Statement> statements;
  for (const int64_t shard : shards) {
    // An entry stays until it was on a scheduled CRL after the certificate's end (RFC 5280 section
    // 3.3): two such CRLs are signed in a CRL's life, and one at least since the one before.
    absl::Time expired_before = now - Lifetime(authority);
    ASSIGN_OR_RETURN(const Rows before,
                     options_.database->Query("SELECT this_update FROM crls"
                                              " WHERE authority_id = $1 AND shard = $2",
                                              {authority.id, shard}));
    if (!before.empty()) {
      expired_before = std::min(expired_before, absl::FromUnixMicros(before[0].Int(0)));
    }
    ASSIGN_OR_RETURN(const std::vector<pki::RevokedEntry> revoked,
                     options_.certificates->Revoked(authority.id, shard, expired_before));
    pki::CrlTemplate what;
    what.signature_algorithm = authority.key->algorithm;
    what.issuer_der = authority.certificate.subject_der;
    what.authority_key_id = authority.certificate.extensions.subject_key_id;
    what.number = number;
    what.this_update = now;
    what.next_update = std::min(now + Lifetime(authority), authority.certificate.not_after);
    if (authority.settings.crl_shards() > 1 && !authority.settings.crl_url().empty()) {
      what.distribution_point = CrlUrlOf(authority.settings.crl_url(), shard);
    }
    what.revoked = revoked;
    ASSIGN_OR_RETURN(const std::string der,
                     SignAndAssemble(pki::BuildTbsCertList(what), *authority.key));
    params.push_back({authority.id, shard, number, static_cast<int64_t>(revoked.size()),
                      absl::ToUnixMicros(what.this_update), absl::ToUnixMicros(what.next_update),
                      Value::Bytes(der)});
  }
  for (const std::vector<Value>& row : params) {
    statements.push_back(
        {"INSERT INTO crls (authority_id, shard, number, entries, this_update, next_update, der)"
         " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (authority_id, shard) DO UPDATE SET"
         " number = excluded.number, entries = excluded.entries,"
         " this_update = excluded.this_update, next_update = excluded.next_update,"
         " der = excluded.der WHERE crls.number < excluded.number",
         row});
  }
  return options_.database->InTransaction(
      [&](Transaction& transaction) { return transaction.Pipeline(statements).status(); },
      storage::Isolation::kReadCommitted);
}

}  // namespace countersign::sign
