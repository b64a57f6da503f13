#include "libs/piv/piv.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace countersign::piv {
namespace {

constexpr bool IsRetired(int slot) { return slot >= kRetired1 && slot <= kRetired20; }

}  // namespace

const std::vector<Slot>& UserSlots() {
  static const auto* const slots = [] {
    auto* all = new std::vector<Slot>{kAuthentication, kSignature, kKeyManagement};
    for (int slot = kRetired1; slot <= kRetired20; ++slot) all->push_back(static_cast<Slot>(slot));
    all->push_back(kCardAuthentication);
    return all;
  }();
  return *slots;
}

std::string SlotName(Slot slot) {
  return absl::StrCat(absl::Hex(static_cast<uint8_t>(slot), absl::kZeroPad2));
}

absl::StatusOr<Slot> ParseSlot(absl::string_view name) {
  const std::string lower = absl::AsciiStrToLower(name);
  if (lower == SlotName(kAttestation)) return kAttestation;
  for (const Slot slot : UserSlots()) {
    if (lower == SlotName(slot)) return slot;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no slot is called \"", name, "\": they are 9a, 9c, 9d, 9e, 82 to 95 and f9"));
}

PinPolicy DefaultPinPolicy(Slot slot) {
  if (slot == kSignature) return PinPolicy::kAlways;
  return slot == kCardAuthentication ? PinPolicy::kNever : PinPolicy::kOnce;
}

uint32_t CertificateObject(Slot slot) {
  constexpr uint32_t kObjectRetired1 = 0x5FC10D;
  switch (slot) {
    case kAuthentication:
      return 0x5FC105;
    case kSignature:
      return 0x5FC10A;
    case kKeyManagement:
      return 0x5FC10B;
    case kCardAuthentication:
      return 0x5FC101;
    case kAttestation:
      return kObjectAttestation;
    default:
      return IsRetired(slot) ? kObjectRetired1 + static_cast<uint32_t>(slot - kRetired1) : 0;
  }
}

std::string Version::ToString() const {
  return absl::StrCat(static_cast<int>(major), ".", static_cast<int>(minor), ".",
                      static_cast<int>(patch));
}

}  // namespace countersign::piv
