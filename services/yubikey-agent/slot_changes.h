// What CardService has a card do to a slot, and refuses to.
//
// Pure functions, safe to use from any thread; CheckEmpty runs on the card's.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SLOT_CHANGES_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SLOT_CHANGES_H_

#include <string>

#include "absl/status/status.h"
#include "libs/piv/applet.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/names.h"

namespace countersign::yubikey {

// FailedPrecondition with reason SLOT_IN_USE.
absl::Status InUse(const SlotRef& ref);

// OK for a slot with neither key nor certificate, else InUse. Asks the card itself: since the call
// came in, another may have put a key there.
absl::Status CheckEmpty(piv::Applet& applet, const SlotRef& ref);

// FailedPrecondition with reason WRONG_KEY: the certificate is not of the slot's key.
absl::Status WrongKey(piv::Slot slot);

// Writes the certificate `der` of the key `spki`; WrongKey when the slot has come to hold another.
CardPool::Body WriteOf(piv::Slot slot, std::string spki, std::string der);

// What was put into a slot, for cards that do not tell.
SlotInfo NewKey(piv::Slot slot, const piv::KeySettings& settings, piv::Origin origin);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SLOT_CHANGES_H_
