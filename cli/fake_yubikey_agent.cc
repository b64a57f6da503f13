#include "cli/fake_yubikey_agent.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/yubikey_names.h"
#include "libs/testing/matchers.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using grpc::ServerContext;
using grpc::Status;
using grpc::StatusCode;

constexpr char kToken[] = "token-of-the-fake-session";

crypto::PrivateKey MakeKey(crypto::Algorithm algorithm) {
  return crypto::PrivateKey::Generate(algorithm).value();
}

Status NotFound(const std::string& name) {
  return Status(StatusCode::NOT_FOUND, absl::StrCat("there is no ", name));
}

// Checks the session, keeps the request, and answers with nothing.
template <typename Request>
Status Keep(FakeAgentState* state, const ServerContext& context, pb::Operation operation,
            const Request& request, Request* kept) {
  Status status = state->Check(context, operation);
  if (status.ok()) *kept = request;
  return status;
}

}  // namespace

FakeAgentState::FakeAgentState()
    : chain(piv::MakeTestChain(
          piv::TestFacts(MakeKey(crypto::Algorithm::kEcdsaP256Sha256).public_key()))) {
  card.set_name(kFakeCard);
  card.set_serial_number(14289367);
  card.set_firmware_version("5.4.3");
  card.set_reader("Fake Reader 00");
  card.set_state(pb::CARD_STATE_READY);
  card.set_pin_tries_left(3);
}

Status FakeAgentState::Check(const ServerContext& context, pb::Operation operation) {
  const auto found = context.client_metadata().find("authorization");
  const bool open = opened.size() == static_cast<size_t>(closed) + 1;
  if (!open || found == context.client_metadata().end() ||
      std::string(found->second.data(), found->second.size()) != absl::StrCat("Bearer ", kToken)) {
    return Status(StatusCode::UNAUTHENTICATED, "there is no session");
  }
  const pb::SessionScope& scope = opened.back().scope();
  if (scope.operations_size() != 1 || scope.operations(0) != operation) {
    return Status(StatusCode::PERMISSION_DENIED, "the session is not for this");
  }
  return Status::OK;
}

pb::Slot* FakeAgentState::Find(const std::string& name) {
  for (pb::Slot& slot : *card.mutable_slots()) {
    if (slot.name() == name) return &slot;
  }
  return nullptr;
}

pb::Slot* FakeAgentState::Put(const std::string& name, crypto::PrivateKey key) {
  pb::Slot* slot = Find(name);
  if (slot == nullptr) slot = card.add_slots();
  slot->set_name(name);
  slot->set_algorithm(
      ParseCardAlgorithm(crypto::AlgorithmName(key.algorithm())).value_or(slot->algorithm()));
  slot->set_pin_policy(pb::PIN_POLICY_ONCE);
  slot->set_touch_policy(pb::TOUCH_POLICY_NEVER);
  slot->set_origin(pb::KEY_ORIGIN_GENERATED);
  slot->set_spki(key.public_key().spki_der());
  slot->set_fingerprint(key.public_key().Fingerprint());
  keys.erase(name);
  keys.emplace(name, std::move(key));
  return slot;
}

Status FakeCards::ListCards(ServerContext*, const pb::ListCardsRequest*,
                            pb::ListCardsResponse* response) {
  *response->add_cards() = state_->card;
  return Status::OK;
}

Status FakeCards::WatchCards(ServerContext*, const pb::WatchCardsRequest*,
                             grpc::ServerWriter<pb::WatchCardsResponse>* writer) {
  pb::WatchCardsResponse response;
  *response.add_cards() = state_->card;
  writer->Write(response);
  response.clear_cards();
  writer->Write(response);
  return Status::OK;
}

Status FakeCards::GetCard(ServerContext*, const pb::GetCardRequest* request,
                          pb::GetCardResponse* response) {
  if (request->name() != state_->card.name()) return NotFound(request->name());
  *response->mutable_card() = state_->card;
  return Status::OK;
}

