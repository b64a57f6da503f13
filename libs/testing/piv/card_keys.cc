// The asymmetric keys of a simulated card: GENERATE, GENERAL AUTHENTICATE (SP 800-73-4 part 2
// sections 3.3.2 and 3.2.4) and Yubico's IMPORT, ATTEST, METADATA and MOVE.
#include <utility>

#include "libs/base/bytes.h"
#include "libs/piv/tlv.h"
#include "libs/testing/piv/card_applet.h"
#include "libs/testing/piv/card_attestation.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // status words, slots and TLV

constexpr uint32_t kTagPinPolicy = 0xAA;
constexpr uint32_t kTagTouchPolicy = 0xAB;

bool IsRsa(Algorithm algorithm) {
  return algorithm == Algorithm::kRsa1024 || algorithm == Algorithm::kRsa2048;
}

// The public key of GENERATE: the length of an RSA key is in three bytes even where fewer would do.
std::string PublicKeyTemplate(const CardKey& key) {
  const std::string tlvs = key.PublicTlvs();
  if (!IsRsa(key.algorithm)) return Tlv(0x7F49, tlvs);
  std::string out("\x7F\x49\x82");
  base::AppendU16(&out, static_cast<uint16_t>(tlvs.size()));
  return out + tlvs;
}

void AppendByte(uint32_t tag, int value, std::string* out) {
  const char byte = static_cast<char>(value);
  AppendTlv(tag, absl::string_view(&byte, 1), out);
}

std::string Bytes(int first, int second) {
  return {static_cast<char>(first), static_cast<char>(second)};
}

// METADATA of a PIN or PUK: no algorithm, whether it is the factory's, and its tries.
std::string ReferenceMetadata(const Reference& reference) {
  std::string out;
  AppendByte(0x01, 0xFF, &out);
  AppendByte(0x05, reference.IsDefault() ? 1 : 0, &out);
  AppendTlv(0x06, Bytes(reference.limit, reference.tries), &out);
  return out;
}

}  // namespace

bool CardApplet::Supports(Algorithm algorithm) const {
  switch (algorithm) {
    case Algorithm::kRsa1024:
    case Algorithm::kRsa2048:
    case Algorithm::kEccP256:
      return true;
    case Algorithm::kEccP384:
      return state_->version.AtLeast(4, 0);
    case Algorithm::kEd25519:
      return state_->version.AtLeast(5, 7);
    default:
      return false;
  }
}

bool CardApplet::ReadPolicies(absl::string_view tlvs, uint8_t slot, CardKey* key) const {
  PinPolicy pin = PinPolicy::kDefault;
  TouchPolicy touch = TouchPolicy::kDefault;
  TlvReader reader(tlvs);
  uint32_t tag = 0;
  absl::string_view value;
  while (reader.Read(&tag, &value)) {
    if (tag != kTagPinPolicy && tag != kTagTouchPolicy) continue;
    if (value.size() != 1 || static_cast<uint8_t>(value[0]) > 3) return false;
    if (tag == kTagPinPolicy) pin = static_cast<PinPolicy>(value[0]);
    if (tag == kTagTouchPolicy) touch = static_cast<TouchPolicy>(value[0]);
  }
  if (touch == TouchPolicy::kCached && !state_->version.AtLeast(4, 3)) return false;
  key->pin_policy = pin == PinPolicy::kDefault ? DefaultPinPolicy(static_cast<Slot>(slot)) : pin;
  key->touch_policy = touch == TouchPolicy::kDefault ? TouchPolicy::kNever : touch;
  return reader.empty();
}

CardApplet::Response CardApplet::Generate(const Command& command) {
  if (command.p1 != 0) return {"", kWrongParameters};
  if (!HoldsKey(command.p2)) return {"", kWrongReference};
  if (!management_verified_) return {"", kSecurityStatusNotSatisfied};
  absl::string_view control, algorithm;
  TlvReader reader(command.data);
  if (!reader.Read(0xAC, &control) || !reader.empty()) return {"", kWrongData};
  TlvReader inside(control);
  if (!inside.Read(0x80, &algorithm) || algorithm.size() != 1) return {"", kWrongData};
  const auto wanted = static_cast<Algorithm>(algorithm[0]);
  CardKey policies;
  if (!Supports(wanted) || !ReadPolicies(inside.rest(), command.p2, &policies)) {
    return {"", kWrongData};
  }
  auto key = CardKey::Generate(wanted);
  if (!key.has_value()) return {"", kUnknownError};
  key->pin_policy = policies.pin_policy;
  key->touch_policy = policies.touch_policy;
  key->origin = Origin::kGenerated;
  std::string made = PublicKeyTemplate(*key);
  state_->keys.insert_or_assign(command.p2, *std::move(key));
  outcome_.changed = outcome_.used_key = true;
  return {std::move(made), kOk};
}

CardApplet::Response CardApplet::ImportKey(const Command& command) {
  if (!HoldsKey(command.p2)) return {"", kWrongReference};
  if (!management_verified_) return {"", kSecurityStatusNotSatisfied};
  const auto algorithm = static_cast<Algorithm>(command.p1);
  if (!Supports(algorithm)) return {"", kWrongData};
  auto key = CardKey::Import(algorithm, command.data);
  if (!key.has_value() || !ReadPolicies(command.data, command.p2, &*key)) return {"", kWrongData};
  key->origin = Origin::kImported;
  state_->keys.insert_or_assign(command.p2, *std::move(key));
  outcome_.changed = true;
  return {"", kOk};
}

