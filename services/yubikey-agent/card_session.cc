#include "services/yubikey-agent/card_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/locked_secret.h"
#include "libs/crypto/random.h"
#include "libs/pki/certificate.h"
#include "libs/runtime/error_details.h"

namespace countersign::yubikey {
namespace {

constexpr absl::string_view kFactoryManagementKey(
    "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10", 24);
// More than any card's counter of tries holds.
constexpr int kMostTries = 300;

bool HasReason(const absl::Status& status, absl::string_view reason) {
  const auto found = runtime::ReasonOf(status);
  return found.has_value() && *found == std::string(reason);
}

absl::Status PinNeeded(absl::string_view why) {
  return runtime::AttachReason(
      absl::FailedPreconditionError(absl::StrCat(why, "; unlock the card with its PIN")),
      kPinNeeded);
}

// What a card may answer when another program has logged the PIN out or selected another applet.
bool MayBeOthersDoing(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsUnimplemented(status) ||
         absl::IsNotFound(status) || absl::IsInternal(status);
}

// Eight digits, right once in a hundred million times.
crypto::SecretBytes Guess() {
  crypto::SecretBytes guess(piv::kPinBytes);
  const std::string random = crypto::RandomBytes(piv::kPinBytes);
  char* digits = guess.ExposeMutable(crypto::SecretAccess::Grant());
  for (size_t i = 0; i < piv::kPinBytes; ++i) {
    digits[i] = static_cast<char>('0' + static_cast<uint8_t>(random[i]) % 10);
  }
  return guess;
}

// Calls `guess` with wrong secrets until the card blocks what they were guessed at.
absl::Status Exhaust(absl::string_view blocked,
                     const std::function<absl::Status(const crypto::SecretBytes&)>& guess) {
  for (int i = 0; i < kMostTries; ++i) {
    const absl::Status status = guess(Guess());
    if (HasReason(status, blocked)) return absl::OkStatus();
    if (!status.ok() && !absl::IsPermissionDenied(status)) return status;
  }
  return absl::InternalError(absl::StrCat("the card took ", kMostTries, " wrong secrets"));
}

piv::SlotMetadata MetadataOfCertificate(absl::string_view der) {
  piv::SlotMetadata metadata;
  // RSA-1024 is the one kind of key that cards of that age have and the suite does not know.
  metadata.algorithm = piv::Algorithm::kRsa1024;
  const auto certificate = pki::ParseCertificate(der);
  if (!certificate.ok()) return metadata;
  const auto key = certificate->Key();
  if (!key.ok()) return metadata;
  switch (key->type()) {
    case crypto::KeyType::kEcP256:
      metadata.algorithm = piv::Algorithm::kEccP256;
      break;
    case crypto::KeyType::kEcP384:
      metadata.algorithm = piv::Algorithm::kEccP384;
      break;
    case crypto::KeyType::kRsa:
      if (key->bits() != 2048) return metadata;
      metadata.algorithm = piv::Algorithm::kRsa2048;
      break;
    default:
      return metadata;
  }
  metadata.spki_der = key->spki_der();
  return metadata;
}

}  // namespace

// Passes everything on, and notes when the card is gone.
class CardSession::NotingTransport final : public piv::Transport {
 public:
  NotingTransport(std::unique_ptr<piv::Transport> transport, bool* lost)
      : transport_(std::move(transport)), lost_(lost) {}

  absl::StatusOr<piv::Response> Transmit(const piv::Command& command) override {
    if (*lost_) return absl::UnavailableError("the card is gone");
    auto response = transport_->Transmit(command);
    *lost_ = absl::IsUnavailable(response.status());
    return response;
  }
  absl::Status BeginTransaction() override {
    if (*lost_) return absl::UnavailableError("the card is gone");
    const absl::Status status = transport_->BeginTransaction();
    *lost_ = !status.ok() && !absl::IsAborted(status);
    return status;
  }
  void EndTransaction() override { transport_->EndTransaction(); }

