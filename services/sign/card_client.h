// What sign needs of the YubiKey agent: keys on PIV cards.
#ifndef COUNTERSIGN_SERVICES_SIGN_CARD_CLIENT_H_
#define COUNTERSIGN_SERVICES_SIGN_CARD_CLIENT_H_

#include <cstddef>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/public_key.h"
#include "services/sign/call.h"

namespace countersign::sign {

// The longest message that a card signs by Ed25519, which takes the message and not its digest.
inline constexpr size_t kMaxCardMessage = 2048;

// A key on a card.
struct CardKey {
  // `keys/{fingerprint}`: the key, on whichever cards it is.
  std::string name;
  // What it signs by when nothing else is said.
  crypto::Algorithm algorithm;
  crypto::PublicKey public_key;
};

// Thread-safe. Failures keep the agent's code and reason (countersign.yubikey.v1.CardService);
// their messages begin with "yubikey-agent: ".
class CardClient {
 public:
  using SignDone = std::function<void(absl::StatusOr<std::string>)>;

  virtual ~CardClient() = default;

  // The key of this name: `cards/{serial}/slots/{slot}`, `keys/{fingerprint}` or `keys/{alias}`.
  // Blocks. NotFound; FailedPrecondition when it is of a kind that sign has no use for, or an alias
  // of several different keys.
  virtual absl::StatusOr<CardKey> Describe(const std::string& key) = 0;

  // Makes a key in `slot`, which must be empty. Blocks, for RSA for many seconds.
  virtual absl::StatusOr<CardKey> Generate(const std::string& slot,
                                           crypto::Algorithm algorithm) = 0;

  // Signs a digest of DigestFor(algorithm), or for kEd25519 a message of at most kMaxCardMessage
  // bytes; of the key `keys/{fingerprint}`. Calls `done` once, from any thread, perhaps before it
  // returns; this object and `call` must live until then. Unavailable with reason CARD_REMOVED
  // while no card that is there has the key.
  virtual void Sign(const std::string& key, crypto::Algorithm algorithm, std::string digest,
                    Call call, SignDone done) = 0;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CARD_CLIENT_H_
