#include "libs/testing/piv/card_state.h"

#include <exception>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/piv/tlv.h"
#include "libs/testing/piv/card_attestation.h"

namespace countersign::testing::piv {
namespace {

using countersign::piv::Algorithm;
using countersign::piv::kAttestation;
using countersign::piv::kObjectAttestation;
using countersign::piv::Origin;
using countersign::piv::PinPolicy;
using countersign::piv::TouchPolicy;
using countersign::piv::Version;
using nlohmann::json;

constexpr absl::string_view kFactoryPin("123456\xFF\xFF");
constexpr absl::string_view kFactoryPuk("12345678");
constexpr int kFactoryTries = 3;

std::string FactoryManagementKey() {
  std::string key;
  for (int i = 0; i < 24; ++i) key.push_back(static_cast<char>(i % 8 + 1));
  return key;
}

json ToJson(const Reference& reference) {
  return {{"value", base::HexEncode(reference.value)},
          {"tries", reference.tries},
          {"limit", reference.limit}};
}

std::string Bytes(const json& hex) {
  const auto bytes = base::HexDecode(hex.get<std::string>());
  if (!bytes.ok()) throw std::invalid_argument("not hexadecimal");
  return *bytes;
}

void FromJson(const json& from, Reference* reference) {
  reference->value = Bytes(from.at("value"));
  reference->tries = from.at("tries").get<int>();
  reference->limit = from.at("limit").get<int>();
}

uint32_t Number(const std::string& hex) {
  uint32_t number = 0;
  if (!absl::SimpleHexAtoi(hex, &number)) throw std::invalid_argument("not a number");
  return number;
}

json ToJson(const CardKey& key) {
  return {{"algorithm", static_cast<int>(key.algorithm)},
          {"pin_policy", static_cast<int>(key.pin_policy)},
          {"touch_policy", static_cast<int>(key.touch_policy)},
          {"origin", static_cast<int>(key.origin)},
          {"pkcs8", base::HexEncode(key.Pkcs8())}};
}

CardKey KeyFromJson(const json& from) {
  auto key = CardKey::FromPkcs8(static_cast<Algorithm>(from.at("algorithm").get<int>()),
                                Bytes(from.at("pkcs8")));
  if (!key.has_value()) throw std::invalid_argument("not a key");
  key->pin_policy = static_cast<PinPolicy>(from.at("pin_policy").get<int>());
  key->touch_policy = static_cast<TouchPolicy>(from.at("touch_policy").get<int>());
  key->origin = static_cast<Origin>(from.at("origin").get<int>());
  return *std::move(key);
}

CardState FromJson(const json& from) {
  CardState state;
  state.serial = from.at("serial").get<uint32_t>();
  const json& version = from.at("version");
  state.version = {version.at(0).get<uint8_t>(), version.at(1).get<uint8_t>(),
                   version.at(2).get<uint8_t>()};
  state.ResetToFactory();
  FromJson(from.at("pin"), &state.pin);
  FromJson(from.at("puk"), &state.puk);
  const json& management = from.at("management");
  state.management_algorithm = static_cast<Algorithm>(management.at("algorithm").get<int>());
  state.management_key = Bytes(management.at("key"));
  state.management_touch = static_cast<TouchPolicy>(management.at("touch_policy").get<int>());
  for (const auto& [slot, key] : from.at("keys").items()) {
    state.keys.emplace(static_cast<uint8_t>(Number(slot)), KeyFromJson(key));
  }
  for (const auto& [tag, contents] : from.at("objects").items()) {
    state.objects.emplace(Number(tag), Bytes(contents));
  }
  return state;
}

}  // namespace

void Reference::Reset() {
  value = factory;
  tries = limit;
}

void CardState::ResetToFactory() {
  pin.factory = std::string(kFactoryPin);
  puk.factory = std::string(kFactoryPuk);
  for (Reference* reference : {&pin, &puk}) {
    reference->limit = kFactoryTries;
    reference->Reset();
  }
  management_algorithm = DefaultManagementAlgorithm();
  management_key = FactoryManagementKey();
  management_touch = TouchPolicy::kNever;
  for (auto key = keys.begin(); key != keys.end();) {
    key = key->first == kAttestation ? std::next(key) : keys.erase(key);
  }
  for (auto object = objects.begin(); object != objects.end();) {
    object = object->first == kObjectAttestation ? std::next(object) : objects.erase(object);
  }
}

bool CardState::ManagementKeyIsDefault() const {
  return management_algorithm == DefaultManagementAlgorithm() &&
         management_key == FactoryManagementKey();
}

Algorithm CardState::DefaultManagementAlgorithm() const {
  return version.AtLeast(5, 7) ? Algorithm::kAes192 : Algorithm::kTripleDes;
}

CardState MakeCardState(uint32_t serial, Version version) {
  CardState state;
  state.serial = serial;
  state.version = version;
  state.ResetToFactory();
  // Real keys before firmware 5 sign attestations by RSA; it is slow to make, so the newer do not.
  auto key = CardKey::Generate(version.AtLeast(5, 0) ? Algorithm::kEccP256 : Algorithm::kRsa2048);
  std::string object = countersign::piv::Tlv(0x70, MakeAttestationCertificate(serial, *key));
  countersign::piv::AppendTlv(0x71, absl::string_view("\0", 1), &object);
  countersign::piv::AppendTlv(0xFE, "", &object);
  state.objects.emplace(kObjectAttestation, std::move(object));
  state.keys.emplace(kAttestation, *std::move(key));
  return state;
}

std::string SerializeCardState(const CardState& state) {
  json keys = json::object();
  for (const auto& [slot, key] : state.keys) {
    keys[absl::StrCat(absl::Hex(slot))] = ToJson(key);
  }
  json objects = json::object();
  for (const auto& [tag, contents] : state.objects) {
    objects[absl::StrCat(absl::Hex(tag))] = base::HexEncode(contents);
  }
  return json{{"serial", state.serial},
              {"version", {state.version.major, state.version.minor, state.version.patch}},
              {"pin", ToJson(state.pin)},
              {"puk", ToJson(state.puk)},
              {"management",
               {{"algorithm", static_cast<int>(state.management_algorithm)},
                {"key", base::HexEncode(state.management_key)},
                {"touch_policy", static_cast<int>(state.management_touch)}}},
              {"keys", keys},
              {"objects", objects}}
             .dump(1) +
         "\n";
}

absl::StatusOr<CardState> ParseCardState(absl::string_view text) {
  try {
    return FromJson(json::parse(text.begin(), text.end()));
  } catch (const std::exception& error) {
    return absl::DataLossError(absl::StrCat("a card's state does not parse: ", error.what()));
  }
}

}  // namespace countersign::testing::piv
