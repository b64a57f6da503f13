// Which keys are where.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_KEY_INDEX_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_KEY_INDEX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/public_key.h"
#include "libs/piv/piv.h"
#include "services/yubikey-agent/card_keys.h"
#include "services/yubikey-agent/card_pool.h"

namespace countersign::yubikey {

class CardWorker;

// A key that can be used: one of a kind that the suite knows, on a card that serves.
struct KeyEntry {
  KeyPlace place;
  crypto::PublicKey key;
  piv::Algorithm algorithm;
  bool uses_pin;
  std::shared_ptr<CardWorker> worker;
};

// Immutable; const methods are thread-safe.
class KeyIndex {
 public:
  using Aliases = absl::flat_hash_map<std::string, std::vector<std::string>>;

  // Of cards in the order in which they were inserted: of two with one serial number, the later is
  // the one that is there. `aliases` must outlive it.
  KeyIndex(std::vector<std::pair<std::shared_ptr<CardWorker>, CardInfo>> cards,
           const Aliases* aliases);

  // The card, or null.
  const std::shared_ptr<CardWorker>* Card(uint32_t serial) const;
  // Where the key of that name is (card_keys.h), at least one place. NotFound, InvalidArgument.
  absl::StatusOr<std::vector<const KeyEntry*>> Resolve(const std::string& name) const;
  // One a public key and one an alias that is somewhere.
  std::vector<CardKey> Keys() const;

 private:
  absl::StatusOr<std::vector<const KeyEntry*>> ResolveSlot(absl::string_view serial,
                                                           absl::string_view slot) const;
  std::vector<const KeyEntry*> ResolveAlias(const std::vector<std::string>& targets) const;

  const Aliases* const aliases_;
  std::map<uint32_t, std::shared_ptr<CardWorker>> cards_;
  std::vector<std::unique_ptr<KeyEntry>> entries_;
  // By place and by fingerprint.
  std::map<std::pair<uint32_t, piv::Slot>, const KeyEntry*> by_place_;
  std::map<std::string, std::vector<const KeyEntry*>> by_fingerprint_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_KEY_INDEX_H_
