// One card, opened: the applet, and when it gets its PIN.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SESSION_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SESSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/secret.h"
#include "libs/piv/applet.h"
#include "libs/piv/piv.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/pin_keeper.h"

namespace countersign::yubikey {

// Used by one thread at a time. Everything but Open is called between Begin and End.
//
// Other programs may use the card between our transactions: they log the PIN out, or select another
// applet. What the card refuses for such a reason is prepared anew and done once more, where doing
// it twice does no harm. Once the transport has failed the session is lost: nothing is sent again,
// and a PIN that was verified is not verified anew on whatever is in the reader then.
class CardSession {
 public:
  using Body = std::function<absl::Status(piv::Applet&)>;

  // Selects the applet and reads version, serial number, slots and tries. `pin` must outlive it.
  // Unavailable when the card is gone; NotFound when it has no PIV applet; FailedPrecondition,
  // saying why, when it has one that the agent cannot use.
  static absl::StatusOr<std::unique_ptr<CardSession>> Open(
      std::unique_ptr<piv::Transport> transport, int pin_floor, PinKeeper* pin);
  ~CardSession();

  // Unavailable when the card is gone.
  absl::Status Begin();
  void End();

  // A use of the private key in a slot, with the PIN as the key's policy asks. `body` may be called
  // twice. NotFound, with nothing done, when the slot does not hold the key `spki_der` any more;
  // and, the slots being read anew, when the card shows that another program has replaced it.
  absl::Status UseKey(piv::Slot slot, absl::string_view spki_der, const Body& body);
  // Anything else; `body` is called at most once.
  absl::Status Execute(const CardPool::Needs& needs, const Body& body);
  // As CardPool says of each.
  absl::Status Unlock(const crypto::SecretBytes& pin);
  absl::Status Lock();
  absl::Status ChangePin(const crypto::SecretBytes& pin, const crypto::SecretBytes& new_pin);
  absl::Status ChangePuk(const crypto::SecretBytes& puk, const crypto::SecretBytes& new_puk);
  absl::Status UnblockPin(const crypto::SecretBytes& puk, const crypto::SecretBytes& new_pin);
  absl::Status Reset();
  // Logs the PIN out on the card, the keeper having forgotten it.
  void LogOut();
  // Of all slots, when something may have changed them.
  absl::Status ReadSlots();

  // The transport failed.
  bool lost() const { return lost_; }

  uint32_t serial() const { return serial_; }
  piv::Version version() const { return version_; }
  CardState state() const { return state_; }
  const std::string& detail() const { return detail_; }
  std::optional<int> pin_tries() const { return pin_tries_; }
  const std::vector<SlotInfo>& slots() const { return slots_; }
  // Another one each time that the slots were read.
  int slots_revision() const { return slots_revision_; }

 private:
  class NotingTransport;
  enum class PinUse { kNone, kOnce, kAlways };

  CardSession(std::unique_ptr<piv::Transport> transport, int pin_floor, PinKeeper* pin);

  absl::Status ReadCard();
  absl::Status SelectAgain();
  // Selects the applet when another one is; afterwards nobody else can before End.
  absl::Status EnsureSelected();
  absl::Status UseKeyTwice(piv::Slot slot, const Body& body);
  bool HasSameKey(piv::Slot slot);
  absl::Status Prepare(PinUse use);
  // Sends the held PIN, unless `use` is kOnce and the card has it verified.
  absl::Status VerifyHeld(PinUse use);
  // Whether a PIN may be sent: the card is asked for the tries left. Sets `*verified` when the card
  // has one verified, so that all tries are left.
  absl::Status CheckTries(bool* verified);
  PinUse UseOf(piv::Slot slot) const;
  std::string TooFewTries(int tries) const;
  // What needs the PIN fails from now on without asking the card.
  void OpenBreaker(std::string detail);
  void CloseBreaker();
  // Keeps what a refused or blocked PIN says of the tries left.
  void NoteRefusal(const absl::Status& status);

  std::unique_ptr<NotingTransport> transport_;
  piv::Applet applet_;
  const int pin_floor_;
  PinKeeper* const pin_;

  // What the card's state is believed to be.
  bool selected_ = false;
  bool verified_ = false;
  bool lost_ = false;

  uint32_t serial_ = 0;
  piv::Version version_;
  CardState state_ = CardState::kReady;
  std::string detail_;
  std::optional<int> pin_tries_;
  std::vector<SlotInfo> slots_;
  int slots_revision_ = 0;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_SESSION_H_
