#include "services/sign/key_store.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/public_key.h"
#include "services/sign/algorithms.h"
#include "services/sign/errors.h"
#include "services/sign/key_store_impl.h"
#include "services/sign/labels.h"
#include "services/sign/schema.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Params;
using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

constexpr char kKekCheckText[] = "countersign";
constexpr char kKekCheckAad[] = "countersign sign kek check v1";

constexpr absl::string_view kKeyColumns =
    "key_id, algorithm, owner, labels, primary_version, last_version, create_time, update_time,"
    " backend, COALESCE((SELECT v.backend FROM key_versions v WHERE v.tenant = keys.tenant"
    " AND v.key_id = keys.key_id AND v.version = keys.primary_version), '')";
constexpr absl::string_view kVersionColumns = "version, state, spki, create_time, destroy_time";

google::protobuf::Timestamp ToTimestamp(int64_t micros) {
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(micros / 1000000);
  timestamp.set_nanos(static_cast<int32_t>(micros % 1000000 * 1000));
  return timestamp;
}

constexpr int64_t kDestroyed = v1::KEY_VERSION_STATE_DESTROYED;

Value Text(const std::string& text) { return Value::Text(text); }

absl::Status NoSuchKey(const KeyName& name) {
  return absl::NotFoundError(absl::StrCat("no such key: ", name.ToString()));
}

absl::StatusOr<v1::Key> KeyFromRow(const std::string& tenant, const Row& row) {
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm, crypto::ParseAlgorithm(row.Text(1)));
  const KeyName name = {tenant, row.Text(0)};
  v1::Key key;
  key.set_name(name.ToString());
  key.set_algorithm(ToProto(algorithm));
  key.set_owner(row.Text(2));
  ParseLabels(row.Text(3), key.mutable_labels());
  if (row.Int(4) != 0) key.set_primary_version(name.WithVersion(row.Int(4)).ToString());
  *key.mutable_create_time() = ToTimestamp(row.Int(6));
  *key.mutable_update_time() = ToTimestamp(row.Int(7));
  if (row.Text(8) == kYubikeyBackend) {
    key.mutable_backend()->mutable_yubikey()->set_key(row.Text(9));
  }
  return key;
}

v1::KeyVersion VersionFromRow(const KeyName& key, v1::Algorithm algorithm, const Row& row) {
  v1::KeyVersion version;
  version.set_name(key.WithVersion(row.Int(0)).ToString());
  version.set_algorithm(algorithm);
  version.set_state(static_cast<v1::KeyVersionState>(row.Int(1)));
  version.set_spki(row.Bytes(2));
  version.set_fingerprint(base::HexEncode(base::AsBytes(crypto::Sha256(row.Bytes(2)))));
  *version.mutable_create_time() = ToTimestamp(row.Int(3));
  if (!row.IsNull(4)) *version.mutable_destroy_time() = ToTimestamp(row.Int(4));
  return version;
}

// The version that `name` means: its own, or the primary one of the key.
absl::StatusOr<KeyName> ResolveVersion(Transaction& transaction, const KeyName& name) {
  if (name.version != 0) return name;
  ASSIGN_OR_RETURN(const Row row, ReadKeyRow(transaction, name));
  if (row.Int(4) == 0) {
    return PreconditionError(
        kKeyVersionDestroyed,
        absl::StrCat("every version of ", name.ToString(), " is destroyed; rotate the key"));
  }
  return name.WithVersion(row.Int(4));
}

absl::Status Touch(Transaction& transaction, const KeyName& name, absl::Time now) {
  return transaction
      .Run("UPDATE keys SET update_time = $3 WHERE tenant = $1 AND key_id = $2",
           {Text(name.tenant), Text(name.key), absl::ToUnixMicros(now)})
      .status();
}

}  // namespace

absl::StatusOr<Row> ReadKeyRow(Transaction& transaction, const KeyName& name) {
  ASSIGN_OR_RETURN(Rows rows,
                   transaction.Query(absl::StrCat("SELECT ", kKeyColumns,
                                                  " FROM keys WHERE tenant = $1 AND key_id = $2"),
                                     {Text(name.tenant), Text(name.key)}));
  if (rows.empty()) return NoSuchKey(name.WithVersion(0));
  return std::move(rows[0]);
}

