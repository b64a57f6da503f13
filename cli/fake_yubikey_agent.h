// A YubiKey agent in the test's own process: one card, whose keys are in memory, and sub-keys that
// are no more than what was asked for.
#ifndef COUNTERSIGN_CLI_FAKE_YUBIKEY_AGENT_H_
#define COUNTERSIGN_CLI_FAKE_YUBIKEY_AGENT_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "countersign/yubikey/v1/sub_key_service.grpc.pb.h"
#include "libs/crypto/private_key.h"
#include "libs/piv/test_attestation.h"
#include "libs/testing/in_process_server.h"

namespace countersign::cli {

inline constexpr char kFakeApiKey[] = "api-key-of-the-fake-agent";
inline constexpr char kFakeCard[] = "cards/14289367";

// What the services share.
struct FakeAgentState {
  FakeAgentState();

  // OK when the call bears the token of the open session, which is for this operation alone.
  grpc::Status Check(const grpc::ServerContext& context, yubikey::v1::Operation operation);
  // The card's slot of this name; null when nothing is in it.
  yubikey::v1::Slot* Find(const std::string& name);
  // The slot with this key in it.
  yubikey::v1::Slot* Put(const std::string& name, crypto::PrivateKey key);

  yubikey::v1::Card card;
  std::map<std::string, crypto::PrivateKey> keys;  // by slot
  piv::TestChain chain;                            // what attestations and certificates are
  yubikey::v1::SubKey sub_key;

  // Sessions, and how many of them were closed.
  std::vector<yubikey::v1::OpenSessionRequest> opened;
  int closed = 0;

  // The last requests.
  yubikey::v1::GenerateKeyRequest generated;
  yubikey::v1::ImportKeyRequest imported;
  yubikey::v1::WriteCertificateRequest written;
  yubikey::v1::SelfSignCertificateRequest self_signed;
  yubikey::v1::DeleteCertificateRequest deleted;
  yubikey::v1::UnlockCardRequest unlocked;
  yubikey::v1::ChangePinRequest pin_changed;
  yubikey::v1::UnblockPinRequest unblocked;
  yubikey::v1::ChangePukRequest puk_changed;
  yubikey::v1::ChangeManagementKeyRequest management_key_changed;
  yubikey::v1::ResetCardRequest reset;
  yubikey::v1::SignRequest signed_with;
  yubikey::v1::DecryptRequest decrypted;
  yubikey::v1::RevokeSessionsRequest sessions_revoked;
  yubikey::v1::CreateSubKeyRequest sub_key_created;
  yubikey::v1::SubKeyServiceSignRequest sub_key_signed;
  yubikey::v1::SubKeyServiceDecryptRequest sub_key_decrypted;

  // What goes wrong, from now on.
  grpc::Status refusal;  // of UnlockCard, GenerateKey and Sign
  int refused = 0;       // how often
  bool wrong_signature = false;
  uint32_t attested_serial = 14289367;
};

class FakeCards : public yubikey::v1::CardService::Service {
 public:
  explicit FakeCards(FakeAgentState* state) : state_(state) {}

  grpc::Status ListCards(grpc::ServerContext*, const yubikey::v1::ListCardsRequest*,
                         yubikey::v1::ListCardsResponse*) override;
  // Two answers, then the end.
  grpc::Status WatchCards(grpc::ServerContext*, const yubikey::v1::WatchCardsRequest*,
                          grpc::ServerWriter<yubikey::v1::WatchCardsResponse>*) override;
  grpc::Status GetCard(grpc::ServerContext*, const yubikey::v1::GetCardRequest*,
                       yubikey::v1::GetCardResponse*) override;
  grpc::Status GetSlot(grpc::ServerContext*, const yubikey::v1::GetSlotRequest*,
                       yubikey::v1::GetSlotResponse*) override;
  grpc::Status GenerateKey(grpc::ServerContext*, const yubikey::v1::GenerateKeyRequest*,
                           yubikey::v1::GenerateKeyResponse*) override;
  grpc::Status ImportKey(grpc::ServerContext*, const yubikey::v1::ImportKeyRequest*,
                         yubikey::v1::ImportKeyResponse*) override;
  grpc::Status AttestKey(grpc::ServerContext*, const yubikey::v1::AttestKeyRequest*,
                         yubikey::v1::AttestKeyResponse*) override;
  grpc::Status WriteCertificate(grpc::ServerContext*, const yubikey::v1::WriteCertificateRequest*,
                                yubikey::v1::WriteCertificateResponse*) override;
  grpc::Status SelfSignCertificate(grpc::ServerContext*,
                                   const yubikey::v1::SelfSignCertificateRequest*,
                                   yubikey::v1::SelfSignCertificateResponse*) override;
  grpc::Status DeleteCertificate(grpc::ServerContext*, const yubikey::v1::DeleteCertificateRequest*,
                                 yubikey::v1::DeleteCertificateResponse*) override;
  grpc::Status UnlockCard(grpc::ServerContext*, const yubikey::v1::UnlockCardRequest*,
                          yubikey::v1::UnlockCardResponse*) override;
  grpc::Status LockCard(grpc::ServerContext*, const yubikey::v1::LockCardRequest*,
                        yubikey::v1::LockCardResponse*) override;
  grpc::Status ChangePin(grpc::ServerContext*, const yubikey::v1::ChangePinRequest*,
                         yubikey::v1::ChangePinResponse*) override;
  grpc::Status ChangePuk(grpc::ServerContext*, const yubikey::v1::ChangePukRequest*,
                         yubikey::v1::ChangePukResponse*) override;
  grpc::Status UnblockPin(grpc::ServerContext*, const yubikey::v1::UnblockPinRequest*,
                          yubikey::v1::UnblockPinResponse*) override;
  grpc::Status ChangeManagementKey(grpc::ServerContext*,
                                   const yubikey::v1::ChangeManagementKeyRequest*,
                                   yubikey::v1::ChangeManagementKeyResponse*) override;
  grpc::Status ResetCard(grpc::ServerContext*, const yubikey::v1::ResetCardRequest*,
                         yubikey::v1::ResetCardResponse*) override;

