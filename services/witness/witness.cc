#include "services/witness/witness.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "libs/base/bytes.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/merkle/proof.h"
#include "libs/runtime/error_details.h"
#include "services/witness/schema.h"

namespace countersign::witness {
namespace {

using storage::Value;

constexpr size_t kMaxKeysPerLog = 16;
// Enough, since the one row that matters is locked, and no transaction is run twice for the sake of
// rows that do not.
constexpr storage::Isolation kIsolation = storage::Isolation::kReadCommitted;
// By how much the clocks of replicas may differ.
constexpr int64_t kMaxSkewSeconds = 2;
// What an index of a database still takes.
constexpr size_t kMaxOriginBytes = 1024;

std::string OriginHash(absl::string_view origin) {
  return base::HexEncode(base::AsBytes(crypto::Sha256(origin)));
}

// The database's failures are the witness's, whatever their code: a client must not take one for a
// verdict on its checkpoint.
absl::Status StoreFailure(const absl::Status& status) {
  base::Log(base::Severity::kError, "the database failed", {{"status", status.ToString()}});
  return absl::UnavailableError("the witness could not use its database; try again later");
}

absl::Status NotConsistent(absl::string_view reason, absl::string_view message) {
  return runtime::AttachReason(absl::FailedPreconditionError(message), reason);
}

// What a transaction's body returns that has a verdict and changes nothing: it is rolled back,
// which waits for no disk, so that whoever repeats a log's public checkpoint does not keep that log
// waiting.
absl::Status NothingToStore() { return absl::CancelledError("the checkpoint is not taken"); }

// Of POSIX seconds.
std::string Rfc3339(int64_t seconds) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(seconds),
                          absl::UTCTimeZone());
}