absl::StatusOr<v1::Key> ReadKey(Transaction& transaction, const KeyName& name) {
  ASSIGN_OR_RETURN(const Row row, ReadKeyRow(transaction, name));
  return KeyFromRow(name.tenant, row);
}

absl::StatusOr<v1::KeyVersion> ReadVersion(Transaction& transaction, const KeyName& name) {
  ASSIGN_OR_RETURN(const v1::Key key, ReadKey(transaction, name));
  ASSIGN_OR_RETURN(
      const Rows rows,
      transaction.Query(absl::StrCat("SELECT ", kVersionColumns,
                                     " FROM key_versions"
                                     " WHERE tenant = $1 AND key_id = $2 AND version = $3"),
                        {Text(name.tenant), Text(name.key), name.version}));
  if (rows.empty()) {
    return absl::NotFoundError(absl::StrCat("no such key version: ", name.ToString()));
  }
  return VersionFromRow(name, key.algorithm(), rows[0]);
}

KeyStore::KeyStore(std::unique_ptr<storage::Database> database, crypto::Kek kek,
                   const base::Clock* clock, CardClient* cards)
    : database_(std::move(database)), kek_(std::move(kek)), clock_(clock), cards_(cards) {}

KeyStore::~KeyStore() = default;

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Open(
    std::unique_ptr<storage::Database> database, crypto::Kek kek, const base::Clock* clock,
    CardClient* cards) {
  RETURN_IF_ERROR(MigrateSchema(*database));
  std::unique_ptr<KeyStore> store(new KeyStore(std::move(database), std::move(kek), clock, cards));
  RETURN_IF_ERROR(store->CheckKek());
  return store;
}

// A new KEK beside old keys would look healthy until the first of them is used.
absl::Status KeyStore::CheckKek() {
  return database_->InTransaction([this](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(const Rows rows,
                     transaction.Query("SELECT sealed FROM kek_check WHERE id = 1"));
    if (rows.empty()) {
      ASSIGN_OR_RETURN(
          const std::string sealed,
          kek_.Seal(crypto::SecretBytes(absl::string_view(kKekCheckText)), kKekCheckAad));
      return transaction
          .Run("INSERT INTO kek_check (id, sealed) VALUES (1, $1)", {Value::Bytes(sealed)})
          .status();
    }
    const auto opened = kek_.Open(rows[0].Bytes(0), kKekCheckAad);
    if (opened.ok()) return absl::OkStatus();
    return absl::FailedPreconditionError(
        absl::StrCat("the key-encryption key is not the one that this database's keys are sealed "
                     "under; restore the right one: ",
                     opened.status().message()));
  });
}

void KeyStore::Changed(const KeyName& name) {
  if (listener_ != nullptr) listener_(name);
}

absl::StatusOr<v1::GetKeyResponse> KeyStore::GetKey(const v1::GetKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("name", request.name(), Want::kKey));
  v1::GetKeyResponse response;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(*response.mutable_key(), ReadKey(transaction, name));
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListKeysResponse> KeyStore::ListKeys(const v1::ListKeysRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size()));
  const std::string scope = absl::StrCat(request.parent(), "\n", request.owner());
  ASSIGN_OR_RETURN(const std::string after, ParsePageToken(scope, request.page_token()));
  ASSIGN_OR_RETURN(
      const Rows rows,
      database_->Query(absl::StrCat("SELECT ", kKeyColumns,
                                    " FROM keys WHERE tenant = $1 AND key_id > $2"
                                    " AND ($3 = '' OR owner = $3) ORDER BY key_id LIMIT $4"),
                       {Text(tenant), Text(after), Text(request.owner()), size + 1}));
  v1::ListKeysResponse response;
  for (int64_t i = 0; i < static_cast<int64_t>(rows.size()) && i < size; ++i) {
    ASSIGN_OR_RETURN(*response.add_keys(), KeyFromRow(tenant, rows[i]));
  }
  if (static_cast<int64_t>(rows.size()) > size) {
    response.set_next_page_token(MakePageToken(scope, rows[size - 1].Text(0)));
  }
  return response;
}

