#include "services/yubikey-agent/card_service.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/public_key.h"
#include "libs/piv/attestation.h"
#include "libs/pki/certificate.h"
#include "libs/runtime/call.h"
#include "libs/runtime/error_details.h"
#include "libs/runtime/field_error.h"
#include "services/yubikey-agent/call_guard.h"
#include "services/yubikey-agent/conversions.h"
#include "services/yubikey-agent/self_signed.h"
#include "services/yubikey-agent/slot_changes.h"
#include "services/yubikey-agent/watch_cards_reactor.h"

namespace countersign::yubikey {
namespace {

constexpr char kNotAttestable[] = "NOT_ATTESTABLE";
constexpr int kMaxRoots = 32;
constexpr int kMaxIntermediates = 8;
constexpr size_t kMaxCertificateBytes = 3052;

absl::Status CheckPin(absl::string_view field, const std::string& pin) {
  if (pin.size() >= 6 && pin.size() <= piv::kPinBytes) return absl::OkStatus();
  return runtime::FieldError(field, "expected 6 to 8 bytes");
}

// Ends a call that only wants to know whether the card did it.
CardPool::Done Finish(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor) {
  return [context, reactor](const absl::Status& status) {
    runtime::FinishCall(context, reactor, status);
  };
}

absl::StatusOr<piv::Algorithm> ManagementAlgorithm(size_t bytes, piv::Version version) {
  // What cards of this firmware come with.
  if (bytes == 24 && !version.AtLeast(5, 7)) return piv::Algorithm::kTripleDes;
  if (version.AtLeast(5, 4)) {
    if (bytes == 16) return piv::Algorithm::kAes128;
    if (bytes == 24) return piv::Algorithm::kAes192;
    if (bytes == 32) return piv::Algorithm::kAes256;
  }
  return runtime::FieldError(
      "new_management_key",
      absl::StrCat("has ", bytes, " bytes: expected 24, or 16 or 32 on firmware 5.4 and later"));
}

std::vector<std::string> Copies(const google::protobuf::RepeatedPtrField<std::string>& field) {
  return std::vector<std::string>(field.begin(), field.end());
}

}  // namespace

CardService::CardService(Options options) : options_(std::move(options)) {}

absl::StatusOr<uint32_t> CardService::CardOf(const grpc::CallbackServerContext& context,
                                             Operation operation, const std::string& name) const {
  RETURN_IF_ERROR(Authorize(context, options_.sessions, operation, name));
  return ParseCardName("name", name);
}

absl::StatusOr<SlotRef> CardService::SlotOf(const grpc::CallbackServerContext& context,
                                            Operation operation, const std::string& name) const {
  RETURN_IF_ERROR(Authorize(context, options_.sessions, operation, name));
  return ParseSlotName("name", name);
}

absl::StatusOr<SlotInfo> CardService::FindSlot(const SlotRef& ref) const {
  ASSIGN_OR_RETURN(const CardInfo card, options_.pool->Card(ref.serial));
  for (const SlotInfo& slot : card.slots) {
    if (slot.slot == ref.slot) return slot;
  }
  return absl::NotFoundError(absl::StrCat("slot ", piv::SlotName(ref.slot), " of card ", ref.serial,
                                          " has neither key nor certificate"));
}

absl::Status CardService::CheckRoom(const SlotRef& ref, const piv::KeySettings& settings,
                                    bool replace) const {
  ASSIGN_OR_RETURN(const CardInfo card, options_.pool->Card(ref.serial));
  if (settings.algorithm == piv::Algorithm::kEd25519 && !card.version.AtLeast(5, 7)) {
    return absl::UnimplementedError(absl::StrCat("card ", ref.serial, " has firmware ",
                                                 card.version.ToString(),
                                                 ": Ed25519 keys need 5.7 or later"));
  }
  if (replace) return absl::OkStatus();
  const absl::Status slot = FindSlot(ref).status();
  if (slot.ok()) return InUse(ref);
  return absl::IsNotFound(slot) ? absl::OkStatus() : slot;
}

absl::StatusOr<CardPool::Needs> CardService::Management(uint32_t serial,
                                                        const std::string& key) const {
  CardPool::Needs needs;
  needs.management_key = TakeSecret(key);
  const size_t bytes = needs.management_key->size();
  if (bytes == 0 && options_.management_key) {
    if (auto configured = options_.management_key(serial); configured.has_value()) {
      needs.management_key = std::move(*configured);
    }
  } else if (bytes != 0 && bytes != 16 && bytes != 24 && bytes != 32) {
    return runtime::FieldError("management_key",
                               absl::StrCat("has ", bytes, " bytes: expected 16, 24 or 32"));
  }
  return needs;
}

absl::Status CardService::DescribeCard(uint32_t serial, v1::Card* out) const {
  ASSIGN_OR_RETURN(const CardInfo card, options_.pool->Card(serial));
  *out = ToProto(card);
  return absl::OkStatus();
}

absl::Status CardService::DescribeSlot(const SlotRef& ref, v1::Slot* out) const {
  ASSIGN_OR_RETURN(const SlotInfo slot, FindSlot(ref));
  *out = ToProto(ref.serial, slot);
  return absl::OkStatus();
}

void CardService::Change(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
                         const SlotRef& ref, absl::string_view operation, CardPool::Needs needs,
                         CardPool::Body body, v1::Slot* out) {
  options_.pool->Execute(ref.serial, operation, std::move(needs), /*changes_card=*/true,
                         runtime::Deadline(*context), std::move(body),
                         [this, context, reactor, ref, out](absl::Status status) {
                           if (status.ok()) status = DescribeSlot(ref, out);
                           // It is done, though firmware before 5.3 does not show it.
                           if (absl::IsNotFound(status) && !out->name().empty()) {
                             status = absl::OkStatus();
                           }
                           runtime::FinishCall(context, reactor, status);
                         });
}

grpc::ServerUnaryReactor* CardService::ListCards(grpc::CallbackServerContext* context,
                                                 const v1::ListCardsRequest*,
                                                 v1::ListCardsResponse* response) {
  for (const CardInfo& card : options_.pool->Cards()) *response->add_cards() = ToProto(card);
  return runtime::FinishUnary(context, absl::OkStatus());
}

grpc::ServerWriteReactor<v1::WatchCardsResponse>* CardService::WatchCards(
    grpc::CallbackServerContext*, const v1::WatchCardsRequest*) {
  return WatchCardsReactor::Start(options_.pool);
}

grpc::ServerUnaryReactor* CardService::GetCard(grpc::CallbackServerContext* context,
                                               const v1::GetCardRequest* request,
                                               v1::GetCardResponse* response) {
  return runtime::FinishUnary(context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const uint32_t serial, ParseCardName("name", request->name()));
    return DescribeCard(serial, response->mutable_card());
  }());
}