Status FakeCards::GetSlot(ServerContext*, const pb::GetSlotRequest* request,
                          pb::GetSlotResponse* response) {
  const pb::Slot* slot = state_->Find(request->name());
  if (slot == nullptr) return NotFound(request->name());
  *response->mutable_slot() = *slot;
  return Status::OK;
}

Status FakeCards::GenerateKey(ServerContext* context, const pb::GenerateKeyRequest* request,
                              pb::GenerateKeyResponse* response) {
  Status status = Keep(state_, *context, pb::OPERATION_GENERATE, *request, &state_->generated);
  if (status.ok() && !state_->refusal.ok()) ++state_->refused;
  if (!status.ok() || !state_->refusal.ok()) return status.ok() ? state_->refusal : status;
  pb::Slot* slot =
      state_->Put(request->name(), MakeKey(AlgorithmFromProto(request->algorithm()).value()));
  slot->set_touch_policy(request->touch_policy());
  *response->mutable_slot() = *slot;
  return Status::OK;
}

Status FakeCards::ImportKey(ServerContext* context, const pb::ImportKeyRequest* request,
                            pb::ImportKeyResponse* response) {
  const Status status = Keep(state_, *context, pb::OPERATION_IMPORT, *request, &state_->imported);
  response->mutable_slot()->set_name(request->name());
  return status;
}

Status FakeCards::AttestKey(ServerContext* context, const pb::AttestKeyRequest* request,
                            pb::AttestKeyResponse* response) {
  const Status status = state_->Check(*context, pb::OPERATION_ATTEST);
  if (!status.ok()) return status;
  if (state_->Find(request->name()) == nullptr) return NotFound(request->name());
  response->set_certificate(state_->chain.attestation);
  response->set_card_certificate(state_->chain.card.certificate.der);
  response->mutable_facts()->set_serial_number(state_->attested_serial);
  response->mutable_facts()->set_firmware_version("5.4.3");
  response->mutable_facts()->set_touch_policy(pb::TOUCH_POLICY_CACHED);
  return Status::OK;
}

Status FakeCards::WriteCertificate(ServerContext* context,
                                   const pb::WriteCertificateRequest* request,
                                   pb::WriteCertificateResponse* response) {
  const Status status =
      Keep(state_, *context, pb::OPERATION_WRITE_CERTIFICATE, *request, &state_->written);
  pb::Slot* slot = state_->Find(request->name());
  if (!status.ok() || slot == nullptr) return status.ok() ? NotFound(request->name()) : status;
  slot->set_certificate(request->certificate());
  *response->mutable_slot() = *slot;
  return Status::OK;
}

Status FakeCards::SelfSignCertificate(ServerContext* context,
                                      const pb::SelfSignCertificateRequest* request,
                                      pb::SelfSignCertificateResponse* response) {
  const Status status =
      Keep(state_, *context, pb::OPERATION_WRITE_CERTIFICATE, *request, &state_->self_signed);
  pb::Slot* slot = state_->Find(request->name());
  if (!status.ok() || slot == nullptr) return status.ok() ? NotFound(request->name()) : status;
  slot->set_certificate(state_->chain.root.certificate.der);
  *response->mutable_slot() = *slot;
  return Status::OK;
}

Status FakeCards::DeleteCertificate(ServerContext* context,
                                    const pb::DeleteCertificateRequest* request,
                                    pb::DeleteCertificateResponse*) {
  const Status status =
      Keep(state_, *context, pb::OPERATION_WRITE_CERTIFICATE, *request, &state_->deleted);
  pb::Slot* slot = state_->Find(request->name());
  if (status.ok() && slot != nullptr) slot->clear_certificate();
  return status;
}

Status FakeCards::UnlockCard(ServerContext* context, const pb::UnlockCardRequest* request,
                             pb::UnlockCardResponse* response) {
  const Status status = Keep(state_, *context, pb::OPERATION_UNLOCK, *request, &state_->unlocked);
  if (!status.ok()) return status;
  if (!state_->refusal.ok()) {
    ++state_->refused;
    return state_->refusal;
  }
  state_->card.set_unlocked(true);
  *response->mutable_card() = state_->card;
  return Status::OK;
}