absl::StatusOr<v1::UpdateKeyResponse> KeyStore::UpdateKey(const v1::UpdateKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("key.name", request.key().name(), Want::kKey));
  bool owner = request.update_mask().paths().empty();
  bool labels = owner;
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "owner") {
      owner = true;
    } else if (path == "labels") {
      labels = true;
    } else {
      return FieldError("update_mask",
                        absl::StrCat("owner and labels can be changed, not \"", path, "\""));
    }
  }
  if (owner) RETURN_IF_ERROR(CheckOwner(request.key().owner()));
  if (labels) RETURN_IF_ERROR(CheckLabels("key.labels", request.key().labels()));
  return Once<v1::UpdateKeyResponse>(
      name.tenant, "UpdateKey", request,
      [&](Transaction& transaction, absl::Time now) -> absl::StatusOr<v1::UpdateKeyResponse> {
        ASSIGN_OR_RETURN(const Row row, ReadKeyRow(transaction, name));
        RETURN_IF_ERROR(transaction
                            .Run("UPDATE keys SET owner = $3, labels = $4, update_time = $5"
                                 " WHERE tenant = $1 AND key_id = $2",
                                 {Text(name.tenant), Text(name.key),
                                  Text(owner ? request.key().owner() : row.Text(2)),
                                  Text(labels ? FormatLabels(request.key().labels()) : row.Text(3)),
                                  absl::ToUnixMicros(now)})
                            .status());
        v1::UpdateKeyResponse response;
        ASSIGN_OR_RETURN(*response.mutable_key(), ReadKey(transaction, name));
        return response;
      });
}

absl::StatusOr<v1::GetKeyVersionResponse> KeyStore::GetKeyVersion(
    const v1::GetKeyVersionRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("name", request.name(), Want::kVersion));
  v1::GetKeyVersionResponse response;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(*response.mutable_key_version(), ReadVersion(transaction, name));
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::ListKeyVersionsResponse> KeyStore::ListKeyVersions(
    const v1::ListKeyVersionsRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("parent", request.parent(), Want::kKey));
  ASSIGN_OR_RETURN(const int64_t size, PageSize(request.page_size()));
  ASSIGN_OR_RETURN(const std::string token, ParsePageToken(request.parent(), request.page_token()));
  int64_t before = INT64_MAX;
  if (!token.empty() && !absl::SimpleAtoi(token, &before)) {
    return FieldError("page_token", "not a token that this list answered");
  }
  v1::ListKeyVersionsResponse response;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    response.Clear();
    ASSIGN_OR_RETURN(const v1::Key key, ReadKey(transaction, name));
    ASSIGN_OR_RETURN(
        const Rows rows,
        transaction.Query(absl::StrCat("SELECT ", kVersionColumns,
                                       " FROM key_versions WHERE tenant = $1 AND key_id = $2"
                                       " AND version < $3 ORDER BY version DESC LIMIT $4"),
                          {Text(name.tenant), Text(name.key), before, size + 1}));
    for (int64_t i = 0; i < static_cast<int64_t>(rows.size()) && i < size; ++i) {
      *response.add_key_versions() = VersionFromRow(name, key.algorithm(), rows[i]);
    }
    if (static_cast<int64_t>(rows.size()) > size) {
      response.set_next_page_token(
          MakePageToken(request.parent(), absl::StrCat(rows[size - 1].Int(0))));
    }
    return absl::OkStatus();
  }));
  return response;
}

absl::StatusOr<v1::KeyVersion> KeyStore::SetState(Transaction& transaction, const KeyName& name,
                                                  v1::KeyVersionState state, absl::Time now) {
  ASSIGN_OR_RETURN(v1::KeyVersion version, ReadVersion(transaction, name));
  if (version.state() == v1::KEY_VERSION_STATE_DESTROYED) {
    return PreconditionError(kKeyVersionDestroyed,
                             absl::StrCat(name.ToString(), " is destroyed for good"));
  }
  if (version.state() == state) return version;
  RETURN_IF_ERROR(
      transaction
          .Run("UPDATE key_versions SET state = $4"
               " WHERE tenant = $1 AND key_id = $2 AND version = $3",
               {Text(name.tenant), Text(name.key), name.version, static_cast<int64_t>(state)})
          .status());
  RETURN_IF_ERROR(Touch(transaction, name, now));
  version.set_state(state);
  return version;
}