CardApplet::Response CardApplet::GeneralAuthenticate(const Command& command, bool fresh) {
  absl::string_view request;
  TlvReader reader(command.data);
  if (!reader.Read(0x7C, &request) || !reader.empty()) return {"", kWrongData};
  if (command.p2 == kCardManagement) return AuthenticateManagement(command, request);
  // What f9 signs are attestations alone.
  if (!HoldsKey(command.p2) || command.p2 == kAttestation) return {"", kWrongReference};
  const auto key = state_->keys.find(command.p2);
  if (key == state_->keys.end() || static_cast<uint8_t>(key->second.algorithm) != command.p1) {
    return {"", kWrongData};
  }
  return UseKey(command.p2, request, fresh);
}

CardApplet::Response CardApplet::UseKey(uint8_t slot, absl::string_view request, bool fresh) {
  const CardKey& key = state_->keys.at(slot);
  std::optional<absl::string_view> challenge, exponentiation, response;
  TlvReader reader(request);
  uint32_t tag = 0;
  absl::string_view value;
  while (reader.Read(&tag, &value)) {
    if (tag == 0x81) challenge = value;
    if (tag == 0x82) response = value;
    if (tag == 0x85) exponentiation = value;
  }
  if (!reader.empty() || !response.has_value() || !response->empty() ||
      challenge.has_value() == exponentiation.has_value()) {
    return {"", kWrongData};
  }
  if (key.pin_policy != PinPolicy::kNever && !pin_verified_) {
    return {"", kSecurityStatusNotSatisfied};
  }
  if (key.pin_policy == PinPolicy::kAlways && !fresh) return {"", kSecurityStatusNotSatisfied};
  if (!Touched(key.touch_policy, kGeneralAuthenticate)) return {"", kConditionsNotSatisfied};
  outcome_.used_key = true;
  const auto result = challenge.has_value() ? key.Sign(*challenge) : key.Agree(*exponentiation);
  if (!result.has_value()) return {"", kWrongData};
  return {Tlv(0x7C, Tlv(0x82, *result)), kOk};
}

CardApplet::Response CardApplet::Attest(const Command& command) {
  const uint8_t slot = command.p1;
  if (!HoldsKey(slot) || slot == kAttestation || command.p2 != 0) return {"", kWrongReference};
  const auto key = state_->keys.find(slot);
  const auto signer = state_->keys.find(kAttestation);
  const auto object = state_->objects.find(kObjectAttestation);
  if (key == state_->keys.end() || signer == state_->keys.end() ||
      object == state_->objects.end()) {
    return {"", kReferenceNotFound};
  }
  absl::string_view certificate;
  if (key->second.origin != Origin::kGenerated ||
      !TlvReader(object->second).Read(0x70, &certificate)) {
    return {"", kWrongData};
  }
  const Statement what{&key->second, static_cast<Slot>(slot), state_->version, state_->serial};
  const auto statement = MakeStatement(what, signer->second, certificate);
  if (!statement.ok()) return {"", kWrongData};
  return {*statement, kOk};
}

CardApplet::Response CardApplet::Metadata(const Command& command) {
  constexpr uint8_t kPinReference = 0x80;
  constexpr uint8_t kPukReference = 0x81;
  if (command.p1 != 0) return {"", kWrongParameters};
  if (command.p2 == kPinReference) return {ReferenceMetadata(state_->pin), kOk};
  if (command.p2 == kPukReference) return {ReferenceMetadata(state_->puk), kOk};
  std::string out;
  if (command.p2 == kCardManagement) {
    AppendByte(0x01, static_cast<int>(state_->management_algorithm), &out);
    AppendTlv(0x02, Bytes(0, static_cast<int>(state_->management_touch)), &out);
    AppendByte(0x05, state_->ManagementKeyIsDefault() ? 1 : 0, &out);
    return {out, kOk};
  }
  if (!HoldsKey(command.p2)) return {"", kWrongReference};
  const auto found = state_->keys.find(command.p2);
  if (found == state_->keys.end()) return {"", kReferenceNotFound};
  const CardKey& key = found->second;
  AppendByte(0x01, static_cast<int>(key.algorithm), &out);
  AppendTlv(0x02, Bytes(static_cast<int>(key.pin_policy), static_cast<int>(key.touch_policy)),
            &out);
  AppendByte(0x03, static_cast<int>(key.origin), &out);
  AppendTlv(0x04, key.PublicTlvs(), &out);
  return {out, kOk};
}

CardApplet::Response CardApplet::MoveKey(const Command& command) {
  constexpr uint8_t kNowhere = 0xFF;
  const uint8_t to = command.p1;
  const uint8_t from = command.p2;
  if (!HoldsKey(from) ||
      (to != kNowhere && (!HoldsKey(to) || to == kAttestation || from == kAttestation))) {
    return {"", kWrongReference};
  }
  if (!management_verified_) return {"", kSecurityStatusNotSatisfied};
  const auto key = state_->keys.find(from);
  if (key == state_->keys.end()) return {"", kReferenceNotFound};
  if (to != kNowhere) {
    if (state_->keys.count(to) != 0) return {"", kWrongData};
    state_->keys.emplace(to, std::move(key->second));
  }
  state_->keys.erase(key);
  outcome_.changed = true;
  return {"", kOk};
}

}  // namespace countersign::testing::piv