Status FakeCards::LockCard(ServerContext* context, const pb::LockCardRequest*,
                           pb::LockCardResponse* response) {
  const Status status = state_->Check(*context, pb::OPERATION_UNLOCK);
  if (!status.ok()) return status;
  state_->card.set_unlocked(false);
  *response->mutable_card() = state_->card;
  return Status::OK;
}

Status FakeCards::ChangePin(ServerContext* context, const pb::ChangePinRequest* request,
                            pb::ChangePinResponse*) {
  return Keep(state_, *context, pb::OPERATION_MANAGE, *request, &state_->pin_changed);
}

Status FakeCards::ChangePuk(ServerContext* context, const pb::ChangePukRequest* request,
                            pb::ChangePukResponse*) {
  return Keep(state_, *context, pb::OPERATION_MANAGE, *request, &state_->puk_changed);
}

Status FakeCards::UnblockPin(ServerContext* context, const pb::UnblockPinRequest* request,
                             pb::UnblockPinResponse*) {
  return Keep(state_, *context, pb::OPERATION_MANAGE, *request, &state_->unblocked);
}

Status FakeCards::ChangeManagementKey(ServerContext* context,
                                      const pb::ChangeManagementKeyRequest* request,
                                      pb::ChangeManagementKeyResponse*) {
  return Keep(state_, *context, pb::OPERATION_MANAGE, *request, &state_->management_key_changed);
}

Status FakeCards::ResetCard(ServerContext* context, const pb::ResetCardRequest* request,
                            pb::ResetCardResponse*) {
  return Keep(state_, *context, pb::OPERATION_MANAGE, *request, &state_->reset);
}

Status FakeCardKeys::ListKeys(ServerContext*, const pb::ListKeysRequest*,
                              pb::ListKeysResponse* response) {
  for (const pb::Slot& slot : state_->card.slots()) {
    pb::Key& key = *response->add_keys();
    key.set_name(absl::StrCat("keys/", slot.fingerprint()));
    key.set_algorithm(slot.algorithm());
    key.add_slots(slot.name());
  }
  return Status::OK;
}

// `keys/` with anything is the first slot's.
Status FakeCardKeys::GetKey(ServerContext*, const pb::GetKeyRequest* request,
                            pb::GetKeyResponse* response) {
  for (const pb::Slot& slot : state_->card.slots()) {
    if (slot.name() != request->name() && !absl::StartsWith(request->name(), "keys/")) continue;
    response->mutable_key()->set_name(absl::StrCat("keys/", slot.fingerprint()));
    response->mutable_key()->set_algorithm(slot.algorithm());
    response->mutable_key()->add_slots(slot.name());
    response->mutable_key()->set_spki(slot.spki());
    return Status::OK;
  }
  return NotFound(request->name());
}

Status FakeCardKeys::Sign(ServerContext* context, const pb::SignRequest* request,
                          pb::SignResponse* response) {
  const Status status = Keep(state_, *context, pb::OPERATION_SIGN, *request, &state_->signed_with);
  if (!status.ok() || !state_->refusal.ok()) return status.ok() ? state_->refusal : status;
  const bool by_slot = state_->keys.count(request->name()) != 0;
  const crypto::PrivateKey& key =
      by_slot ? state_->keys.at(request->name()) : state_->keys.begin()->second;
  const std::string digest =
      state_->wrong_signature ? std::string(request->digest().size(), 'x') : request->digest();
  response->set_signature(key.algorithm() == crypto::Algorithm::kEd25519
                              ? key.SignMessage(digest).value()
                              : key.SignDigest(digest).value());
  response->set_algorithm(request->algorithm());
  response->set_slot(request->name());
  response->set_spki(key.public_key().spki_der());
  return Status::OK;
}

