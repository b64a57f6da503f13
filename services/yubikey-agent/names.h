// Resource names of cards and slots.
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_NAMES_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/piv/piv.h"

namespace countersign::yubikey {

// `cards/{serial}`.
std::string CardName(uint32_t serial);

// The serial number in `cards/{serial}`. InvalidArgument, naming `field`, for another form.
absl::StatusOr<uint32_t> ParseCardName(absl::string_view field, absl::string_view name);

struct SlotRef {
  uint32_t serial = 0;
  piv::Slot slot = piv::kAuthentication;
};

// Of `cards/{serial}/slots/{slot}`, a user's slot. InvalidArgument, naming `field`, for another
// form.
absl::StatusOr<SlotRef> ParseSlotName(absl::string_view field, absl::string_view name);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_NAMES_H_