absl::StatusOr<v1::DisableKeyVersionResponse> KeyStore::DisableKeyVersion(
    const v1::DisableKeyVersionRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("name", request.name(), Want::kVersion));
  auto response = Once<v1::DisableKeyVersionResponse>(
      name.tenant, "DisableKeyVersion", request,
      [&](Transaction& transaction,
          absl::Time now) -> absl::StatusOr<v1::DisableKeyVersionResponse> {
        v1::DisableKeyVersionResponse answer;
        ASSIGN_OR_RETURN(*answer.mutable_key_version(),
                         SetState(transaction, name, v1::KEY_VERSION_STATE_DISABLED, now));
        return answer;
      });
  Changed(name);
  return response;
}

absl::StatusOr<v1::EnableKeyVersionResponse> KeyStore::EnableKeyVersion(
    const v1::EnableKeyVersionRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("name", request.name(), Want::kVersion));
  return Once<v1::EnableKeyVersionResponse>(
      name.tenant, "EnableKeyVersion", request,
      [&](Transaction& transaction,
          absl::Time now) -> absl::StatusOr<v1::EnableKeyVersionResponse> {
        v1::EnableKeyVersionResponse answer;
        ASSIGN_OR_RETURN(*answer.mutable_key_version(),
                         SetState(transaction, name, v1::KEY_VERSION_STATE_ENABLED, now));
        return answer;
      });
}

absl::StatusOr<v1::KeyVersion> KeyStore::Destroy(Transaction& transaction, const KeyName& name,
                                                 absl::Time now) {
  ASSIGN_OR_RETURN(const v1::KeyVersion version, ReadVersion(transaction, name));
  if (version.state() == v1::KEY_VERSION_STATE_DESTROYED) return version;
  const std::vector<Value> id = {Text(name.tenant), Text(name.key), name.version};
  // Overwritten in place first, so that the page that held the sealed key holds it no more.
  ASSIGN_OR_RETURN(const Rows sealed,
                   transaction.Query("SELECT sealed_key FROM key_versions"
                                     " WHERE tenant = $1 AND key_id = $2 AND version = $3",
                                     id));
  RETURN_IF_ERROR(
      transaction
          .Run("UPDATE key_versions SET sealed_key = $4"
               " WHERE tenant = $1 AND key_id = $2 AND version = $3",
               {id[0], id[1], id[2], Value::Bytes(std::string(sealed[0].Bytes(0).size(), '\0'))})
          .status());
  RETURN_IF_ERROR(transaction
                      .Run("UPDATE key_versions SET sealed_key = NULL, state = $4,"
                           " destroy_time = $5"
                           " WHERE tenant = $1 AND key_id = $2 AND version = $3",
                           {id[0], id[1], id[2], kDestroyed, absl::ToUnixMicros(now)})
                      .status());
  RETURN_IF_ERROR(transaction
                      .Run("UPDATE keys SET primary_version = COALESCE((SELECT MAX(version)"
                           " FROM key_versions WHERE tenant = $1 AND key_id = $2 AND state <> $4),"
                           " 0) WHERE tenant = $1 AND key_id = $2 AND primary_version = $3",
                           {id[0], id[1], id[2], kDestroyed})
                      .status());
  RETURN_IF_ERROR(Touch(transaction, name, now));
  return ReadVersion(transaction, name);
}

absl::StatusOr<v1::DestroyKeyVersionResponse> KeyStore::DestroyKeyVersion(
    const v1::DestroyKeyVersionRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("name", request.name(), Want::kVersion));
  auto response = Once<v1::DestroyKeyVersionResponse>(
      name.tenant, "DestroyKeyVersion", request,
      [&](Transaction& transaction,
          absl::Time now) -> absl::StatusOr<v1::DestroyKeyVersionResponse> {
        v1::DestroyKeyVersionResponse answer;
        ASSIGN_OR_RETURN(*answer.mutable_key_version(), Destroy(transaction, name, now));
        return answer;
      });
  Changed(name);
  RETURN_IF_ERROR(response.status());
  RETURN_IF_ERROR(database_->EraseDeleted());
  return response;
}

