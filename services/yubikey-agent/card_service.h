// countersign.yubikey.v1.CardService over the pool.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SERVICE_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SERVICE_H_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/crypto/secret.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/names.h"
#include "services/yubikey-agent/sessions.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::yubikey {

class CardService final : public v1::CardService::CallbackService {
 public:
  struct Options {
    CardPool* pool;
    Sessions* sessions;
    base::ThreadPool* executor;  // checks attestations
    // The management key of a card, where the operator gave one; nullopt: the factory's.
    std::function<std::optional<crypto::SecretBytes>(uint32_t serial)> management_key;
    std::vector<std::string> attestation_roots;  // DER
    const base::Clock* clock = base::Clock::System();
  };

  // What `options` points to must outlive it.
  explicit CardService(Options options);

  grpc::ServerUnaryReactor* ListCards(grpc::CallbackServerContext* context,
                                      const v1::ListCardsRequest* request,
                                      v1::ListCardsResponse* response) override;
  grpc::ServerWriteReactor<v1::WatchCardsResponse>* WatchCards(
      grpc::CallbackServerContext* context, const v1::WatchCardsRequest* request) override;
  grpc::ServerUnaryReactor* GetCard(grpc::CallbackServerContext* context,
                                    const v1::GetCardRequest* request,
                                    v1::GetCardResponse* response) override;
  grpc::ServerUnaryReactor* GetSlot(grpc::CallbackServerContext* context,
                                    const v1::GetSlotRequest* request,
                                    v1::GetSlotResponse* response) override;
  grpc::ServerUnaryReactor* GenerateKey(grpc::CallbackServerContext* context,
                                        const v1::GenerateKeyRequest* request,
                                        v1::GenerateKeyResponse* response) override;
  grpc::ServerUnaryReactor* ImportKey(grpc::CallbackServerContext* context,
                                      const v1::ImportKeyRequest* request,
                                      v1::ImportKeyResponse* response) override;
  grpc::ServerUnaryReactor* AttestKey(grpc::CallbackServerContext* context,
                                      const v1::AttestKeyRequest* request,
                                      v1::AttestKeyResponse* response) override;
  grpc::ServerUnaryReactor* VerifyAttestation(grpc::CallbackServerContext* context,
                                              const v1::VerifyAttestationRequest* request,
                                              v1::VerifyAttestationResponse* response) override;
  grpc::ServerUnaryReactor* WriteCertificate(grpc::CallbackServerContext* context,
                                             const v1::WriteCertificateRequest* request,
                                             v1::WriteCertificateResponse* response) override;
  grpc::ServerUnaryReactor* SelfSignCertificate(grpc::CallbackServerContext* context,
                                                const v1::SelfSignCertificateRequest* request,
                                                v1::SelfSignCertificateResponse* response) override;
  grpc::ServerUnaryReactor* DeleteCertificate(grpc::CallbackServerContext* context,
                                              const v1::DeleteCertificateRequest* request,
                                              v1::DeleteCertificateResponse* response) override;
  grpc::ServerUnaryReactor* UnlockCard(grpc::CallbackServerContext* context,
                                       const v1::UnlockCardRequest* request,
                                       v1::UnlockCardResponse* response) override;
  grpc::ServerUnaryReactor* LockCard(grpc::CallbackServerContext* context,
                                     const v1::LockCardRequest* request,
                                     v1::LockCardResponse* response) override;
  grpc::ServerUnaryReactor* ChangePin(grpc::CallbackServerContext* context,
                                      const v1::ChangePinRequest* request,
                                      v1::ChangePinResponse* response) override;
  grpc::ServerUnaryReactor* ChangePuk(grpc::CallbackServerContext* context,
                                      const v1::ChangePukRequest* request,
                                      v1::ChangePukResponse* response) override;
  grpc::ServerUnaryReactor* UnblockPin(grpc::CallbackServerContext* context,
                                       const v1::UnblockPinRequest* request,
                                       v1::UnblockPinResponse* response) override;
  grpc::ServerUnaryReactor* ChangeManagementKey(grpc::CallbackServerContext* context,
                                                const v1::ChangeManagementKeyRequest* request,
                                                v1::ChangeManagementKeyResponse* response) override;
  grpc::ServerUnaryReactor* ResetCard(grpc::CallbackServerContext* context,
                                      const v1::ResetCardRequest* request,
                                      v1::ResetCardResponse* response) override;

 private:
  // A secret in a request, and its field's name.
  struct Given {
    absl::string_view field;
    const std::string& secret;
  };
  // One of the pool's methods that replace a secret: the card's serial number, what proves the
  // right to, and what is put in its place.
  using Replacement = void (CardPool::*)(uint32_t, crypto::SecretBytes, crypto::SecretBytes,
                                         absl::Time, CardPool::Done);

  // The card or slot of a request's `name`, when the call's session covers it.
  absl::StatusOr<uint32_t> CardOf(const grpc::CallbackServerContext& context, Operation operation,
                                  const std::string& name) const;
  absl::StatusOr<SlotRef> SlotOf(const grpc::CallbackServerContext& context, Operation operation,
                                 const std::string& name) const;
  absl::StatusOr<SlotInfo> FindSlot(const SlotRef& ref) const;
  // Before a key is put into a slot: as far as can be told before the card is asked.
  absl::Status CheckRoom(const SlotRef& ref, const piv::KeySettings& settings, bool replace) const;
  // The request's management key, the operator's, or the factory's; the request's is wiped.
  absl::StatusOr<CardPool::Needs> Management(uint32_t serial, const std::string& key) const;
  absl::Status DescribeCard(uint32_t serial, v1::Card* out) const;
  absl::Status DescribeSlot(const SlotRef& ref, v1::Slot* out) const;
  // Runs `body` on the slot's card, which it changes, and describes the slot. What `body` has set
  // in `out` stands where the card does not tell.
  void Change(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
              const SlotRef& ref, absl::string_view operation, CardPool::Needs needs,
              CardPool::Body body, v1::Slot* out);

  grpc::ServerUnaryReactor* Replace(grpc::CallbackServerContext* context, const std::string& name,
                                    const Given& given, const Given& wanted,
                                    Replacement replacement);

  const Options options_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SERVICE_H_
