// PIN and PUK of a simulated card (SP 800-73-4 part 2 sections 3.2.1 to 3.2.3).
#include <algorithm>

#include "libs/testing/piv/card_applet.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // status words

constexpr uint8_t kPinReference = 0x80;
constexpr uint8_t kPukReference = 0x81;
constexpr char kPad = '\xFF';

// Six bytes at least, and padding behind the last one only.
bool WellFormed(absl::string_view value) {
  constexpr size_t kShortest = 6;
  if (value.size() != kPinBytes) return false;
  const size_t end = value.find_last_not_of(kPad);
  return end != absl::string_view::npos && end + 1 >= kShortest &&
         value.substr(0, end).find(kPad) == absl::string_view::npos;
}

Response Tries(int tries) {
  if (tries == 0) return {"", kAuthenticationBlocked};
  return {"", static_cast<uint16_t>(0x63C0 | std::min(tries, 15))};
}

}  // namespace

std::optional<CardApplet::Response> CardApplet::Check(absl::string_view value,
                                                      Reference* reference) {
  if (reference->tries == 0) return Tries(0);
  outcome_.changed = reference->tries != reference->limit;
  if (value == reference->value) {
    reference->tries = reference->limit;
    return std::nullopt;
  }
  outcome_.changed = true;
  --reference->tries;
  // The attempt that blocks is answered by 63C0, and those behind it by 6983.
  return Response{"", static_cast<uint16_t>(0x63C0 | std::min(reference->tries, 15))};
}

CardApplet::Response CardApplet::Verify(const Command& command) {
  constexpr uint8_t kLogout = 0xFF;
  if (command.p2 != kPinReference) return {"", kReferenceNotFound};
  if (command.p1 == kLogout) {
    if (!command.data.empty()) return {"", kWrongData};
    pin_verified_ = false;
    return {"", kOk};
  }
  if (command.p1 != 0) return {"", kWrongParameters};
  if (command.data.empty()) return pin_verified_ ? Response{"", kOk} : Tries(state_->pin.tries);
  if (command.data.size() != kPinBytes) return {"", kWrongData};
  pin_verified_ = false;
  if (const auto refused = Check(command.data, &state_->pin); refused.has_value()) return *refused;
  pin_verified_ = true;
  pin_is_fresh_ = true;
  return {"", kOk};
}

CardApplet::Response CardApplet::ChangeReference(const Command& command) {
  if (command.p1 != 0) return {"", kWrongParameters};
  const bool pin = command.p2 == kPinReference;
  if (!pin && command.p2 != kPukReference) return {"", kReferenceNotFound};
  if (command.data.size() != 2 * kPinBytes) return {"", kWrongData};
  const absl::string_view data = command.data;
  const absl::string_view value = data.substr(kPinBytes);
  if (!WellFormed(value)) return {"", kWrongData};
  Reference* const reference = pin ? &state_->pin : &state_->puk;
  if (const auto refused = Check(data.substr(0, kPinBytes), reference); refused.has_value()) {
    if (pin) pin_verified_ = false;
    return *refused;
  }
  outcome_.changed = true;
  reference->value = std::string(value);
  return {"", kOk};
}

CardApplet::Response CardApplet::ResetRetry(const Command& command) {
  if (command.p1 != 0) return {"", kWrongParameters};
  if (command.p2 != kPinReference) return {"", kReferenceNotFound};
  if (command.data.size() != 2 * kPinBytes) return {"", kWrongData};
  const absl::string_view data = command.data;
  const absl::string_view value = data.substr(kPinBytes);
  if (!WellFormed(value)) return {"", kWrongData};
  if (const auto refused = Check(data.substr(0, kPinBytes), &state_->puk); refused.has_value()) {
    return *refused;
  }
  outcome_.changed = true;
  state_->pin.value = std::string(value);
  state_->pin.tries = state_->pin.limit;
  return {"", kOk};
}

CardApplet::Response CardApplet::SetRetries(const Command& command) {
  if (!management_verified_ || !pin_verified_) return {"", kSecurityStatusNotSatisfied};
  if (command.p1 == 0 || command.p2 == 0) return {"", kWrongData};
  state_->pin.limit = command.p1;
  state_->puk.limit = command.p2;
  state_->pin.Reset();
  state_->puk.Reset();
  pin_verified_ = false;
  outcome_.changed = true;
  return {"", kOk};
}

CardApplet::Response CardApplet::ResetCard() {
  if (state_->pin.tries != 0 || state_->puk.tries != 0) return {"", kConditionsNotSatisfied};
  state_->ResetToFactory();
  Deauthenticate();
  outcome_.changed = true;
  return {"", kOk};
}

}  // namespace countersign::testing::piv