absl::StatusOr<v1::GetPublicKeyResponse> KeyStore::GetPublicKey(
    const v1::GetPublicKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("name", request.name(), Want::kKeyOrVersion));
  v1::KeyVersion version;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(const KeyName resolved, ResolveVersion(transaction, name));
    ASSIGN_OR_RETURN(version, ReadVersion(transaction, resolved));
    return absl::OkStatus();
  }));
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromSpkiDer(version.spki()));
  v1::GetPublicKeyResponse response;
  response.set_name(version.name());
  response.set_algorithm(version.algorithm());
  response.set_spki(version.spki());
  response.set_pem(key.ToPem());
  response.set_fingerprint(version.fingerprint());
  return response;
}

absl::StatusOr<KeyStore::LoadedKey> KeyStore::Load(const KeyName& name) {
  KeyName resolved;
  v1::KeyVersion version;
  std::string sealed;
  std::string card_key;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(resolved, ResolveVersion(transaction, name));
    ASSIGN_OR_RETURN(version, ReadVersion(transaction, resolved));
    ASSIGN_OR_RETURN(Rows rows, transaction.Query(
                                    "SELECT sealed_key, backend FROM key_versions"
                                    " WHERE tenant = $1 AND key_id = $2 AND version = $3",
                                    {Text(resolved.tenant), Text(resolved.key), resolved.version}));
    sealed = std::move(rows[0][0]).AsString();
    card_key = rows[0].Text(1);
    return absl::OkStatus();
  }));
  if (version.state() == v1::KEY_VERSION_STATE_DISABLED) {
    return PreconditionError(kKeyVersionDisabled,
                             absl::StrCat(version.name(), " is disabled; enable it first"));
  }
  if (version.state() != v1::KEY_VERSION_STATE_ENABLED) {
    return PreconditionError(kKeyVersionDestroyed, absl::StrCat(version.name(), " is destroyed"));
  }
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm,
                   KeyAlgorithm("key.algorithm", version.algorithm()));
  ASSIGN_OR_RETURN(crypto::PublicKey public_key, crypto::PublicKey::FromSpkiDer(version.spki()));
  LoadedKey loaded{std::move(resolved), algorithm, std::move(public_key), std::nullopt, ""};
  ASSIGN_OR_RETURN(const crypto::SecretBytes secret,
                   kek_.Open(sealed, SealAad(loaded.version, !card_key.empty())));
  if (!card_key.empty()) {
    // Who can write to the database, and not open what is sealed, cannot make one card key another.
    if (secret.Expose(crypto::SecretAccess::Grant()) != card_key ||
        card_key != CardKeyName(loaded.public_key)) {
      return absl::DataLossError(absl::StrCat("the card key of ", version.name(), " was altered"));
    }
    loaded.card_key = std::move(card_key);
    return loaded;
  }
  ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::PrivateKey::FromPkcs8(secret, algorithm));
  if (key.public_key().spki_der() != version.spki()) {
    return absl::DataLossError(absl::StrCat("the private and the public key of ", version.name(),
                                            " do not belong together"));
  }
  loaded.key = std::move(key);
  return loaded;
}

absl::StatusOr<std::optional<std::string>> KeyStore::Recall(const std::string& tenant,
                                                            const std::string& request_id,
                                                            const std::string& fingerprint) {
  ASSIGN_OR_RETURN(const std::string id, CheckRequestId(request_id));
  std::optional<std::string> found;
  RETURN_IF_ERROR(database_->InSnapshot([&](Transaction& transaction) -> absl::Status {
    ASSIGN_OR_RETURN(found, FindAnswer(transaction, tenant, id, fingerprint, clock_->Now()));
    return absl::OkStatus();
  }));
  return found;
}

absl::StatusOr<std::string> KeyStore::Remember(const std::string& tenant,
                                               const std::string& request_id,
                                               const std::string& fingerprint,
                                               const std::string& answer) {
  ASSIGN_OR_RETURN(const std::string id, CheckRequestId(request_id));
  std::string kept;
  RETURN_IF_ERROR(database_->InTransaction([&](Transaction& transaction) -> absl::Status {
    const absl::Time now = clock_->Now();
    ASSIGN_OR_RETURN(auto found, FindAnswer(transaction, tenant, id, fingerprint, now));
    kept = found.has_value() ? *std::move(found) : answer;
    if (found.has_value()) return absl::OkStatus();
    return SaveAnswer(transaction, tenant, id, fingerprint, answer, now);
  }));
  return kept;
}

}  // namespace countersign::sign
