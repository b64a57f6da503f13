// How keys come into the tables of KeyStore: made here, imported, or found on cards.
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"
#include "services/sign/algorithms.h"
#include "services/sign/card_client.h"
#include "services/sign/errors.h"
#include "services/sign/key_store_impl.h"
#include "services/sign/labels.h"

namespace countersign::sign {

using ::countersign::storage::Row;
using ::countersign::storage::Rows;
using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

namespace {

// What PIV cards do.
constexpr std::array<crypto::Algorithm, 5> kCardAlgorithms = {
    crypto::Algorithm::kEd25519,
    crypto::Algorithm::kEcdsaP256Sha256,
    crypto::Algorithm::kEcdsaP384Sha384,
    crypto::Algorithm::kRsaPss2048Sha256,
    crypto::Algorithm::kRsaPkcs1_2048Sha256,
};

// A card key belongs to the first tenant that named it, for good: destroying a version forgets how
// it is reached and not who signed by it. It belongs to each of that tenant's keys once.
absl::Status CheckCardKeyFree(Transaction& transaction, const KeyName& name,
                              const std::string& card_key) {
  ASSIGN_OR_RETURN(const Rows rows,
                   transaction.Query("SELECT tenant, key_id, version, state FROM key_versions"
                                     " WHERE backend = $1 AND backend <> ''",
                                     {Value::Text(card_key)}));
  for (const Row& row : rows) {
    if (row.Text(0) != name.tenant) {
      return runtime::AttachReason(
          absl::PermissionDeniedError(absl::StrCat(card_key, " is a key of another tenant")),
          kKeyOfAnotherTenant);
    }
    if (row.Text(1) == name.key && row.Int(3) != v1::KEY_VERSION_STATE_DESTROYED) {
      return ExistsError(kKeyExists, absl::StrCat(card_key, " is version ", row.Int(2), " of ",
                                                  name.WithVersion(0).ToString(), " already"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string CardKeyName(const crypto::PublicKey& key) {
  return absl::StrCat("keys/", key.Fingerprint());
}

std::string SealAad(const KeyName& version, bool on_card) {
  return absl::StrCat(version.ToString(), on_card ? "\nyubikey" : "");
}

absl::Status CheckOwner(const std::string& owner) {
  constexpr size_t kMaxOwnerBytes = 256;
  if (owner.size() <= kMaxOwnerBytes) return absl::OkStatus();
  return FieldError("key.owner", absl::StrCat("at most ", kMaxOwnerBytes, " bytes"));
}

absl::StatusOr<KeyStore::NewKey> KeyStore::MakeNewKey(const crypto::PrivateKey& key) {
  ASSIGN_OR_RETURN(crypto::SecretBytes pkcs8, key.ToPkcs8());
  return NewKey{key.algorithm(), key.public_key(), "", std::move(pkcs8)};
}

absl::StatusOr<KeyStore::NewKey> KeyStore::FindCardKey(absl::string_view field,
                                                       const v1::KeyBackend& backend,
                                                       std::optional<crypto::Algorithm> algorithm) {
  if (!backend.has_yubikey()) return FieldError(field, "say which: a yubikey");
  const v1::YubikeyKey& wanted = backend.yubikey();
  if (wanted.key().empty()) return FieldError(absl::StrCat(field, ".yubikey.key"), "required");
  if (algorithm.has_value() && std::find(kCardAlgorithms.begin(), kCardAlgorithms.end(),
                                         *algorithm) == kCardAlgorithms.end()) {
    return FieldError("key.algorithm",
                      absl::StrCat("no card has keys for ", crypto::AlgorithmName(*algorithm)));
  }
  if (cards_ == nullptr) {
    return PreconditionError(
        kNoYubikeyAgent,
        "this service has no YubiKey agent configured; start it with --yubikey-agent");
  }
  ASSIGN_OR_RETURN(CardKey found, wanted.generate() ? cards_->Generate(wanted.key(), *algorithm)
                                                    : cards_->Describe(wanted.key()));
  const crypto::Algorithm used = algorithm.value_or(found.algorithm);
  const absl::Status fits = found.public_key.Check(used);
  if (!fits.ok()) return FieldError(absl::StrCat(field, ".yubikey.key"), fits.message());
  std::string name = CardKeyName(found.public_key);
  crypto::SecretBytes secret{absl::string_view(name)};
  return NewKey{used, std::move(found.public_key), std::move(name), std::move(secret)};
}

absl::StatusOr<v1::CreateKeyResponse> KeyStore::CreateKey(const v1::CreateKeyRequest& request) {
  ASSIGN_OR_RETURN(const std::string tenant, ParseTenantName("parent", request.parent()));
  const v1::Key& wanted = request.key();
  const v1::YubikeyKey& yubikey = wanted.backend().yubikey();
  std::optional<crypto::Algorithm> algorithm;
  // A key that is there says itself what it does.
  if (!wanted.has_backend() || yubikey.generate() ||
      wanted.algorithm() != v1::ALGORITHM_UNSPECIFIED) {
    ASSIGN_OR_RETURN(algorithm, KeyAlgorithm("key.algorithm", wanted.algorithm()));
  }
  RETURN_IF_ERROR(CheckOwner(wanted.owner()));
  RETURN_IF_ERROR(CheckLabels("key.labels", wanted.labels()));
  ASSIGN_OR_RETURN(const std::string id, CheckRequestId(request.request_id()));
  if (!request.key_id().empty() && !ValidKeyId(request.key_id())) {
    return FieldError("key_id",
                      "expected 1 to 63 characters of a-z 0-9 -, beginning with a letter");
  }
  const KeyName name = {tenant,
                        request.key_id().empty()
                            ? absl::StrCat("key-", base::HexEncode(crypto::RandomBytes(8)))
                            : request.key_id(),
                        1};
  // Generating an RSA key takes seconds: not for a repeated request, nor while others wait to
  // write.
  if (!id.empty()) {
    ASSIGN_OR_RETURN(const auto answer,
                     Recall(tenant, id, RequestFingerprint("CreateKey", request)));
    v1::CreateKeyResponse response;
    if (answer.has_value() && response.ParseFromString(*answer)) return response;
  }
  if (yubikey.generate()) {
    // What is made on a card stays there, also when there is no place for it here.
    v1::GetKeyRequest get;
    get.set_name(name.WithVersion(0).ToString());
    const absl::Status there = GetKey(get).status();
    if (there.ok()) {
      return ExistsError(kKeyExists, absl::StrCat(get.name(), " exists already"));
    }
    if (!absl::IsNotFound(there)) return there;
  }
  absl::StatusOr<NewKey> key;
  if (wanted.has_backend()) {
    key = FindCardKey("key.backend", wanted.backend(), algorithm);
  } else {
    ASSIGN_OR_RETURN(const crypto::PrivateKey made, crypto::PrivateKey::Generate(*algorithm));
    key = MakeNewKey(made);
  }
  RETURN_IF_ERROR(key.status());
  return Once<v1::CreateKeyResponse>(
      tenant, "CreateKey", request,
      [&](Transaction& transaction, absl::Time now) -> absl::StatusOr<v1::CreateKeyResponse> {
        RETURN_IF_ERROR(
            InsertKey(transaction, name, wanted.owner(), FormatLabels(wanted.labels()), *key, now));
        v1::CreateKeyResponse response;
        ASSIGN_OR_RETURN(*response.mutable_key(), ReadKey(transaction, name));
        ASSIGN_OR_RETURN(*response.mutable_key_version(), ReadVersion(transaction, name));
        return response;
      });
}

absl::StatusOr<v1::RotateKeyResponse> KeyStore::RotateKey(const v1::RotateKeyRequest& request) {
  ASSIGN_OR_RETURN(const KeyName name, ParseKeyName("name", request.name(), Want::kKey));
  ASSIGN_OR_RETURN(const std::string id, CheckRequestId(request.request_id()));
  if (!id.empty()) {
    ASSIGN_OR_RETURN(const auto answer,
                     Recall(name.tenant, id, RequestFingerprint("RotateKey", request)));
    v1::RotateKeyResponse response;
    if (answer.has_value() && response.ParseFromString(*answer)) return response;
  }
  v1::GetKeyRequest get;
  get.set_name(request.name());
  ASSIGN_OR_RETURN(const v1::GetKeyResponse current, GetKey(get));
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm,
                   KeyAlgorithm("key.algorithm", current.key().algorithm()));
  absl::StatusOr<NewKey> key;
  if (current.key().has_backend()) {
    if (!request.has_backend()) {
      return PreconditionError(
          kBackendRequired, absl::StrCat(request.name(),
                                         " is on a card, and a new version is made of another card "
                                         "key: name it in `backend`"));
    }
    key = FindCardKey("backend", request.backend(), algorithm);
  } else {
    if (request.has_backend()) {
      return FieldError("backend",
                        "this key's versions are kept here; make another key for those "
                        "on cards");
    }
    ASSIGN_OR_RETURN(const crypto::PrivateKey made, crypto::PrivateKey::Generate(algorithm));
    key = MakeNewKey(made);
  }
  RETURN_IF_ERROR(key.status());
  ASSIGN_OR_RETURN(
      v1::RotateKeyResponse response,
      Once<v1::RotateKeyResponse>(
          name.tenant, "RotateKey", request,
          [&](Transaction& transaction, absl::Time now) -> absl::StatusOr<v1::RotateKeyResponse> {
            ASSIGN_OR_RETURN(const Row row, ReadKeyRow(transaction, name));
            const KeyName version = name.WithVersion(row.Int(5) + 1);
            RETURN_IF_ERROR(InsertVersion(transaction, version, *key, now));
            RETURN_IF_ERROR(transaction
                                .Run("UPDATE keys SET primary_version = $3, last_version = $3,"
                                     " update_time = $4 WHERE tenant = $1 AND key_id = $2",
                                     {Value::Text(name.tenant), Value::Text(name.key),
                                      version.version, absl::ToUnixMicros(now)})
                                .status());
            v1::RotateKeyResponse answer;
            ASSIGN_OR_RETURN(*answer.mutable_key(), ReadKey(transaction, name));
            ASSIGN_OR_RETURN(*answer.mutable_key_version(), ReadVersion(transaction, version));
            return answer;
          }));
  Changed(name);
  return response;
}

absl::Status KeyStore::InsertVersion(Transaction& transaction, const KeyName& name,
                                     const NewKey& key, absl::Time now) {
  const bool on_card = !key.card_key.empty();
  if (on_card) RETURN_IF_ERROR(CheckCardKeyFree(transaction, name, key.card_key));
  ASSIGN_OR_RETURN(const std::string sealed, kek_.Seal(key.secret, SealAad(name, on_card)));
  return transaction
      .Run(
          "INSERT INTO key_versions (tenant, key_id, version, state, spki, sealed_key, backend,"
          " create_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
          {Value::Text(name.tenant), Value::Text(name.key), name.version,
           static_cast<int64_t>(v1::KEY_VERSION_STATE_ENABLED),
           Value::Bytes(key.public_key.spki_der()), Value::Bytes(sealed), Value::Text(key.card_key),
           absl::ToUnixMicros(now)})
      .status();
}

absl::Status KeyStore::InsertKey(Transaction& transaction, const KeyName& name,
                                 const std::string& owner, const std::string& labels,
                                 const NewKey& key, absl::Time now) {
  ASSIGN_OR_RETURN(
      const int64_t inserted,
      transaction.Run("INSERT INTO keys (tenant, key_id, algorithm, owner, labels, primary_version,"
                      " last_version, create_time, update_time, backend)"
                      " VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $6, $7) ON CONFLICT DO NOTHING",
                      {Value::Text(name.tenant), Value::Text(name.key),
                       Value::Text(crypto::AlgorithmName(key.algorithm)), Value::Text(owner),
                       Value::Text(labels), absl::ToUnixMicros(now),
                       Value::Text(key.card_key.empty() ? "" : kYubikeyBackend)}));
  if (inserted == 0) {
    return ExistsError(kKeyExists, absl::StrCat(name.WithVersion(0).ToString(), " exists already"));
  }
  return InsertVersion(transaction, name.WithVersion(1), key, now);
}

absl::StatusOr<std::string> KeyStore::ImportKey(Transaction& transaction, const std::string& tenant,
                                                const std::string& key_id, const std::string& owner,
                                                const crypto::PrivateKey& key) {
  RETURN_IF_ERROR(KeyAlgorithm("algorithm", ToProto(key.algorithm())).status());
  const KeyName name = {tenant, key_id, 1};
  ASSIGN_OR_RETURN(const NewKey made, MakeNewKey(key));
  RETURN_IF_ERROR(InsertKey(transaction, name, owner, "{}", made, clock_->Now()));
  return name.ToString();
}

}  // namespace countersign::sign