Status FakeCardKeys::Decrypt(ServerContext* context, const pb::DecryptRequest* request,
                             pb::DecryptResponse* response) {
  response->set_plaintext("what was encrypted");
  return Keep(state_, *context, pb::OPERATION_DECRYPT, *request, &state_->decrypted);
}

Status FakeSessions::OpenSession(ServerContext*, const pb::OpenSessionRequest* request,
                                 pb::OpenSessionResponse* response) {
  if (request->api_key().api_key() != kFakeApiKey) {
    return Status(StatusCode::UNAUTHENTICATED, "the proof does not hold");
  }
  state_->opened.push_back(*request);
  response->set_token(kToken);
  return Status::OK;
}

Status FakeSessions::CloseSession(ServerContext* context, const pb::CloseSessionRequest*,
                                  pb::CloseSessionResponse*) {
  if (context->client_metadata().count("authorization") != 0) ++state_->closed;
  return Status::OK;
}

Status FakeSessions::RevokeSessions(ServerContext* context,
                                    const pb::RevokeSessionsRequest* request,
                                    pb::RevokeSessionsResponse* response) {
  response->set_revoked(2);
  return Keep(state_, *context, pb::OPERATION_ADMINISTER, *request, &state_->sessions_revoked);
}

Status FakeSubKeys::CreateSubKey(ServerContext* context, const pb::CreateSubKeyRequest* request,
                                 pb::CreateSubKeyResponse* response) {
  const Status status =
      Keep(state_, *context, pb::OPERATION_CREATE_SUB_KEY, *request, &state_->sub_key_created);
  if (!status.ok()) return status;
  state_->sub_key = request->sub_key();
  state_->sub_key.set_name(absl::StrCat("subKeys/", request->sub_key_id()));
  state_->sub_key.set_generation(1);
  state_->sub_key.add_chain(state_->chain.card.certificate.der);
  state_->sub_key.add_chain(state_->chain.root.certificate.der);
  state_->sub_key.mutable_expire_time()->set_seconds(
      absl::ToUnixSeconds(absl::Now() + absl::Hours(1)));
  *response->mutable_sub_key() = state_->sub_key;
  return Status::OK;
}

Status FakeSubKeys::GetSubKey(ServerContext*, const pb::GetSubKeyRequest* request,
                              pb::GetSubKeyResponse* response) {
  if (request->name() != state_->sub_key.name()) return NotFound(request->name());
  *response->mutable_sub_key() = state_->sub_key;
  return Status::OK;
}

Status FakeSubKeys::ListSubKeys(ServerContext*, const pb::ListSubKeysRequest*,
                                pb::ListSubKeysResponse* response) {
  if (!state_->sub_key.name().empty()) *response->add_sub_keys() = state_->sub_key;
  return Status::OK;
}

Status FakeSubKeys::RevokeSubKey(ServerContext* context, const pb::RevokeSubKeyRequest* request,
                                 pb::RevokeSubKeyResponse* response) {
  const Status status = state_->Check(*context, pb::OPERATION_CREATE_SUB_KEY);
  if (!status.ok()) return status;
  if (request->name() != state_->sub_key.name()) return NotFound(request->name());
  state_->sub_key.set_revoked(true);
  *response->mutable_sub_key() = state_->sub_key;
  return Status::OK;
}

Status FakeSubKeys::Sign(ServerContext* context, const pb::SubKeyServiceSignRequest* request,
                         pb::SubKeyServiceSignResponse* response) {
  response->set_signature("signature of the sub-key");
  response->set_generation(1);
  return Keep(state_, *context, pb::OPERATION_USE_SUB_KEY, *request, &state_->sub_key_signed);
}

Status FakeSubKeys::Decrypt(ServerContext* context, const pb::SubKeyServiceDecryptRequest* request,
                            pb::SubKeyServiceDecryptResponse* response) {
  response->set_plaintext("what was sealed");
  return Keep(state_, *context, pb::OPERATION_USE_SUB_KEY, *request, &state_->sub_key_decrypted);
}

}  // namespace countersign::cli
