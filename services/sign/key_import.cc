// How keys come into the tables of KeyStore, made here or elsewhere.
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/sign/algorithms.h"
#include "services/sign/errors.h"
#include "services/sign/key_store.h"

namespace countersign::sign {

using ::countersign::storage::Transaction;
using ::countersign::storage::Value;

absl::Status KeyStore::InsertVersion(Transaction& transaction, const KeyName& name,
                                     const crypto::PrivateKey& key, absl::Time now) {
  ASSIGN_OR_RETURN(const crypto::SecretBytes pkcs8, key.ToPkcs8());
  ASSIGN_OR_RETURN(const std::string sealed, kek_.Seal(pkcs8, name.ToString()));
  return transaction
      .Run(
          "INSERT INTO key_versions (tenant, key_id, version, state, spki, sealed_key,"
          " create_time) VALUES ($1, $2, $3, $4, $5, $6, $7)",
          {Value::Text(name.tenant), Value::Text(name.key), name.version,
           static_cast<int64_t>(v1::KEY_VERSION_STATE_ENABLED),
           Value::Bytes(key.public_key().spki_der()), Value::Bytes(sealed),
           absl::ToUnixMicros(now)})
      .status();
}

absl::Status KeyStore::InsertKey(Transaction& transaction, const KeyName& name,
                                 const std::string& owner, const std::string& labels,
                                 const crypto::PrivateKey& key, absl::Time now) {
  ASSIGN_OR_RETURN(
      const int64_t inserted,
      transaction.Run("INSERT INTO keys (tenant, key_id, algorithm, owner, labels, primary_version,"
                      " last_version, create_time, update_time)"
                      " VALUES ($1, $2, $3, $4, $5, 1, 1, $6, $6) ON CONFLICT DO NOTHING",
                      {Value::Text(name.tenant), Value::Text(name.key),
                       Value::Text(crypto::AlgorithmName(key.algorithm())), Value::Text(owner),
                       Value::Text(labels), absl::ToUnixMicros(now)}));
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
  RETURN_IF_ERROR(InsertKey(transaction, name, owner, "{}", key, clock_->Now()));
  return name.ToString();
}

}  // namespace countersign::sign
