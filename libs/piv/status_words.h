// From status words to statuses, for the applet's client.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_PIV_STATUS_WORDS_H_
#define COUNTERSIGN_LIBS_PIV_STATUS_WORDS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/piv/apdu.h"
#include "libs/piv/transport.h"

namespace countersign::piv {

// What a command is about; some status words mean another thing for each.
enum class Concern {
  kPin,            // gives a PIN
  kPuk,            // gives a PUK
  kManagementKey,  // proves to know the management key
  kManagement,     // changes the card, which the management key allows
  kKeyUse,         // uses a private key, which PIN and touch allow
  kReading,
};

// OK for 9000; else as applet.h lists them, the message beginning with `doing`, what was tried.
absl::Status StatusOf(uint16_t sw, Concern concern, absl::string_view doing);

// Sends `command` and returns the response's data, or StatusOf its status word, or what the
// transport returned. The command's data is wiped, since it may be a PIN or a key.
absl::StatusOr<std::string> Exchange(Transport* transport, Command&& command, Concern concern,
                                     absl::string_view doing);

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_STATUS_WORDS_H_
