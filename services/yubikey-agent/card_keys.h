// Keys on cards, as those use them who do not care which card it is.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_KEYS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_KEYS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/rsa_padding.h"
#include "libs/crypto/secret.h"
#include "libs/piv/piv.h"

namespace countersign::yubikey {

// One place of a key: a slot of a card that is there.
struct KeyPlace {
  uint32_t serial = 0;
  piv::Slot slot = piv::kAuthentication;
  std::string spki_der;

  // `cards/{serial}/slots/{slot}`.
  std::string Name() const;
};

// What a name of a key means at the moment.
struct CardKey {
  std::string name;
  // Where it is: several places are the same key, or, of an alias, keys that are as good as
  // another.
  std::vector<KeyPlace> places;
};

// A use of a card key that went well: which one it was, and what it gave.
struct Signed {
  KeyPlace place;
  std::string signature;
};
struct Decrypted {
  KeyPlace place;
  crypto::SecretBytes secret;
};

// Thread-safe. Names of keys are `cards/{serial}/slots/{slot}`; `keys/{fingerprint}`, the
// lower-case hex SHA-256 of a SubjectPublicKeyInfo, wherever that key is; and `keys/{alias}`, as
// configured.
//
// Uses call `done` once, from any thread, perhaps before they return. They are done by the card
// with the shortest queue of those that have the key, no later than `deadline`, and fail:
//   NotFound            no such card, slot, alias or key here at the moment
//   InvalidArgument     a malformed name, an algorithm that is not the key's, a digest of the wrong
//                       length, a ciphertext that does not decrypt
//   FailedPrecondition  reason PIN_NEEDED (the card wants its PIN: unlock it), PIN_BLOCKED,
//   PIN_FLOOR
//                       (too few tries left to risk one), TOUCH_REQUIRED, CARD_LOCKED
//   ResourceExhausted   reason QUEUE_FULL, with RetryInfo
//   DeadlineExceeded    the deadline passed while it was queued: the card has not seen it
//   Unavailable         reason CARD_REMOVED: the card was pulled before or while it did it. Work
//                       that had not begun moves to another card with the key, where there is one
class CardKeys {
 public:
  using SignDone = std::function<void(absl::StatusOr<Signed>)>;
  using DecryptDone = std::function<void(absl::StatusOr<Decrypted>)>;

  virtual ~CardKeys() = default;

  // NotFound, InvalidArgument.
  virtual absl::StatusOr<CardKey> Find(const std::string& name) = 0;

  // Signs a digest of DigestFor(algorithm) (the message itself for Ed25519).
  virtual void Sign(const std::string& name, crypto::Algorithm algorithm, std::string digest,
                    absl::Time deadline, SignDone done) = 0;
  // ECDH (SP 800-56A section 5.7.1.2): the shared x-coordinate. `peer_spki` is the other side's
  // public key, on the same curve.
  virtual void Agree(const std::string& name, std::string peer_spki, absl::Time deadline,
                     DecryptDone done) = 0;
  // RSA decryption.
  virtual void Decrypt(const std::string& name, crypto::RsaEncryption encryption,
                       std::string ciphertext, absl::Time deadline, DecryptDone done) = 0;
};

// ErrorInfo reasons of the agent's failures.
inline constexpr char kPinNeeded[] = "PIN_NEEDED";
inline constexpr char kPinFloor[] = "PIN_FLOOR";
inline constexpr char kCardLocked[] = "CARD_LOCKED";
inline constexpr char kCardRemoved[] = "CARD_REMOVED";
inline constexpr char kQueueFull[] = "QUEUE_FULL";

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_KEYS_H_
