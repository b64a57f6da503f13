// Keys at rest: their rows, their versions' sealed private halves or whereabouts on cards, and
// answers kept by request id.
#ifndef COUNTERSIGN_SERVICES_SIGN_KEY_STORE_H_
#define COUNTERSIGN_SERVICES_SIGN_KEY_STORE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "countersign/sign/v1/sign.pb.h"
#include "libs/base/clock.h"
#include "libs/crypto/aead.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "libs/storage/database.h"
#include "services/sign/names.h"
#include "services/sign/requests.h"

namespace countersign::sign {

class CardClient;

// Thread-safe. Methods block on the database, CreateKey and RotateKey with a backend on the YubiKey
// agent too: call them on an executor. Those that take a request answer, and fail, as the contract
// says of the method of the same name. The agent is never waited for in a transaction.
class KeyStore {
 public:
  // Takes over `database`, bringing its schema up to date. FailedPrecondition when its keys are
  // sealed under another KEK than `kek`. `cards` is where keys with a backend are, null for no
  // agent: then none are made, and those that are there are only described. It must outlive this.
  static absl::StatusOr<std::unique_ptr<KeyStore>> Open(
      std::unique_ptr<storage::Database> database, crypto::Kek kek,
      const base::Clock* clock = base::Clock::System(), CardClient* cards = nullptr);

  ~KeyStore();
  KeyStore(const KeyStore&) = delete;
  KeyStore& operator=(const KeyStore&) = delete;

  absl::StatusOr<v1::CreateKeyResponse> CreateKey(const v1::CreateKeyRequest& request);
  absl::StatusOr<v1::GetKeyResponse> GetKey(const v1::GetKeyRequest& request);
  absl::StatusOr<v1::ListKeysResponse> ListKeys(const v1::ListKeysRequest& request);
  absl::StatusOr<v1::UpdateKeyResponse> UpdateKey(const v1::UpdateKeyRequest& request);
  absl::StatusOr<v1::RotateKeyResponse> RotateKey(const v1::RotateKeyRequest& request);
  absl::StatusOr<v1::GetKeyVersionResponse> GetKeyVersion(const v1::GetKeyVersionRequest& request);
  absl::StatusOr<v1::ListKeyVersionsResponse> ListKeyVersions(
      const v1::ListKeyVersionsRequest& request);
  absl::StatusOr<v1::DisableKeyVersionResponse> DisableKeyVersion(
      const v1::DisableKeyVersionRequest& request);
  absl::StatusOr<v1::EnableKeyVersionResponse> EnableKeyVersion(
      const v1::EnableKeyVersionRequest& request);
  absl::StatusOr<v1::DestroyKeyVersionResponse> DestroyKeyVersion(
      const v1::DestroyKeyVersionRequest& request);
  absl::StatusOr<v1::GetPublicKeyResponse> GetPublicKey(const v1::GetPublicKeyRequest& request);

  // Makes a key with this private half as version 1, within the caller's transaction: the new
  // version's name. For keys that come with, or for the sake of, something else that is written
  // there. AlreadyExists when the tenant has a key of that id; InvalidArgument for an algorithm
  // that no key is made for.
  absl::StatusOr<std::string> ImportKey(storage::Transaction& transaction,
                                        const std::string& tenant, const std::string& key_id,
                                        const std::string& owner, const crypto::PrivateKey& key);

  struct LoadedKey {
    KeyName version;
    crypto::Algorithm algorithm;
    crypto::PublicKey public_key;
    std::optional<crypto::PrivateKey> key;  // unless it is on a card
    std::string card_key;                   // `keys/{fingerprint}` of one on a card
  };
  // A version, or a key's primary one, for use. NotFound; FailedPrecondition when it is disabled or
  // destroyed; DataLoss when the sealed key was altered. The agent is not asked.
  absl::StatusOr<LoadedKey> Load(const KeyName& name);

  // Where keys on cards are; null for no agent.
  CardClient* cards() const { return cards_; }

  // The database, for those who keep other tables of the schema in it. Lives as long as the store.
  storage::Database* database() { return database_.get(); }

  // What Remember kept for this request id of the tenant, if anything. ALREADY_EXISTS when it was
  // kept for a request with another fingerprint.
  absl::StatusOr<std::optional<std::string>> Recall(const std::string& tenant,
                                                    const std::string& request_id,
                                                    const std::string& fingerprint);

  // Keeps `answer` for kRequestIdLifetime, durably, and returns it; or returns what was kept first
  // when another call came before. Errors as Recall.
  absl::StatusOr<std::string> Remember(const std::string& tenant, const std::string& request_id,
                                       const std::string& fingerprint, const std::string& answer);

  // `listener` is told, before the method that did it returns, of every change that makes a loaded
  // key stale: the version whose state changed, or the key (version 0) whose primary version
  // changed. Set it before the first change; it is called from any thread.
  void OnChange(std::function<void(const KeyName&)> listener) { listener_ = std::move(listener); }

 private:
  // A key pair that is to become a version.
  struct NewKey {
    crypto::Algorithm algorithm;
    crypto::PublicKey public_key;
    std::string card_key;        // empty for one of our own
    crypto::SecretBytes secret;  // what gets sealed: PKCS#8, or the card key's name
  };

  KeyStore(std::unique_ptr<storage::Database> database, crypto::Kek kek, const base::Clock* clock,
           CardClient* cards);

  absl::Status CheckKek();

  // Runs `body` in a transaction, unless `request_id` was answered before: then that answer.
  template <typename Response, typename Request>
  absl::StatusOr<Response> Once(
      const std::string& tenant, absl::string_view method, const Request& request,
      const std::function<absl::StatusOr<Response>(storage::Transaction&, absl::Time)>& body);

  absl::StatusOr<v1::KeyVersion> SetState(storage::Transaction& transaction, const KeyName& name,
                                          v1::KeyVersionState state, absl::Time now);
  absl::StatusOr<v1::KeyVersion> Destroy(storage::Transaction& transaction, const KeyName& name,
                                         absl::Time now);
  static absl::StatusOr<NewKey> MakeNewKey(const crypto::PrivateKey& key);
  // The key at the agent that `backend`, the request's `field`, names, made there if so wanted.
  // `algorithm` is what it shall be for; nullopt: whatever the card says.
  absl::StatusOr<NewKey> FindCardKey(absl::string_view field, const v1::KeyBackend& backend,
                                     std::optional<crypto::Algorithm> algorithm);
  // Inserts a key with version 1. AlreadyExists when it is there.
  absl::Status InsertKey(storage::Transaction& transaction, const KeyName& name,
                         const std::string& owner, const std::string& labels, const NewKey& key,
                         absl::Time now);
  // Inserts version `name.version` of a key with the private key sealed.
  absl::Status InsertVersion(storage::Transaction& transaction, const KeyName& name,
                             const NewKey& key, absl::Time now);
  void Changed(const KeyName& name);

  const std::unique_ptr<storage::Database> database_;
  const crypto::Kek kek_;
  const base::Clock* const clock_;
  CardClient* const cards_;
  std::function<void(const KeyName&)> listener_;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_KEY_STORE_H_