 private:
  FakeAgentState* const state_;
};

class FakeCardKeys : public yubikey::v1::KeyService::Service {
 public:
  explicit FakeCardKeys(FakeAgentState* state) : state_(state) {}

  grpc::Status ListKeys(grpc::ServerContext*, const yubikey::v1::ListKeysRequest*,
                        yubikey::v1::ListKeysResponse*) override;
  grpc::Status GetKey(grpc::ServerContext*, const yubikey::v1::GetKeyRequest*,
                      yubikey::v1::GetKeyResponse*) override;
  grpc::Status Sign(grpc::ServerContext*, const yubikey::v1::SignRequest*,
                    yubikey::v1::SignResponse*) override;
  grpc::Status Decrypt(grpc::ServerContext*, const yubikey::v1::DecryptRequest*,
                       yubikey::v1::DecryptResponse*) override;

 private:
  FakeAgentState* const state_;
};

class FakeSessions : public yubikey::v1::SessionService::Service {
 public:
  explicit FakeSessions(FakeAgentState* state) : state_(state) {}

  grpc::Status OpenSession(grpc::ServerContext*, const yubikey::v1::OpenSessionRequest*,
                           yubikey::v1::OpenSessionResponse*) override;
  grpc::Status CloseSession(grpc::ServerContext*, const yubikey::v1::CloseSessionRequest*,
                            yubikey::v1::CloseSessionResponse*) override;
  grpc::Status RevokeSessions(grpc::ServerContext*, const yubikey::v1::RevokeSessionsRequest*,
                              yubikey::v1::RevokeSessionsResponse*) override;

 private:
  FakeAgentState* const state_;
};

class FakeSubKeys : public yubikey::v1::SubKeyService::Service {
 public:
  explicit FakeSubKeys(FakeAgentState* state) : state_(state) {}

  grpc::Status CreateSubKey(grpc::ServerContext*, const yubikey::v1::CreateSubKeyRequest*,
                            yubikey::v1::CreateSubKeyResponse*) override;
  grpc::Status GetSubKey(grpc::ServerContext*, const yubikey::v1::GetSubKeyRequest*,
                         yubikey::v1::GetSubKeyResponse*) override;
  grpc::Status ListSubKeys(grpc::ServerContext*, const yubikey::v1::ListSubKeysRequest*,
                           yubikey::v1::ListSubKeysResponse*) override;
  grpc::Status RevokeSubKey(grpc::ServerContext*, const yubikey::v1::RevokeSubKeyRequest*,
                            yubikey::v1::RevokeSubKeyResponse*) override;
  grpc::Status Sign(grpc::ServerContext*, const yubikey::v1::SubKeyServiceSignRequest*,
                    yubikey::v1::SubKeyServiceSignResponse*) override;
  grpc::Status Decrypt(grpc::ServerContext*, const yubikey::v1::SubKeyServiceDecryptRequest*,
                       yubikey::v1::SubKeyServiceDecryptResponse*) override;

 private:
  FakeAgentState* const state_;
};

struct FakeYubikeyAgent {
  FakeAgentState state;
  FakeCards cards{&state};
  FakeCardKeys keys{&state};
  FakeSessions sessions{&state};
  FakeSubKeys sub_keys{&state};
  testing::InProcessServer server{{&cards, &keys, &sessions, &sub_keys}};
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_FAKE_YUBIKEY_AGENT_H_
