// The way to one card through the PC/SC daemon.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PCSC_TRANSPORT_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PCSC_TRANSPORT_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/piv/transport.h"

namespace countersign::yubikey {

// Connects to the card in `reader`, shared with other programs, on a PC/SC context of its own:
// libpcsclite runs one call of a context at a time. Unavailable when there is no card or daemon, or
// another program has the card for itself.
//
// Commands go through libykpiv, which splits them, joins what comes back and holds a transaction
// around each, inside ours. It is never given a PIN or a management key to keep, so that it has
// nothing to send by itself after a reset.
absl::StatusOr<std::unique_ptr<piv::Transport>> ConnectPcsc(const std::string& reader);

// `what` and PC/SC's name for `code`, as Unavailable.
absl::Status PcscError(absl::string_view what, long code);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_PCSC_TRANSPORT_H_
