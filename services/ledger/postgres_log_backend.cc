#include "services/ledger/postgres_log_backend.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/private_key.h"

namespace countersign::ledger {
namespace {

using storage::Rows;
using storage::Value;

// What a log's key is sealed for: the key of one log does not open as another's.
std::string PurposeOf(const std::string& name) { return absl::StrCat("log key of ", name); }

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresLogBackend>> PostgresLogBackend::Open(Options options) {
  RETURN_IF_ERROR(CreateLedgerSchema(*options.store.database));
  return std::unique_ptr<PostgresLogBackend>(new PostgresLogBackend(std::move(options)));
}

PostgresLogBackend::PostgresLogBackend(Options options)
    : options_(std::move(options)),
      database_(*options_.store.database),
      upkeep_(std::make_unique<PostgresUpkeep>(
          PostgresUpkeep::Options{.database = options_.store.database,
                                  .tablespaces = options_.store.tablespaces,
                                  .clock = options_.store.clock})) {}

absl::StatusOr<std::vector<std::string>> PostgresLogBackend::List() {
  ASSIGN_OR_RETURN(const Rows rows,
                   database_.Query("SELECT name FROM ledger_logs WHERE sealed_key IS NOT NULL "
                                   "ORDER BY name"));
  std::vector<std::string> names;
  for (const storage::Row& row : rows) names.push_back(row.Text(0));
  return names;
}

absl::StatusOr<crypto::Kek> PostgresLogBackend::LoadKek() {
  if (!base::FileExists(options_.kek_path)) {
    ASSIGN_OR_RETURN(const std::vector<std::string> names, List());
    if (!names.empty()) {
      return absl::FailedPreconditionError(absl::StrCat(
          options_.kek_path, " is missing but the database has the log ", names[0],
          ", whose key is sealed under it: copy it from a ledger that has it, or restore it"));
    }
  }
  return crypto::Kek::LoadOrCreate(options_.kek_path);
}

absl::StatusOr<StoredLog> PostgresLogBackend::Open(const LogName& name) {
  const std::string text = name.ToString();
  ASSIGN_OR_RETURN(const Rows rows,
                   database_.Query("SELECT origin, sealed_key, policy FROM ledger_logs "
                                   "WHERE name = $1 AND sealed_key IS NOT NULL",
                                   {Value::Text(text)}));
  if (rows.empty()) return absl::NotFoundError(absl::StrCat("this server has no log ", text));
  const std::string& origin = rows[0].Text(0);
  ASSIGN_OR_RETURN(const crypto::Kek kek, LoadKek());
  const absl::StatusOr<crypto::SecretBytes> der = kek.Open(rows[0].Bytes(1), PurposeOf(text));
  if (!der.ok()) {
    return absl::Status(der.status().code(),
                        absl::StrCat("the key of ", text, ": ", der.status().message()));
  }
  ASSIGN_OR_RETURN(crypto::PrivateKey key,
                   crypto::PrivateKey::FromPkcs8(*der, crypto::Algorithm::kEd25519));
  StoredLog log;
  ASSIGN_OR_RETURN(log.signer, note::NewEd25519Signer(origin, std::move(key)));
  PostgresLogStore::Options store = options_.store;
  store.name = text;
  store.origin = origin;
  ASSIGN_OR_RETURN(log.store, PostgresLogStore::Open(store));
  log.witness_policy = rows[0].Text(2);
  return log;
}

absl::Status PostgresLogBackend::Create(const LogName& name, const std::string& origin,
                                        const std::string& witness_policy) {
  const std::string text = name.ToString();
  ASSIGN_OR_RETURN(const Rows known, database_.Query("SELECT 1 FROM ledger_logs WHERE name = $1",
                                                     {Value::Text(text)}));
  if (!known.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const crypto::Kek kek, LoadKek());
  ASSIGN_OR_RETURN(const crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519));
  ASSIGN_OR_RETURN(const crypto::SecretBytes der, key.ToPkcs8());
  ASSIGN_OR_RETURN(const std::string sealed, kek.Seal(der, PurposeOf(text)));
  // Another ledger may make it at this moment: then its key is the log's. (Without a target both
  // unique columns count; with one, two that make the same log could still collide on the other.)
  RETURN_IF_ERROR(
      database_
          .Run("INSERT INTO ledger_logs (name, origin, sealed_key, policy, create_time) "
               "VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
               {Value::Text(text), Value::Text(origin), Value::Bytes(sealed),
                Value::Text(witness_policy), absl::ToUnixMicros(options_.store.clock->Now())})
          .status());
  ASSIGN_OR_RETURN(const Rows made, database_.Query("SELECT 1 FROM ledger_logs WHERE name = $1",
                                                    {Value::Text(text)}));
  if (made.empty()) {
    return absl::AlreadyExistsError(
        absl::StrCat("another log of the database has the origin ", origin, " already"));
  }
  return absl::OkStatus();
}

}  // namespace countersign::ledger
