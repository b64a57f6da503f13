#include "services/yubikey-agent/names.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/runtime/field_error.h"

namespace countersign::yubikey {
namespace {

// In decimal, the way it is written: names are compared as they stand.
bool ParseSerial(absl::string_view text, uint32_t* serial) {
  return absl::SimpleAtoi(text, serial) && absl::StrCat(*serial) == text;
}

}  // namespace

std::string CardName(uint32_t serial) { return absl::StrCat("cards/", serial); }

absl::StatusOr<uint32_t> ParseCardName(absl::string_view field, absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  uint32_t serial = 0;
  if (parts.size() != 2 || parts[0] != "cards" || !ParseSerial(parts[1], &serial)) {
    return runtime::FieldError(field, "expected cards/{serial}, the serial number in decimal");
  }
  return serial;
}

absl::StatusOr<SlotRef> ParseSlotName(absl::string_view field, absl::string_view name) {
  const std::vector<absl::string_view> parts = absl::StrSplit(name, '/');
  SlotRef ref;
  if (parts.size() != 4 || parts[0] != "cards" || parts[2] != "slots" ||
      !ParseSerial(parts[1], &ref.serial)) {
    return runtime::FieldError(field, "expected cards/{serial}/slots/{slot}");
  }
  const absl::StatusOr<piv::Slot> slot = piv::ParseSlot(parts[3]);
  if (!slot.ok() || *slot == piv::kAttestation || piv::SlotName(*slot) != parts[3]) {
    return runtime::FieldError(field, "slots are 9a, 9c, 9d, 9e and 82 to 95, in lower case");
  }
  ref.slot = *slot;
  return ref;
}

}  // namespace countersign::yubikey
