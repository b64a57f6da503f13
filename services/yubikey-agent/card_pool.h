// The cards that are there: one thread and one bounded queue for each.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_POOL_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_POOL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/clock.h"
#include "libs/crypto/secret.h"
#include "libs/piv/applet.h"
#include "libs/piv/piv.h"
#include "services/yubikey-agent/card_keys.h"

namespace countersign::yubikey {

class CardReaders;

// Whether a card takes work.
enum class CardState {
  kReady,
  // Its PIN is blocked, or has so few tries left that the agent tries no more. Keys that need no
  // PIN still work.
  kLocked,
  // It answers, but not as a PIV card that the agent can use.
  kFailed,
};

struct SlotInfo {
  piv::Slot slot = piv::kAuthentication;
  piv::SlotMetadata key;        // firmware before 5.3: of the certificate, policies unknown
  std::string certificate_der;  // empty: none
};

// A moment's view of a card.
struct CardInfo {
  uint32_t serial = 0;
  std::string reader;
  piv::Version version;
  CardState state = CardState::kReady;
  std::string detail;            // why it is not ready
  bool unlocked = false;         // the agent holds its PIN
  std::optional<int> pin_tries;  // as last seen
  int queued = 0;                // jobs that wait or run
  std::vector<SlotInfo> slots;   // those with a key or a certificate, in UserSlots' order
};

// How often something happened, for metrics.
struct CardCounters {
  uint64_t operations = 0;
  uint64_t failures = 0;
  uint64_t expired = 0;  // dropped from a queue, their deadline being over
  uint64_t refused = 0;  // the queue was full
  uint64_t moved = 0;    // taken over by another card
  uint64_t removals = 0;
};

// Thread-safe. `done` functions are called once, from any thread.
//
// A PIN is held in locked memory from Unlock until Lock, until the card is pulled, until
// `pin_idle` has passed without a use, or until the card refuses it. It is sent when the key's
// policy asks for it and the card does not have it verified: immediately before each use of a key
// of policy always, in one transaction with it. It is never sent again by itself once it was
// refused, and never while the card reports fewer than `pin_floor` tries left before it.
class CardPool final : public CardKeys {
 public:
  struct Options {
    CardReaders* readers;
    // Alias → names of places (`cards/…/slots/…`) and fingerprints (`keys/…`).
    absl::flat_hash_map<std::string, std::vector<std::string>> aliases;
    int queue_capacity = 256;  // jobs that wait for a card
    int pin_floor = 2;
    absl::Duration pin_idle = absl::Hours(8);
    // The PIN of a card when it is inserted, where the operator gave one; nullopt: none.
    std::function<std::optional<crypto::SecretBytes>(uint32_t serial)> configured_pin;
    const base::Clock* clock = base::Clock::System();
    // Told of each operation of a card: its name ("sign"), whether it went well, and how long it
    // took on the card and in the queue. From any thread; quick.
    std::function<void(absl::string_view operation, bool ok, absl::Duration on_card,
                       absl::Duration queued)>
        on_operation;
  };
  using Done = std::function<void(absl::Status)>;
  // What runs on a card's thread, with the applet selected, in one transaction.
  using Body = std::function<absl::Status(piv::Applet&)>;

  // Begins to watch `options.readers`. What it points to must outlive it.
  explicit CardPool(Options options);
  // What is still queued fails as Unavailable; waits for what runs.
  ~CardPool() override;

  std::vector<CardInfo> Cards() const;  // by serial number
  absl::StatusOr<CardInfo> Card(uint32_t serial) const;
  std::vector<CardKey> Keys() const;  // one a public key and one an alias
  CardCounters counters() const;

  // Calls `changed` after each insertion, removal and change of a card's state or slots, until the
  // returned object ends; when that has ended, `changed` neither runs nor will. It must not block.
  std::shared_ptr<void> Watch(std::function<void()> changed);

  absl::StatusOr<CardKey> Find(const std::string& name) override;
  void Sign(const std::string& name, crypto::Algorithm algorithm, std::string digest,
            absl::Time deadline, SignDone done) override;
  void Agree(const std::string& name, std::string peer_spki, absl::Time deadline,
             DecryptDone done) override;
  void Decrypt(const std::string& name, crypto::RsaEncryption encryption, std::string ciphertext,
               absl::Time deadline, DecryptDone done) override;

  // What a job needs verified before its body runs; in the same transaction.
  struct Needs {
    // Absent: nothing. Else the management key; an empty one means the factory's.
    std::optional<crypto::SecretBytes> management_key;
    bool pin = false;
  };
  // Runs `body` on the card. The pool reads the card's slots anew afterwards when `changes_card`.
  // Failures as CardKeys', and `body`'s own.
  void Execute(uint32_t serial, absl::string_view operation, Needs needs, bool changes_card,
               absl::Time deadline, Body body, Done done);

  // Sends the PIN to the card once, and holds it when it is right. FailedPrecondition with reason
  // PIN_FLOOR, not having sent it, when too few tries are left; PermissionDenied with reason
  // WRONG_PIN when it is wrong, saying how many are left.
  void Unlock(uint32_t serial, crypto::SecretBytes pin, absl::Time deadline, Done done);
  // Forgets the PIN, here and on the card.
  void Lock(uint32_t serial, absl::Time deadline, Done done);
  // Each sends what it is given once. A new PIN is held where the old one was.
  void ChangePin(uint32_t serial, crypto::SecretBytes pin, crypto::SecretBytes new_pin,
                 absl::Time deadline, Done done);
  void ChangePuk(uint32_t serial, crypto::SecretBytes puk, crypto::SecretBytes new_puk,
                 absl::Time deadline, Done done);
  void UnblockPin(uint32_t serial, crypto::SecretBytes puk, crypto::SecretBytes new_pin,
                  absl::Time deadline, Done done);
  // Blocks PIN and PUK by wrong ones, then resets the PIV applet: every key on it is gone.
  void Reset(uint32_t serial, absl::Time deadline, Done done);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_POOL_H_
