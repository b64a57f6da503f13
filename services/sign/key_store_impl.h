// What the parts of KeyStore share. For this folder alone.
#ifndef COUNTERSIGN_SERVICES_SIGN_KEY_STORE_IMPL_H_
#define COUNTERSIGN_SERVICES_SIGN_KEY_STORE_IMPL_H_

#include <functional>
#include <string>

#include "absl/strings/string_view.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/public_key.h"
#include "services/sign/key_store.h"
#include "services/sign/requests.h"

namespace countersign::sign {

// What stands in keys.backend of a key on a card.
inline constexpr char kYubikeyBackend[] = "yubikey";

// At most 256 bytes, or InvalidArgument.
absl::Status CheckOwner(const std::string& owner);

// The agent's name of a key, wherever it is: `keys/{fingerprint}`.
std::string CardKeyName(const crypto::PublicKey& key);
// What the sealed private key of a version, or the sealed name of its card key, is bound to.
std::string SealAad(const KeyName& version, bool on_card);

// Read in the caller's transaction or snapshot. NotFound. Of a row the columns are as in
// kKeyColumns: 4 is the primary version, 5 the last one, 8 the backend.
absl::StatusOr<storage::Row> ReadKeyRow(storage::Transaction& transaction, const KeyName& name);
absl::StatusOr<v1::Key> ReadKey(storage::Transaction& transaction, const KeyName& name);
absl::StatusOr<v1::KeyVersion> ReadVersion(storage::Transaction& transaction, const KeyName& name);

template <typename Response, typename Request>
absl::StatusOr<Response> KeyStore::Once(
    const std::string& tenant, absl::string_view method, const Request& request,
    const std::function<absl::StatusOr<Response>(storage::Transaction&, absl::Time)>& body) {
  ASSIGN_OR_RETURN(const std::string id, CheckRequestId(request.request_id()));
  const std::string fingerprint = id.empty() ? "" : RequestFingerprint(method, request);
  const absl::Time now = clock_->Now();
  Response response;
  RETURN_IF_ERROR(database_->InTransaction([&](storage::Transaction& transaction) -> absl::Status {
    if (!id.empty()) {
      ASSIGN_OR_RETURN(const auto answer, FindAnswer(transaction, tenant, id, fingerprint, now));
      if (answer.has_value()) {
        return response.ParseFromString(*answer)
                   ? absl::OkStatus()
                   : absl::DataLossError("the kept answer of this request id is damaged");
      }
    }
    ASSIGN_OR_RETURN(response, body(transaction, now));
    if (id.empty()) return absl::OkStatus();
    return SaveAnswer(transaction, tenant, id, fingerprint, response.SerializeAsString(), now);
  }));
  return response;
}

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_KEY_STORE_IMPL_H_