 private:
  const std::unique_ptr<piv::Transport> transport_;
  bool* const lost_;
};

CardSession::CardSession(std::unique_ptr<piv::Transport> transport, int pin_floor, PinKeeper* pin)
    : transport_(std::make_unique<NotingTransport>(std::move(transport), &lost_)),
      applet_(transport_.get()),
      pin_floor_(pin_floor),
      pin_(pin) {}

CardSession::~CardSession() = default;

absl::StatusOr<std::unique_ptr<CardSession>> CardSession::Open(
    std::unique_ptr<piv::Transport> transport, int pin_floor, PinKeeper* pin) {
  auto session =
      std::unique_ptr<CardSession>(new CardSession(std::move(transport), pin_floor, pin));
  RETURN_IF_ERROR(session->Begin());
  const absl::Status status = session->ReadCard();
  session->End();
  if (session->lost_ && !absl::IsUnavailable(status)) {
    return absl::UnavailableError(status.message());
  }
  RETURN_IF_ERROR(status);
  return session;
}

absl::Status CardSession::ReadCard() {
  if (const absl::Status status = applet_.Select(); !status.ok()) {
    if (lost_) return status;
    return absl::NotFoundError(status.message());
  }
  selected_ = true;
  const auto failed = [this](const absl::Status& status) {
    return lost_ ? status : absl::FailedPreconditionError(status.message());
  };
  const auto version = applet_.GetVersion();
  if (!version.ok()) return failed(version.status());
  version_ = *version;
  const auto serial = applet_.GetSerial();
  if (!serial.ok()) return failed(serial.status());
  if (*serial == 0) {
    return absl::FailedPreconditionError(
        "the card does not tell its serial number, by which the agent knows cards");
  }
  serial_ = *serial;
  if (const absl::Status status = ReadSlots(); !status.ok()) return failed(status);
  bool verified;
  const absl::Status tries = CheckTries(&verified);
  // That the PIN is blocked locks the card; keys without a PIN still work.
  if (!tries.ok() && state_ != CardState::kLocked) return failed(tries);
  return absl::OkStatus();
}

absl::Status CardSession::ReadSlots() {
  const bool has_metadata = version_.AtLeast(5, 3);
  std::vector<SlotInfo> slots;
  for (const piv::Slot slot : piv::UserSlots()) {
    SlotInfo info;
    info.slot = slot;
    bool has_key = false;
    if (has_metadata) {
      auto metadata = applet_.GetMetadata(slot);
      has_key = metadata.ok();
      if (has_key) {
        info.key = *std::move(metadata);
      } else if (!absl::IsNotFound(metadata.status())) {
        return metadata.status();
      }
    }
    auto certificate = applet_.ReadCertificate(slot);
    if (certificate.ok()) {
      info.certificate_der = *std::move(certificate);
      if (!has_metadata) info.key = MetadataOfCertificate(info.certificate_der);
    } else if (lost_) {
      return certificate.status();
    }
    if (has_key || !info.certificate_der.empty()) slots.push_back(std::move(info));
  }
  slots_ = std::move(slots);
  ++slots_revision_;
  return absl::OkStatus();
}

absl::Status CardSession::Begin() {
  const absl::Status status = transport_->BeginTransaction();
  if (absl::IsAborted(status)) {
    selected_ = false;
    verified_ = false;
    return absl::OkStatus();
  }
  return status;
}

void CardSession::End() { transport_->EndTransaction(); }

absl::Status CardSession::SelectAgain() {
  verified_ = false;
  RETURN_IF_ERROR(applet_.Select());
  // The PIN of one card must not be tried on another that took its place unnoticed.
  ASSIGN_OR_RETURN(const uint32_t serial, applet_.GetSerial());
  if (serial != serial_) {
    lost_ = true;
    return absl::UnavailableError(
        absl::StrCat("another card, ", serial, ", is where ", serial_, " was"));
  }
  selected_ = true;
  return absl::OkStatus();
}

absl::Status CardSession::EnsureSelected() {
  if (selected_ && applet_.PinTries().ok()) return absl::OkStatus();
  if (lost_) return absl::UnavailableError("the card is gone");
  return SelectAgain();
}

CardSession::PinUse CardSession::UseOf(piv::Slot slot) const {
  piv::PinPolicy policy = piv::PinPolicy::kDefault;
  for (const SlotInfo& info : slots_) {
    if (info.slot == slot) policy = info.key.pin_policy;
  }
  if (policy == piv::PinPolicy::kDefault) policy = piv::DefaultPinPolicy(slot);
  switch (policy) {
    case piv::PinPolicy::kNever:
      return PinUse::kNone;
    case piv::PinPolicy::kAlways:
      return PinUse::kAlways;
    default:
      return PinUse::kOnce;
  }
}

absl::Status CardSession::UseKey(piv::Slot slot, absl::string_view spki_der, const Body& body) {
  const auto other = [&] {
    return absl::NotFoundError(absl::StrCat("the key in slot ", piv::SlotName(slot), " of card ",
                                            serial_, " is not the one that was there"));
  };
  const bool there = std::any_of(slots_.begin(), slots_.end(), [&](const SlotInfo& info) {
    return info.slot == slot && info.key.spki_der == spki_der;
  });
  if (!there) return other();
  const absl::Status status = UseKeyTwice(slot, body);
  // Cards say of an empty slot, or one with a key of another kind, that the data is wrong.
  if (lost_ || !(absl::IsInvalidArgument(status) || absl::IsNotFound(status))) return status;
  if (HasSameKey(slot) || lost_) return status;
  RETURN_IF_ERROR(ReadSlots());
  return other();
}

bool CardSession::HasSameKey(piv::Slot slot) {
  const auto known = std::find_if(slots_.begin(), slots_.end(),
                                  [slot](const SlotInfo& info) { return info.slot == slot; });
  if (known == slots_.end()) return false;
  if (!version_.AtLeast(5, 3)) {
    const auto certificate = applet_.ReadCertificate(slot);
    return certificate.ok() && *certificate == known->certificate_der;
  }
  const auto metadata = applet_.GetMetadata(slot);
  return metadata.ok() && metadata->spki_der == known->key.spki_der;
}

absl::Status CardSession::UseKeyTwice(piv::Slot slot, const Body& body) {
  PinUse use = UseOf(slot);
  absl::Status status;
  for (int attempt = 0; attempt < 2; ++attempt) {
    RETURN_IF_ERROR(Prepare(use));
    status = body(applet_);
    if (status.ok() || lost_ || !MayBeOthersDoing(status)) return status;
    if (HasReason(status, piv::kPinRequired)) {
      // Policies are not known of old cards' keys, and the card knows best.
      use = std::max(use, PinUse::kOnce);
    }
    selected_ = false;
    verified_ = false;
  }
  if (!HasReason(status, piv::kPinRequired)) return status;
  // The PIN was verified just now: it is not what the card wants.
  return runtime::AttachReason(
      absl::FailedPreconditionError(absl::StrCat(
          status.message(), ", or a touch: the PIN is verified, and it was not touched in time")),
      piv::kTouchRequired);
}

absl::Status CardSession::Prepare(PinUse use) {
  if (!selected_) RETURN_IF_ERROR(SelectAgain());
  if (use == PinUse::kNone) return absl::OkStatus();
  if (state_ == CardState::kLocked) {
    return runtime::AttachReason(absl::FailedPreconditionError(detail_), kCardLocked);
  }
  if (!pin_->Touch()) return PinNeeded("the agent does not hold the card's PIN");
  if (use == PinUse::kOnce && verified_) return absl::OkStatus();
  return VerifyHeld(use);
}

absl::Status CardSession::VerifyHeld(PinUse use) {
  bool verified = false;
  RETURN_IF_ERROR(CheckTries(&verified));
  if (verified && use == PinUse::kOnce) {
    verified_ = true;
    return absl::OkStatus();
  }
  const std::optional<crypto::SecretBytes> pin = pin_->Use();
  if (!pin.has_value()) return PinNeeded("the agent does not hold the card's PIN any more");
  const absl::Status status = applet_.VerifyPin(*pin);
  if (status.ok()) {
    verified_ = true;
    return status;
  }
  verified_ = false;
  if (lost_) return status;
  NoteRefusal(status);
  if (absl::IsPermissionDenied(status)) {
    pin_->Forget();
    return PinNeeded(absl::StrCat(
        "the card refused the PIN that the agent held, which another program may have changed (",
        status.message(), ")"));
  }
  return status;
}

absl::Status CardSession::CheckTries(bool* verified) {
  auto tries = applet_.PinTries();
  if (!tries.ok()) {
    // No card with its applet selected refuses to tell.
    if (lost_) return tries.status();
    RETURN_IF_ERROR(SelectAgain());
    tries = applet_.PinTries();
    RETURN_IF_ERROR(tries.status());
  }
  *verified = !tries->has_value();
  if (*verified) return absl::OkStatus();
  verified_ = false;
  pin_tries_ = **tries;
  if (*pin_tries_ > 0 && *pin_tries_ >= pin_floor_) return absl::OkStatus();
  OpenBreaker(TooFewTries(*pin_tries_));
  return runtime::AttachReason(absl::FailedPreconditionError(detail_),
                               *pin_tries_ == 0 ? piv::kPinBlocked : kPinFloor);
}

std::string CardSession::TooFewTries(int tries) const {
  if (tries == 0) return "the card's PIN is blocked; unblock it with the PUK";
  return absl::StrCat("the card's PIN has ", tries, tries == 1 ? " try" : " tries",
                      " left, and the agent sends none below ", pin_floor_,
                      "; verify it with another program, or unblock it with the PUK");
}

void CardSession::OpenBreaker(std::string detail) {
  state_ = CardState::kLocked;
  detail_ = std::move(detail);
  verified_ = false;
  pin_->Forget();
}

void CardSession::CloseBreaker() {
  state_ = CardState::kReady;
  detail_.clear();
}

void CardSession::NoteRefusal(const absl::Status& status) {
  const std::optional<int> tries =
      HasReason(status, piv::kPinBlocked) ? 0 : piv::TriesLeftOf(status);
  if (!tries.has_value()) return;
  pin_tries_ = *tries;
  if (*tries < pin_floor_ || *tries == 0) OpenBreaker(TooFewTries(*tries));
}

absl::Status CardSession::Execute(const CardPool::Needs& needs, const Body& body) {
  RETURN_IF_ERROR(EnsureSelected());
  if (needs.management_key.has_value()) {
    if (needs.management_key->empty()) {
      RETURN_IF_ERROR(applet_.AuthenticateManagement(crypto::SecretBytes(kFactoryManagementKey)));
    } else {
      RETURN_IF_ERROR(applet_.AuthenticateManagement(*needs.management_key));
    }
  }
  // Last: keys of policy always want nothing between the PIN and their use.
  if (needs.pin) RETURN_IF_ERROR(Prepare(PinUse::kAlways));
  absl::Status status = body(applet_);
  // It may have changed the PIN, or logged it out.
  verified_ = false;
  return status;
}

absl::Status CardSession::Unlock(const crypto::SecretBytes& pin) {
  ASSIGN_OR_RETURN(crypto::LockedSecret held, crypto::LockedSecret::Create(pin));
  RETURN_IF_ERROR(EnsureSelected());
  bool verified;
  RETURN_IF_ERROR(CheckTries(&verified));
  const std::optional<int> tries_before = pin_tries_;
  const absl::Status status = applet_.VerifyPin(pin);
  if (!status.ok()) {
    verified_ = false;
    if (!lost_ && !absl::IsInvalidArgument(status)) {
      if (pin_->Holds(pin)) pin_->Forget();
      NoteRefusal(status);
    }
    return status;
  }
  verified_ = true;
  pin_tries_ = tries_before;
  CloseBreaker();
  pin_->Hold(std::move(held));
  return absl::OkStatus();
}

absl::Status CardSession::Lock() {
  pin_->Forget();
  verified_ = false;
  RETURN_IF_ERROR(EnsureSelected());
  return applet_.Logout();
}

void CardSession::LogOut() {
  verified_ = false;
  if (!EnsureSelected().ok()) return;
  // Selecting the applet again, before the next use, logs out too.
  if (!applet_.Logout().ok()) selected_ = false;
}

absl::Status CardSession::ChangePin(const crypto::SecretBytes& pin,
                                    const crypto::SecretBytes& new_pin) {
  ASSIGN_OR_RETURN(crypto::LockedSecret held, crypto::LockedSecret::Create(new_pin));
  // Which logs out: while a PIN is verified the card does not tell how many tries are left.
  RETURN_IF_ERROR(SelectAgain());
  bool verified;
  RETURN_IF_ERROR(CheckTries(&verified));
  const absl::Status status = applet_.ChangePin(pin, new_pin);
  verified_ = false;
  if (!status.ok()) {
    if (!lost_ && !absl::IsInvalidArgument(status)) {
      if (pin_->Holds(pin)) pin_->Forget();
      NoteRefusal(status);
    }
    return status;
  }
  CloseBreaker();
  if (pin_->held()) pin_->Hold(std::move(held));
  // All of them again, however many that is. The PIN is changed, whatever comes of asking.
  pin_tries_ = std::nullopt;
  CheckTries(&verified).IgnoreError();
  return absl::OkStatus();
}

absl::Status CardSession::ChangePuk(const crypto::SecretBytes& puk,
                                    const crypto::SecretBytes& new_puk) {
  RETURN_IF_ERROR(EnsureSelected());
  return applet_.ChangePuk(puk, new_puk);
}

absl::Status CardSession::UnblockPin(const crypto::SecretBytes& puk,
                                     const crypto::SecretBytes& new_pin) {
  ASSIGN_OR_RETURN(crypto::LockedSecret held, crypto::LockedSecret::Create(new_pin));
  RETURN_IF_ERROR(EnsureSelected());
  RETURN_IF_ERROR(applet_.UnblockPin(puk, new_pin));
  verified_ = false;
  CloseBreaker();
  if (pin_->held()) pin_->Hold(std::move(held));
  pin_tries_ = std::nullopt;
  bool verified;
  CheckTries(&verified).IgnoreError();
  return absl::OkStatus();
}

absl::Status CardSession::Reset() {
  RETURN_IF_ERROR(EnsureSelected());
  pin_->Forget();
  RETURN_IF_ERROR(Exhaust(piv::kPinBlocked, [this](const crypto::SecretBytes& wrong) {
    return applet_.VerifyPin(wrong);
  }));
  RETURN_IF_ERROR(Exhaust(piv::kPukBlocked, [this](const crypto::SecretBytes& wrong) {
    return applet_.ChangePuk(wrong, wrong);
  }));
  RETURN_IF_ERROR(applet_.Reset());
  CloseBreaker();
  RETURN_IF_ERROR(SelectAgain());
  RETURN_IF_ERROR(ReadSlots());
  bool verified;
  return CheckTries(&verified);
}

}  // namespace countersign::yubikey