// A log's origin must be what can be the first line of a signed checkpoint.
absl::Status CheckOrigin(absl::string_view origin) {
  const note::Checkpoint checkpoint{std::string(origin), 0, merkle::EmptyRoot()};
  const absl::StatusOr<note::Checkpoint> parsed = note::ParseSignedCheckpoint(
      note::FormatNote({note::FormatCheckpoint(checkpoint), {{"any", 0, "any"}}}));
  if (!parsed.ok() || !(*parsed == checkpoint) || origin.size() > kMaxOriginBytes) {
    return absl::InvalidArgumentError(absl::StrCat("an origin is one line of 1 to ",
                                                   kMaxOriginBytes,
                                                   " bytes of UTF-8 without control characters"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<note::NoteVerifier>> ParseKeys(const std::vector<std::string>& vkeys) {
  std::vector<note::NoteVerifier> keys;
  for (const std::string& vkey : vkeys) {
    ASSIGN_OR_RETURN(note::NoteVerifier key, note::ParseVkey(vkey));
    keys.push_back(std::move(key));
  }
  return keys;
}

std::vector<std::string> SplitKeys(const std::string& text) { return absl::StrSplit(text, '\n'); }

bool SameKeys(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::set<std::string>(a.begin(), a.end()) == std::set<std::string>(b.begin(), b.end());
}

// Of the columns origin, vkeys, size, cosign_time.
WatchedLog ToWatchedLog(const storage::Row& row) {
  WatchedLog log;
  log.origin = row.Text(0);
  log.vkeys = SplitKeys(row.Text(1));
  log.size = static_cast<uint64_t>(row.Int(2));
  if (!row.IsNull(3)) log.cosign_time = absl::FromUnixSeconds(row.Int(3));
  return log;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Witness>> Witness::Open(std::unique_ptr<storage::Database> database,
                                                       Options options) {
  RETURN_IF_ERROR(storage::Migrate(*database, Migrations()));
  const std::string vkey = options.signer->vkey();
  std::string owner;
  RETURN_IF_ERROR(database->InTransaction(
      [&](storage::Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(
            transaction
                .Run("INSERT INTO witness (id, vkey) VALUES (1, $1) ON CONFLICT DO NOTHING",
                     {Value::Text(vkey)})
                .status());
        ASSIGN_OR_RETURN(const storage::Rows rows, transaction.Query("SELECT vkey FROM witness"));
        owner = rows.empty() ? "" : rows[0].Text(0);
        return absl::OkStatus();
      },
      kIsolation));
  if (owner != vkey) {
    return absl::FailedPreconditionError(absl::StrCat("the database is that of the witness ", owner,
                                                      ", not of ", vkey,
                                                      ": choose the right database, key or name"));
  }
  return std::unique_ptr<Witness>(new Witness(std::move(database), std::move(options)));
}

Witness::Witness(std::unique_ptr<storage::Database> database, Options options)
    : database_(std::move(database)), signer_(std::move(options.signer)), clock_(options.clock) {}

absl::StatusOr<AddCheckpointResult> Witness::AddCheckpoint(
    const note::AddCheckpointRequest& request) {
  absl::StatusOr<AddCheckpointResult> result = Add(request);
  if (result.ok()) {
    ++(result->conflict_size.has_value() ? counts_.conflicts : counts_.cosigned);
  } else if (absl::IsUnavailable(result.status())) {
    ++counts_.failed;
  } else {
    ++counts_.refused;
    if (runtime::ReasonOf(result.status()) == "ROOT_MISMATCH") ++counts_.forks;
  }
  return result;
}

absl::StatusOr<AddCheckpointResult> Witness::Add(const note::AddCheckpointRequest& request) {
  if (request.proof.size() > note::kMaxAddCheckpointHashes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a proof has at most ", note::kMaxAddCheckpointHashes, " hashes"));
  }
  ASSIGN_OR_RETURN(note::SignedNote note, note::ParseNote(request.checkpoint));
  ASSIGN_OR_RETURN(const note::Checkpoint checkpoint, note::ParseCheckpoint(note.text));
  ASSIGN_OR_RETURN(const std::shared_ptr<Log> log, FindLog(checkpoint.origin));
  ASSIGN_OR_RETURN(const std::vector<note::VerifiedSignature> verified,
                   note::VerifyNote(note, log->keys));
  if (request.old_size > checkpoint.size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the old size, ", request.old_size, ", is above the checkpoint's, ", checkpoint.size));
  }

  // What is kept and served bears nobody's signatures but the log's, and of each key the first: a
  // line can be repeated, and some algorithms have any number of signatures for one text.
  note::SignedNote kept{note::FormatCheckpoint(checkpoint), {}};
  std::set<size_t> signers;
  for (const note::VerifiedSignature& signature : verified) {
    if (!signers.insert(signature.verifier).second) continue;
    kept.signatures.push_back(std::move(note.signatures[signature.signature]));
  }
  AddCheckpointResult result;
  absl::Status refusal;
  const absl::Status stored = database_->InTransaction(
      [&](storage::Transaction& transaction) -> absl::Status {
        result = {};
        refusal = absl::OkStatus();
        return Decide(transaction, request, checkpoint, kept, &result, &refusal);
      },
      kIsolation);
  if (!stored.ok() && stored != NothingToStore()) return StoreFailure(stored);
  RETURN_IF_ERROR(refusal);
  return result;
}

// Checks the checkpoint against the log's row, and replaces that. Returns NothingToStore with the
// latest size in `*result`, or with `*refusal` set when it does not take the checkpoint; another
// error when the database is at fault.
absl::Status Witness::Decide(storage::Transaction& transaction,
                             const note::AddCheckpointRequest& request,
                             const note::Checkpoint& checkpoint, const note::SignedNote& note,
                             AddCheckpointResult* result, absl::Status* refusal) const {
  // The lock makes another replica's request for this log wait and then see what comes of this one.
  // SQLite has one writer at a time, and no such clause.
  ASSIGN_OR_RETURN(
      const storage::Rows rows,
      transaction.Query(
          absl::StrCat("SELECT version, size, root, cosign_time FROM logs WHERE origin = $1",
                       database_->engine() == storage::Engine::kPostgres ? " FOR UPDATE" : ""),
          {Value::Text(checkpoint.origin)}));
  if (rows.empty()) return absl::DataLossError("a log that was watched has no row any more");
  const storage::Row& row = rows[0];
  const bool first = row.IsNull(2);
  const uint64_t latest_size = static_cast<uint64_t>(row.Int(1));
  merkle::Hash latest_root = merkle::EmptyRoot();
  if (!first) {
    ASSIGN_OR_RETURN(latest_root, merkle::ToHash(row.Bytes(2)));
  }

  if (request.old_size != latest_size) {
    result->conflict_size = latest_size;
    return NothingToStore();
  }
  // (Another root of the empty tree is nonsense, not a fork: it fails below.)
  if (checkpoint.size == latest_size && latest_size != 0 && checkpoint.root != latest_root) {
    *refusal =
        NotConsistent("ROOT_MISMATCH", absl::StrCat("the root of size ", latest_size, " is ",
                                                    merkle::EncodeHash(latest_root), ", not ",
                                                    merkle::EncodeHash(checkpoint.root)));
    base::Log(base::Severity::kError, "a log has signed two roots of one size",
              {{"origin", checkpoint.origin},
               {"known_root", merkle::EncodeHash(latest_root)},
               {"refused_checkpoint", note::FormatNote(note)}});
    return NothingToStore();
  }
  if (const absl::Status proof = merkle::VerifyConsistency(
          latest_size, checkpoint.size, request.proof, latest_root, checkpoint.root);
      !proof.ok()) {
    *refusal = NotConsistent("PROOF_INVALID", proof.message());
    base::Log(base::Severity::kWarning, "a log's checkpoint was not proven consistent",
              {{"origin", checkpoint.origin},
               {"known_size", absl::StrCat(latest_size)},
               {"known_root", merkle::EncodeHash(latest_root)},
               {"refused_checkpoint", note::FormatNote(note)}});
    return NothingToStore();
  }

  // A cosignature says what was the latest tree at its time, so times never go back: a replica
  // whose clock is a little behind cosigns as of the latest time.
  int64_t now = absl::ToUnixSeconds(clock_->Now());
  if (now <= 0) {
    *refusal = absl::UnavailableError("the witness's clock is not past 1970; it must be set right");
    return NothingToStore();
  }
  if (!row.IsNull(3) && now < row.Int(3)) {
    if (row.Int(3) - now > kMaxSkewSeconds) {
      const std::string recorded = Rfc3339(row.Int(3));
      *refusal = absl::UnavailableError(absl::StrCat(
          "this log was last cosigned at ", recorded, ", but the witness's clock says ",
          Rfc3339(now),
          ": it cosigns the log again after the former; set the clock if it is wrong"));
      base::Log(base::Severity::kError, "the clock is behind the time of a log's last cosignature",
                {{"origin", checkpoint.origin}, {"recorded_time", recorded}});
      return NothingToStore();
    }
    now = row.Int(3);
  }
  ASSIGN_OR_RETURN(std::string signature, signer_->SignAt(note.text, static_cast<uint64_t>(now)));
  const note::NoteSignature cosignature{signer_->name(), signer_->key_id(), std::move(signature)};
  note::SignedNote cosigned = note;
  cosigned.signatures.push_back(cosignature);
  ASSIGN_OR_RETURN(
      const int64_t updated,
      transaction.Run(
          "UPDATE logs SET version = version + 1, size = $1, root = $2, note = $3, "
          "cosign_time = $4 WHERE origin = $5 AND version = $6",
          {static_cast<int64_t>(checkpoint.size), Value::Bytes(base::AsBytes(checkpoint.root)),
           Value::Bytes(note::FormatNote(cosigned)), now, Value::Text(checkpoint.origin),
           row.Int(0)}));
  if (updated != 1) return absl::AbortedError("the log's row changed meanwhile");
  result->cosignatures = note::FormatSignatureLine(cosignature);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<Witness::Log>> Witness::FindLog(const std::string& origin) {
  {
    base::MutexLock lock(&mutex_);
    if (const auto known = logs_.find(origin); known != logs_.end()) return known->second;
  }
  const absl::StatusOr<storage::Rows> rows =
      database_->Query("SELECT vkeys FROM logs WHERE origin = $1", {Value::Text(origin)});
  if (!rows.ok()) return StoreFailure(rows.status());
  if (rows->empty()) {
    return absl::NotFoundError("this witness does not watch a log of that origin");
  }
  auto log = std::make_shared<Log>();
  absl::StatusOr<std::vector<note::NoteVerifier>> keys = ParseKeys(SplitKeys((*rows)[0].Text(0)));
  if (!keys.ok()) return StoreFailure(keys.status());
  log->keys = *std::move(keys);
  base::MutexLock lock(&mutex_);
  return logs_.emplace(origin, std::move(log)).first->second;
}

absl::StatusOr<std::string> Witness::ReadCheckpoint(absl::string_view column,
                                                    absl::string_view value) {
  const absl::StatusOr<storage::Rows> rows = database_->Query(
      absl::StrCat("SELECT note FROM logs WHERE ", column, " = $1"), {Value::Text(value)});
  if (!rows.ok()) return StoreFailure(rows.status());
  if (rows->empty()) {
    return absl::NotFoundError("this witness does not watch a log of that origin");
  }
  if ((*rows)[0].IsNull(0)) {
    return absl::NotFoundError("this witness has cosigned no checkpoint of that log yet");
  }
  return (*rows)[0].Bytes(0);
}

absl::StatusOr<std::string> Witness::LatestCheckpoint(absl::string_view origin) {
  RETURN_IF_ERROR(CheckOrigin(origin));
  return ReadCheckpoint("origin", origin);
}

absl::StatusOr<std::string> Witness::LatestCheckpointByHash(absl::string_view origin_hash) {
  return ReadCheckpoint("origin_hash", origin_hash);
}

absl::StatusOr<WatchedLog> Witness::AddLog(absl::string_view origin,
                                           const std::vector<std::string>& vkeys) {
  if (vkeys.empty() || vkeys.size() > kMaxKeysPerLog) {
    return absl::InvalidArgumentError(
        absl::StrCat("a log has 1 to ", kMaxKeysPerLog, " verifier keys"));
  }
  ASSIGN_OR_RETURN(const std::vector<note::NoteVerifier> keys, ParseKeys(vkeys));
  const std::string log_origin(origin.empty() ? keys[0].name() : origin);
  RETURN_IF_ERROR(CheckOrigin(log_origin));
  if (std::set<std::string>(vkeys.begin(), vkeys.end()).size() != vkeys.size()) {
    return absl::InvalidArgumentError("a verifier key is given twice");
  }
  const note::NoteVerifier& own = signer_->verifier();
  const bool own_key = std::any_of(keys.begin(), keys.end(), [&](const note::NoteVerifier& key) {
    return key.name() == own.name() || key.public_key() == own.public_key();
  });
  if (own_key || log_origin == own.name()) {
    return absl::InvalidArgumentError("a log must not bear the witness's own name or key");
  }

  storage::Rows rows;
  const absl::Status stored = database_->InTransaction(
      [&](storage::Transaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(transaction
                            .Run("INSERT INTO logs (origin, origin_hash, vkeys, version, size) "
                                 "VALUES ($1, $2, $3, 0, 0) ON CONFLICT DO NOTHING",
                                 {Value::Text(log_origin), Value::Text(OriginHash(log_origin)),
                                  Value::Text(absl::StrJoin(vkeys, "\n"))})
                            .status());
        ASSIGN_OR_RETURN(rows, transaction.Query("SELECT origin, vkeys, size, cosign_time "
                                                 "FROM logs WHERE origin = $1",
                                                 {Value::Text(log_origin)}));
        return absl::OkStatus();
      },
      kIsolation);
  if (!stored.ok()) return StoreFailure(stored);
  if (rows.empty()) return StoreFailure(absl::DataLossError("the log just added is not there"));
  WatchedLog log = ToWatchedLog(rows[0]);
  if (!SameKeys(log.vkeys, vkeys)) {
    return absl::AlreadyExistsError(
        absl::StrCat("the log ", log_origin,
                     " is watched already, with other keys: ", absl::StrJoin(log.vkeys, " ")));
  }
  return log;
}

absl::Status Witness::TurnAway() {
  ++counts_.turned_away;
  return runtime::AttachRetryAfter(
      runtime::AttachReason(
          absl::ResourceExhaustedError("too many requests wait already; try again in a second"),
          "TOO_MUCH_WAITING"),
      absl::Seconds(1));
}

absl::Status Witness::AddLogsByKeyName(const std::vector<std::string>& vkeys) {
  ASSIGN_OR_RETURN(const std::vector<note::NoteVerifier> keys, ParseKeys(vkeys));
  std::map<std::string, std::vector<std::string>> by_name;
  for (size_t i = 0; i < keys.size(); ++i) by_name[keys[i].name()].push_back(vkeys[i]);
  for (const auto& [origin, group] : by_name) RETURN_IF_ERROR(AddLog(origin, group).status());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<WatchedLog>> Witness::ListLogs(absl::string_view after, size_t limit) {
  const absl::StatusOr<storage::Rows> rows = database_->Query(
      "SELECT origin, vkeys, size, cosign_time FROM logs WHERE origin > $1 "
      "ORDER BY origin LIMIT $2",
      {Value::Text(after), static_cast<int64_t>(limit)});
  if (!rows.ok()) return StoreFailure(rows.status());
  std::vector<WatchedLog> logs;
  for (const storage::Row& row : *rows) logs.push_back(ToWatchedLog(row));
  return logs;
}

}  // namespace countersign::witness
