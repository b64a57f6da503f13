#include "services/yubikey-agent/key_index.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/status_macros.h"

namespace countersign::yubikey {
namespace {

constexpr absl::string_view kKeysPrefix = "keys/";

bool UsesPin(const SlotInfo& slot) {
  const piv::PinPolicy policy = slot.key.pin_policy == piv::PinPolicy::kDefault
                                    ? piv::DefaultPinPolicy(slot.slot)
                                    : slot.key.pin_policy;
  return policy != piv::PinPolicy::kNever;
}

std::vector<KeyPlace> PlacesOf(const std::vector<const KeyEntry*>& entries) {
  std::vector<KeyPlace> places;
  for (const KeyEntry* entry : entries) places.push_back(entry->place);
  return places;
}

}  // namespace

std::string KeyPlace::Name() const {
  return absl::StrCat("cards/", serial, "/slots/", piv::SlotName(slot));
}

KeyIndex::KeyIndex(std::vector<std::pair<std::shared_ptr<CardWorker>, CardInfo>> cards,
                   const Aliases* aliases)
    : aliases_(aliases) {
  for (const auto& [worker, info] : cards) cards_[info.serial] = worker;
  for (const auto& [worker, info] : cards) {
    if (cards_[info.serial] != worker) continue;
    for (const SlotInfo& slot : info.slots) {
      auto key = crypto::PublicKey::FromSpkiDer(slot.key.spki_der);
      if (!key.ok()) continue;
      entries_.push_back(
          std::make_unique<KeyEntry>(KeyEntry{{info.serial, slot.slot, slot.key.spki_der},
                                              *std::move(key),
                                              slot.key.algorithm,
                                              UsesPin(slot),
                                              worker}));
      const KeyEntry* entry = entries_.back().get();
      by_place_[{info.serial, slot.slot}] = entry;
      by_fingerprint_[entry->key.Fingerprint()].push_back(entry);
    }
  }
}

const std::shared_ptr<CardWorker>* KeyIndex::Card(uint32_t serial) const {
  const auto card = cards_.find(serial);
  return card == cards_.end() ? nullptr : &card->second;
}

absl::StatusOr<std::vector<const KeyEntry*>> KeyIndex::Resolve(const std::string& name) const {
  const std::vector<absl::string_view> parts = absl::StrSplit(absl::string_view(name), '/');
  if (parts.size() == 4 && parts[0] == "cards" && parts[2] == "slots") {
    return ResolveSlot(parts[1], parts[3]);
  }
  if (parts.size() != 2 || parts[0] != "keys" || parts[1].empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", name,
        "\" names no key: cards/{serial}/slots/{slot}, keys/{fingerprint} or keys/{alias}"));
  }
  const std::string key(parts[1]);
  if (const auto alias = aliases_->find(key); alias != aliases_->end()) {
    std::vector<const KeyEntry*> entries = ResolveAlias(alias->second);
    if (!entries.empty()) return entries;
    return absl::NotFoundError(absl::StrCat("no key of the alias ", key, " is on a card here"));
  }
  const auto found = by_fingerprint_.find(key);
  if (found == by_fingerprint_.end()) {
    return absl::NotFoundError(absl::StrCat("no card here has the key ", name));
  }
  return found->second;
}

absl::StatusOr<std::vector<const KeyEntry*>> KeyIndex::ResolveSlot(
    absl::string_view serial_text, absl::string_view slot_text) const {
  uint32_t serial;
  if (!absl::SimpleAtoi(serial_text, &serial)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", serial_text, "\" is no serial number"));
  }
  ASSIGN_OR_RETURN(const piv::Slot slot, piv::ParseSlot(slot_text));
  if (Card(serial) == nullptr) {
    return absl::NotFoundError(absl::StrCat("card ", serial, " is not here"));
  }
  const auto entry = by_place_.find({serial, slot});
  if (entry == by_place_.end()) {
    return absl::NotFoundError(absl::StrCat("card ", serial, " has no key in slot ",
                                            piv::SlotName(slot), " that the agent can use"));
  }
  return std::vector<const KeyEntry*>{entry->second};
}

std::vector<const KeyEntry*> KeyIndex::ResolveAlias(const std::vector<std::string>& targets) const {
  std::vector<const KeyEntry*> entries;
  for (const std::string& target : targets) {
    std::vector<const KeyEntry*> found;
    if (absl::StartsWith(target, kKeysPrefix)) {
      // Not through Resolve: an alias is not one of an alias.
      const auto keys = by_fingerprint_.find(target.substr(kKeysPrefix.size()));
      if (keys != by_fingerprint_.end()) found = keys->second;
    } else if (auto slot = Resolve(target); slot.ok()) {
      found = *std::move(slot);
    }
    for (const KeyEntry* entry : found) {
      if (std::find(entries.begin(), entries.end(), entry) == entries.end()) {
        entries.push_back(entry);
      }
    }
  }
  return entries;
}

std::vector<CardKey> KeyIndex::Keys() const {
  std::vector<CardKey> keys;
  for (const auto& [fingerprint, entries] : by_fingerprint_) {
    keys.push_back({absl::StrCat(kKeysPrefix, fingerprint), PlacesOf(entries)});
  }
  std::map<std::string, std::vector<KeyPlace>> aliases;
  for (const auto& [alias, targets] : *aliases_) {
    std::vector<KeyPlace> places = PlacesOf(ResolveAlias(targets));
    if (!places.empty()) aliases[alias] = std::move(places);
  }
  for (auto& [alias, places] : aliases) {
    keys.push_back({absl::StrCat(kKeysPrefix, alias), std::move(places)});
  }
  return keys;
}

}  // namespace countersign::yubikey
