#include "services/yubikey-agent/conversions.h"

#include "absl/strings/str_cat.h"
#include "libs/crypto/public_key.h"
#include "libs/runtime/field_error.h"
#include "services/yubikey-agent/names.h"

namespace countersign::yubikey {
namespace {

v1::PinPolicy ToProto(piv::PinPolicy policy) {
  switch (policy) {
    case piv::PinPolicy::kNever:
      return v1::PIN_POLICY_NEVER;
    case piv::PinPolicy::kOnce:
      return v1::PIN_POLICY_ONCE;
    case piv::PinPolicy::kAlways:
      return v1::PIN_POLICY_ALWAYS;
    default:
      return v1::PIN_POLICY_UNSPECIFIED;
  }
}

v1::TouchPolicy ToProto(piv::TouchPolicy policy) {
  switch (policy) {
    case piv::TouchPolicy::kNever:
      return v1::TOUCH_POLICY_NEVER;
    case piv::TouchPolicy::kAlways:
      return v1::TOUCH_POLICY_ALWAYS;
    case piv::TouchPolicy::kCached:
      return v1::TOUCH_POLICY_CACHED;
    default:
      return v1::TOUCH_POLICY_UNSPECIFIED;
  }
}

v1::KeyOrigin ToProto(piv::Origin origin) {
  switch (origin) {
    case piv::Origin::kGenerated:
      return v1::KEY_ORIGIN_GENERATED;
    case piv::Origin::kImported:
      return v1::KEY_ORIGIN_IMPORTED;
    default:
      return v1::KEY_ORIGIN_UNSPECIFIED;
  }
}

v1::CardState ToProto(CardState state) {
  switch (state) {
    case CardState::kReady:
      return v1::CARD_STATE_READY;
    case CardState::kLocked:
      return v1::CARD_STATE_LOCKED;
    case CardState::kFailed:
      return v1::CARD_STATE_FAILED;
  }
  return v1::CARD_STATE_UNSPECIFIED;
}

}  // namespace

v1::Algorithm ToProto(crypto::Algorithm algorithm) {
  switch (algorithm) {
    case crypto::Algorithm::kEd25519:
      return v1::ALGORITHM_ED25519;
    case crypto::Algorithm::kEcdsaP256Sha256:
      return v1::ALGORITHM_ECDSA_P256_SHA256;
    case crypto::Algorithm::kEcdsaP384Sha384:
      return v1::ALGORITHM_ECDSA_P384_SHA384;
    case crypto::Algorithm::kRsaPss2048Sha256:
      return v1::ALGORITHM_RSA_PSS_2048_SHA256;
    case crypto::Algorithm::kRsaPkcs1_2048Sha256:
      return v1::ALGORITHM_RSA_PKCS1_2048_SHA256;
    case crypto::Algorithm::kHpkeX25519:
      return v1::ALGORITHM_HPKE_X25519;
    default:
      return v1::ALGORITHM_UNSPECIFIED;
  }
}

absl::StatusOr<crypto::Algorithm> CardAlgorithm(absl::string_view field, v1::Algorithm algorithm) {
  for (const crypto::Algorithm candidate : crypto::kAllAlgorithms) {
    if (candidate != crypto::Algorithm::kHpkeX25519 && ToProto(candidate) == algorithm &&
        algorithm != v1::ALGORITHM_UNSPECIFIED) {
      return candidate;
    }
  }
  return runtime::FieldError(field, algorithm == v1::ALGORITHM_UNSPECIFIED
                                        ? "an algorithm is required"
                                        : "cards have no keys of this algorithm");
}

v1::Algorithm DefaultAlgorithm(absl::string_view spki_der) {
  const auto key = crypto::PublicKey::FromSpkiDer(spki_der);
  if (!key.ok()) return v1::ALGORITHM_UNSPECIFIED;
  if (key->type() == crypto::KeyType::kEd25519) return v1::ALGORITHM_ED25519;
  const auto algorithm = key->DefaultAlgorithm();
  return algorithm.ok() ? ToProto(*algorithm) : v1::ALGORITHM_UNSPECIFIED;
}

absl::StatusOr<piv::KeySettings> KeySettingsOf(v1::Algorithm algorithm, v1::PinPolicy pin_policy,
                                               v1::TouchPolicy touch_policy) {
  piv::KeySettings settings;
  switch (algorithm) {
    case v1::ALGORITHM_ECDSA_P256_SHA256:
      settings.algorithm = piv::Algorithm::kEccP256;
      break;
    case v1::ALGORITHM_ECDSA_P384_SHA384:
      settings.algorithm = piv::Algorithm::kEccP384;
      break;
    case v1::ALGORITHM_RSA_PSS_2048_SHA256:
    case v1::ALGORITHM_RSA_PKCS1_2048_SHA256:
      settings.algorithm = piv::Algorithm::kRsa2048;
      break;
    case v1::ALGORITHM_ED25519:
      settings.algorithm = piv::Algorithm::kEd25519;
      break;
    default:
      return runtime::FieldError("algorithm", algorithm == v1::ALGORITHM_UNSPECIFIED
                                                  ? "an algorithm is required"
                                                  : "cards have no keys of this algorithm");
  }
  // The contract's numbers are the card's.
  if (!v1::PinPolicy_IsValid(pin_policy)) return runtime::FieldError("pin_policy", "unknown");
  if (!v1::TouchPolicy_IsValid(touch_policy)) return runtime::FieldError("touch_policy", "unknown");
  settings.pin_policy = static_cast<piv::PinPolicy>(pin_policy);
  settings.touch_policy = static_cast<piv::TouchPolicy>(touch_policy);
  return settings;
}

v1::Slot ToProto(uint32_t serial, const SlotInfo& slot) {
  v1::Slot out;
  out.set_name(absl::StrCat(CardName(serial), "/slots/", piv::SlotName(slot.slot)));
  if (!slot.key.spki_der.empty()) {
    out.set_algorithm(DefaultAlgorithm(slot.key.spki_der));
    out.set_spki(slot.key.spki_der);
    const auto key = crypto::PublicKey::FromSpkiDer(slot.key.spki_der);
    if (key.ok()) out.set_fingerprint(key->Fingerprint());
  }
  out.set_pin_policy(ToProto(slot.key.pin_policy));
  out.set_touch_policy(ToProto(slot.key.touch_policy));
  out.set_origin(ToProto(slot.key.origin));
  out.set_certificate(slot.certificate_der);
  return out;
}

v1::Card ToProto(const CardInfo& card) {
  v1::Card out;
  out.set_name(CardName(card.serial));
  out.set_serial_number(card.serial);
  out.set_reader(card.reader);
  out.set_firmware_version(card.version.ToString());
  out.set_state(ToProto(card.state));
  out.set_detail(card.detail);
  out.set_unlocked(card.unlocked);
  if (card.pin_tries.has_value()) out.set_pin_tries_left(*card.pin_tries);
  out.set_queued_jobs(card.queued);
  for (const SlotInfo& slot : card.slots) *out.add_slots() = ToProto(card.serial, slot);
  return out;
}

v1::Key ToProto(const CardKey& key) {
  v1::Key out;
  out.set_name(key.name);
  bool same = true;
  for (const KeyPlace& place : key.places) {
    out.add_slots(place.Name());
    same = same && place.spki_der == key.places.front().spki_der;
  }
  if (!key.places.empty()) {
    out.set_algorithm(DefaultAlgorithm(key.places.front().spki_der));
    if (same) out.set_spki(key.places.front().spki_der);
  }
  return out;
}

v1::AttestationFacts ToProto(const piv::Attestation& attestation) {
  v1::AttestationFacts out;
  out.set_spki(attestation.spki_der);
  out.set_serial_number(attestation.serial);
  out.set_firmware_version(attestation.firmware.ToString());
  out.set_pin_policy(ToProto(attestation.pin_policy));
  out.set_touch_policy(ToProto(attestation.touch_policy));
  out.set_form_factor(std::string(piv::FormFactorName(attestation.form_factor)));
  out.set_fips(attestation.fips);
  if (attestation.slot != piv::Slot{}) out.set_slot(piv::SlotName(attestation.slot));
  return out;
}

crypto::SecretBytes TakeSecret(const std::string& bytes) {
  crypto::SecretBytes secret(bytes);
  // The request is const to its handler, and nobody else's.
  crypto::Wipe(const_cast<char*>(bytes.data()), bytes.size());
  return secret;
}

}  // namespace countersign::yubikey