grpc::ServerUnaryReactor* CardService::GetSlot(grpc::CallbackServerContext* context,
                                               const v1::GetSlotRequest* request,
                                               v1::GetSlotResponse* response) {
  return runtime::FinishUnary(context, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const SlotRef ref, ParseSlotName("name", request->name()));
    return DescribeSlot(ref, response->mutable_slot());
  }());
}

grpc::ServerUnaryReactor* CardService::GenerateKey(grpc::CallbackServerContext* context,
                                                   const v1::GenerateKeyRequest* request,
                                                   v1::GenerateKeyResponse* response) {
  const absl::StatusOr<SlotRef> ref = SlotOf(*context, Operation::kGenerate, request->name());
  if (!ref.ok()) return runtime::FinishUnary(context, ref.status());
  const absl::StatusOr<piv::KeySettings> settings =
      KeySettingsOf(request->algorithm(), request->pin_policy(), request->touch_policy());
  if (!settings.ok()) return runtime::FinishUnary(context, settings.status());
  const absl::Status room = CheckRoom(*ref, *settings, request->replace());
  if (!room.ok()) return runtime::FinishUnary(context, room);
  absl::StatusOr<CardPool::Needs> needs = Management(ref->serial, request->management_key());
  if (!needs.ok()) return runtime::FinishUnary(context, needs.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  Change(
      context, reactor, *ref, "generate", *std::move(needs),
      [ref = *ref, settings = *settings, replace = request->replace(),
       response](piv::Applet& applet) -> absl::Status {
        if (!replace) RETURN_IF_ERROR(CheckEmpty(applet, ref));
        ASSIGN_OR_RETURN(const crypto::PublicKey key, applet.GenerateKey(ref.slot, settings));
        SlotInfo made = NewKey(ref.slot, settings, piv::Origin::kGenerated);
        made.key.spki_der = key.spki_der();
        *response->mutable_slot() = ToProto(ref.serial, made);
        // It was of the key that is gone.
        return applet.DeleteCertificate(ref.slot);
      },
      response->mutable_slot());
  return reactor;
}

grpc::ServerUnaryReactor* CardService::ImportKey(grpc::CallbackServerContext* context,
                                                 const v1::ImportKeyRequest* request,
                                                 v1::ImportKeyResponse* response) {
  auto pkcs8 = std::make_shared<const crypto::SecretBytes>(TakeSecret(request->private_key()));
  const absl::StatusOr<SlotRef> ref = SlotOf(*context, Operation::kImport, request->name());
  if (!ref.ok()) return runtime::FinishUnary(context, ref.status());
  const absl::StatusOr<v1::Algorithm> algorithm = AlgorithmOfPkcs8(*pkcs8);
  if (!algorithm.ok()) return runtime::FinishUnary(context, algorithm.status());
  const absl::StatusOr<piv::KeySettings> settings =
      KeySettingsOf(*algorithm, request->pin_policy(), request->touch_policy());
  if (!settings.ok()) return runtime::FinishUnary(context, settings.status());
  const absl::Status room = CheckRoom(*ref, *settings, request->replace());
  if (!room.ok()) return runtime::FinishUnary(context, room);
  absl::StatusOr<CardPool::Needs> needs = Management(ref->serial, request->management_key());
  if (!needs.ok()) return runtime::FinishUnary(context, needs.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  Change(
      context, reactor, *ref, "import", *std::move(needs),
      [ref = *ref, settings = *settings, algorithm = *algorithm, replace = request->replace(),
       pkcs8, response](piv::Applet& applet) -> absl::Status {
        if (!replace) RETURN_IF_ERROR(CheckEmpty(applet, ref));
        RETURN_IF_ERROR(applet.ImportKey(ref.slot, *pkcs8, settings));
        *response->mutable_slot() =
            ToProto(ref.serial, NewKey(ref.slot, settings, piv::Origin::kImported));
        response->mutable_slot()->set_algorithm(algorithm);
        return applet.DeleteCertificate(ref.slot);
      },
      response->mutable_slot());
  return reactor;
}

grpc::ServerUnaryReactor* CardService::AttestKey(grpc::CallbackServerContext* context,
                                                 const v1::AttestKeyRequest* request,
                                                 v1::AttestKeyResponse* response) {
  const absl::StatusOr<SlotRef> ref = SlotOf(*context, Operation::kAttest, request->name());
  if (!ref.ok()) return runtime::FinishUnary(context, ref.status());
  const absl::StatusOr<SlotInfo> slot = FindSlot(*ref);
  if (!slot.ok()) return runtime::FinishUnary(context, slot.status());
  if (slot->key.origin == piv::Origin::kImported) {
    return runtime::FinishUnary(
        context, runtime::AttachReason(
                     absl::FailedPreconditionError(absl::StrCat(
                         "the key in slot ", piv::SlotName(ref->slot), " of card ", ref->serial,
                         " was imported: a card attests keys that it has made itself")),
                     kNotAttestable));
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.pool->Execute(
      ref->serial, "attest", {}, /*changes_card=*/false, runtime::Deadline(*context),
      [slot = ref->slot, response](piv::Applet& applet) -> absl::Status {
        absl::StatusOr<std::string> certificate = applet.Attest(slot);
        if (absl::IsInvalidArgument(certificate.status())) {
          return runtime::AttachReason(
              absl::FailedPreconditionError(certificate.status().message()), kNotAttestable);
        }
        RETURN_IF_ERROR(certificate.status());
        ASSIGN_OR_RETURN(const piv::Attestation facts, piv::ParseAttestation(*certificate));
        *response->mutable_facts() = ToProto(facts);
        response->set_certificate(*std::move(certificate));
        ASSIGN_OR_RETURN(*response->mutable_card_certificate(),
                         applet.ReadCertificate(piv::kAttestation));
        return absl::OkStatus();
      },
      Finish(context, reactor));
  return reactor;
}

grpc::ServerUnaryReactor* CardService::VerifyAttestation(
    grpc::CallbackServerContext* context, const v1::VerifyAttestationRequest* request,
    v1::VerifyAttestationResponse* response) {
  return runtime::RunUnary(context, options_.executor, [this, request, response]() -> absl::Status {
    if (request->roots_size() > kMaxRoots) {
      return runtime::FieldError("roots", absl::StrCat("more than ", kMaxRoots));
    }
    if (request->intermediates_size() > kMaxIntermediates) {
      return runtime::FieldError("intermediates", absl::StrCat("more than ", kMaxIntermediates));
    }
    const std::vector<std::string> roots =
        request->roots().empty() ? options_.attestation_roots : Copies(request->roots());
    if (roots.empty()) {
      return runtime::FieldError("roots",
                                 "none are given, and the agent has none (--attestation-roots)");
    }
    const auto parsed = piv::ParseAttestation(request->certificate());
    if (parsed.ok()) *response->mutable_facts() = ToProto(*parsed);
    const auto verified = piv::VerifyAttestation(
        request->certificate(), Copies(request->intermediates()), roots, options_.clock->Now());
    response->set_verified(verified.ok());
    if (verified.ok()) {
      *response->mutable_facts() = ToProto(*verified);
    } else {
      response->set_detail(std::string(verified.status().message()));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* CardService::WriteCertificate(grpc::CallbackServerContext* context,
                                                        const v1::WriteCertificateRequest* request,
                                                        v1::WriteCertificateResponse* response) {
  const absl::StatusOr<SlotRef> ref =
      SlotOf(*context, Operation::kWriteCertificate, request->name());
  if (!ref.ok()) return runtime::FinishUnary(context, ref.status());
  const auto certificate = pki::ParseCertificate(request->certificate());
  const absl::Status fits = [&]() -> absl::Status {
    if (!certificate.ok()) {
      return runtime::FieldError("certificate", certificate.status().message());
    }
    if (request->certificate().size() > kMaxCertificateBytes) {
      return runtime::FieldError("certificate",
                                 absl::StrCat("has more than ", kMaxCertificateBytes, " bytes"));
    }
    ASSIGN_OR_RETURN(const CardInfo card, options_.pool->Card(ref->serial));
    const absl::StatusOr<SlotInfo> slot = FindSlot(*ref);
    // Before 5.3 a key shows by its certificate only.
    if (absl::IsNotFound(slot.status()) && !card.version.AtLeast(5, 3)) return absl::OkStatus();
    RETURN_IF_ERROR(slot.status());
    if (slot->key.spki_der.empty() || slot->key.spki_der == certificate->spki_der) {
      return absl::OkStatus();
    }
    return WrongKey(ref->slot);
  }();
  if (!fits.ok()) return runtime::FinishUnary(context, fits);
  absl::StatusOr<CardPool::Needs> needs = Management(ref->serial, request->management_key());
  if (!needs.ok()) return runtime::FinishUnary(context, needs.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  Change(context, reactor, *ref, "write-certificate", *std::move(needs),
         WriteOf(ref->slot, certificate->spki_der, request->certificate()),
         response->mutable_slot());
  return reactor;
}

grpc::ServerUnaryReactor* CardService::SelfSignCertificate(
    grpc::CallbackServerContext* context, const v1::SelfSignCertificateRequest* request,
    v1::SelfSignCertificateResponse* response) {
  const absl::StatusOr<SlotRef> ref =
      SlotOf(*context, Operation::kWriteCertificate, request->name());
  if (!ref.ok()) return runtime::FinishUnary(context, ref.status());
  const absl::StatusOr<SlotInfo> slot = FindSlot(*ref);
  if (!slot.ok()) return runtime::FinishUnary(context, slot.status());
  absl::StatusOr<SelfSigned> draft = DraftSelfSigned(*request, slot->key, options_.clock->Now());
  if (!draft.ok()) return runtime::FinishUnary(context, draft.status());
  absl::StatusOr<CardPool::Needs> management = Management(ref->serial, request->management_key());
  if (!management.ok()) return runtime::FinishUnary(context, management.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  auto needs = std::make_shared<CardPool::Needs>(*std::move(management));
  const std::string input = draft->input;
  options_.pool->Sign(request->name(), draft->algorithm, input, runtime::Deadline(*context),
                      [this, context, reactor, response, ref = *ref, draft = *std::move(draft),
                       spki = slot->key.spki_der, needs](absl::StatusOr<Signed> result) {
                        if (!result.ok())
                          return runtime::FinishCall(context, reactor, result.status());
                        absl::StatusOr<std::string> der =
                            FinishSelfSigned(draft, result->signature);
                        if (!der.ok()) return runtime::FinishCall(context, reactor, der.status());
                        Change(context, reactor, ref, "write-certificate", std::move(*needs),
                               WriteOf(ref.slot, spki, *std::move(der)), response->mutable_slot());
                      });
  return reactor;
}

grpc::ServerUnaryReactor* CardService::DeleteCertificate(
    grpc::CallbackServerContext* context, const v1::DeleteCertificateRequest* request,
    v1::DeleteCertificateResponse*) {
  const absl::StatusOr<SlotRef> ref =
      SlotOf(*context, Operation::kWriteCertificate, request->name());
  if (!ref.ok()) return runtime::FinishUnary(context, ref.status());
  absl::StatusOr<CardPool::Needs> needs = Management(ref->serial, request->management_key());
  if (!needs.ok()) return runtime::FinishUnary(context, needs.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.pool->Execute(
      ref->serial, "delete-certificate", *std::move(needs),
      /*changes_card=*/true, runtime::Deadline(*context),
      [slot = ref->slot](piv::Applet& applet) { return applet.DeleteCertificate(slot); },
      Finish(context, reactor));
  return reactor;
}

grpc::ServerUnaryReactor* CardService::UnlockCard(grpc::CallbackServerContext* context,
                                                  const v1::UnlockCardRequest* request,
                                                  v1::UnlockCardResponse* response) {
  const absl::Status shaped = CheckPin("pin", request->pin());
  crypto::SecretBytes pin = TakeSecret(request->pin());
  const absl::StatusOr<uint32_t> serial = CardOf(*context, Operation::kUnlock, request->name());
  if (!serial.ok()) return runtime::FinishUnary(context, serial.status());
  if (!shaped.ok()) return runtime::FinishUnary(context, shaped);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.pool->Unlock(*serial, std::move(pin), runtime::Deadline(*context),
                        [this, context, reactor, response, serial = *serial](absl::Status status) {
                          if (status.ok()) status = DescribeCard(serial, response->mutable_card());
                          runtime::FinishCall(context, reactor, status);
                        });
  return reactor;
}

grpc::ServerUnaryReactor* CardService::LockCard(grpc::CallbackServerContext* context,
                                                const v1::LockCardRequest* request,
                                                v1::LockCardResponse* response) {
  const absl::StatusOr<uint32_t> serial = CardOf(*context, Operation::kUnlock, request->name());
  if (!serial.ok()) return runtime::FinishUnary(context, serial.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.pool->Lock(*serial, runtime::Deadline(*context),
                      [this, context, reactor, response, serial = *serial](absl::Status status) {
                        if (status.ok()) status = DescribeCard(serial, response->mutable_card());
                        runtime::FinishCall(context, reactor, status);
                      });
  return reactor;
}

grpc::ServerUnaryReactor* CardService::Replace(grpc::CallbackServerContext* context,
                                               const std::string& name, const Given& given,
                                               const Given& wanted, Replacement replacement) {
  absl::Status shaped = CheckPin(given.field, given.secret);
  if (shaped.ok()) shaped = CheckPin(wanted.field, wanted.secret);
  crypto::SecretBytes old_secret = TakeSecret(given.secret);
  crypto::SecretBytes new_secret = TakeSecret(wanted.secret);
  const absl::StatusOr<uint32_t> serial = CardOf(*context, Operation::kManage, name);
  if (!serial.ok()) return runtime::FinishUnary(context, serial.status());
  if (!shaped.ok()) return runtime::FinishUnary(context, shaped);
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  (options_.pool->*replacement)(*serial, std::move(old_secret), std::move(new_secret),
                                runtime::Deadline(*context), Finish(context, reactor));
  return reactor;
}

grpc::ServerUnaryReactor* CardService::ChangePin(grpc::CallbackServerContext* context,
                                                 const v1::ChangePinRequest* request,
                                                 v1::ChangePinResponse*) {
  return Replace(context, request->name(), {"pin", request->pin()}, {"new_pin", request->new_pin()},
                 &CardPool::ChangePin);
}

grpc::ServerUnaryReactor* CardService::ChangePuk(grpc::CallbackServerContext* context,
                                                 const v1::ChangePukRequest* request,
                                                 v1::ChangePukResponse*) {
  return Replace(context, request->name(), {"puk", request->puk()}, {"new_puk", request->new_puk()},
                 &CardPool::ChangePuk);
}

grpc::ServerUnaryReactor* CardService::UnblockPin(grpc::CallbackServerContext* context,
                                                  const v1::UnblockPinRequest* request,
                                                  v1::UnblockPinResponse*) {
  return Replace(context, request->name(), {"puk", request->puk()}, {"new_pin", request->new_pin()},
                 &CardPool::UnblockPin);
}

grpc::ServerUnaryReactor* CardService::ChangeManagementKey(
    grpc::CallbackServerContext* context, const v1::ChangeManagementKeyRequest* request,
    v1::ChangeManagementKeyResponse*) {
  auto new_key =
      std::make_shared<const crypto::SecretBytes>(TakeSecret(request->new_management_key()));
  const absl::StatusOr<uint32_t> serial = CardOf(*context, Operation::kManage, request->name());
  if (!serial.ok()) return runtime::FinishUnary(context, serial.status());
  const absl::StatusOr<CardInfo> card = options_.pool->Card(*serial);
  if (!card.ok()) return runtime::FinishUnary(context, card.status());
  const auto algorithm = ManagementAlgorithm(new_key->size(), card->version);
  if (!algorithm.ok()) return runtime::FinishUnary(context, algorithm.status());
  absl::StatusOr<CardPool::Needs> needs = Management(*serial, request->management_key());
  if (!needs.ok()) return runtime::FinishUnary(context, needs.status());
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.pool->Execute(
      *serial, "change-management-key", *std::move(needs),
      /*changes_card=*/false, runtime::Deadline(*context),
      [new_key, algorithm = *algorithm, touch = request->require_touch()](piv::Applet& applet) {
        return applet.SetManagementKey(algorithm, *new_key, touch);
      },
      Finish(context, reactor));
  return reactor;
}

grpc::ServerUnaryReactor* CardService::ResetCard(grpc::CallbackServerContext* context,
                                                 const v1::ResetCardRequest* request,
                                                 v1::ResetCardResponse* response) {
  const absl::StatusOr<uint32_t> serial = CardOf(*context, Operation::kManage, request->name());
  if (!serial.ok()) return runtime::FinishUnary(context, serial.status());
  if (request->confirm_serial_number() != absl::StrCat(*serial)) {
    return runtime::FinishUnary(
        context,
        runtime::FieldError("confirm_serial_number",
                            "a reset destroys every key on the card: give its serial number here"));
  }
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  options_.pool->Reset(*serial, runtime::Deadline(*context),
                       [this, context, reactor, response, serial = *serial](absl::Status status) {
                         if (status.ok()) status = DescribeCard(serial, response->mutable_card());
                         runtime::FinishCall(context, reactor, status);
                       });
  return reactor;
}

}  // namespace countersign::yubikey
