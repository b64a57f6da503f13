#include "libs/testing/piv/card_applet.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/bytes.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // status words and instructions

// The whole AID with its version, of which SELECT may name the front.
constexpr absl::string_view kFullPivAid("\xA0\x00\x00\x03\x08\x00\x00\x10\x00\x01\x00", 11);
constexpr absl::string_view kOtpAid("\xA0\x00\x00\x05\x27\x20\x01\x01", 8);
constexpr absl::string_view kManagementAid("\xA0\x00\x00\x05\x27\x47\x11\x17", 8);
// SP 800-73-4 part 2 table 3: the application's identifier and its authority's.
constexpr absl::string_view kPivProperties(
    "\x61\x11\x4F\x06\x00\x00\x10\x00\x01\x00\x79\x07\x4F\x05\xA0\x00\x00\x03\x08", 19);

constexpr absl::Duration kTouchIsCachedFor = absl::Seconds(15);

std::string SerialBytes(uint32_t serial) {
  std::string bytes;
  base::AppendU32(&bytes, serial);
  return bytes;
}

std::string VersionBytes(const Version& version) {
  return {static_cast<char>(version.major), static_cast<char>(version.minor),
          static_cast<char>(version.patch)};
}

}  // namespace

bool HoldsKey(uint8_t slot) {
  return slot == kAttestation || CertificateObject(static_cast<Slot>(slot)) != 0;
}

void CardApplet::Deauthenticate() {
  pin_verified_ = false;
  pin_is_fresh_ = false;
  management_verified_ = false;
  witness_.clear();
  challenge_.clear();
}

void CardApplet::Reset() {
  Deauthenticate();
  selected_ = Selected::kNothing;
  touched_ = absl::InfinitePast();
}

CardApplet::Outcome CardApplet::Process(const Command& command) {
  outcome_ = Outcome();
  const bool fresh = std::exchange(pin_is_fresh_, false);
  outcome_.response = Dispatch(command, fresh);
  return std::move(outcome_);
}

CardApplet::Response CardApplet::Dispatch(const Command& command, bool fresh) {
  if (command.cla != 0) return {"", kClassNotSupported};
  if (command.ins == kSelect) return Select(command);
  if (selected_ == Selected::kOtp) return OtpCommand(command);
  if (selected_ != Selected::kPiv) return {"", kInstructionNotSupported};
  const Version& version = state_->version;
  switch (command.ins) {
    case kVerify:
      return Verify(command);
    case kChangeReference:
      return ChangeReference(command);
    case kResetRetry:
      return ResetRetry(command);
    case kGenerateAsymmetric:
      return Generate(command);
    case kGeneralAuthenticate:
      return GeneralAuthenticate(command, fresh);
    case kGetData:
      return GetObject(command);
    case kPutData:
      return PutObject(command);
    case kSetPinRetries:
      return SetRetries(command);
    case kReset:
      return ResetCard();
    case kGetVersion:
      return {VersionBytes(version), kOk};
    case kImportKey:
      return ImportKey(command);
    case kSetManagementKey:
      return SetManagementKey(command);
    case kAttest:
      if (version.AtLeast(4, 3)) return Attest(command);
      break;
    case kGetSerial:
      if (version.AtLeast(5, 0)) return {SerialBytes(state_->serial), kOk};
      break;
    case kGetMetadata:
      if (version.AtLeast(5, 3)) return Metadata(command);
      break;
    case kMoveKey:
      if (version.AtLeast(5, 7)) return MoveKey(command);
      break;
    default:
      break;
  }
  return {"", kInstructionNotSupported};
}

CardApplet::Response CardApplet::Select(const Command& command) {
  if (command.p1 != 0x04) return {"", kWrongParameters};
  const absl::string_view aid = command.data;
  if (aid.size() >= kPivAid.size() && absl::StartsWith(kFullPivAid, aid)) {
    Deauthenticate();
    selected_ = Selected::kPiv;
    return {std::string(kPivProperties), kOk};
  }
  if (aid.size() + 1 >= kOtpAid.size() && absl::StartsWith(kOtpAid, aid)) {
    Deauthenticate();
    selected_ = Selected::kOtp;
    // The firmware, and a status of no configured slots.
    return {VersionBytes(state_->version) + std::string(3, '\0'), kOk};
  }
  if (aid == kManagementAid) {
    Deauthenticate();
    selected_ = Selected::kManagement;
    return {absl::StrCat("Virtual mgr - FW version ", state_->version.ToString()), kOk};
  }
  return {"", kObjectNotFound};
}

CardApplet::Response CardApplet::OtpCommand(const Command& command) {
  constexpr uint8_t kRequest = 0x01;
  constexpr uint8_t kDeviceSerial = 0x10;
  if (command.ins != kRequest) return {"", kInstructionNotSupported};
  if (command.p1 != kDeviceSerial) return {"", kWrongParameters};
  return {SerialBytes(state_->serial), kOk};
}

bool CardApplet::Touched(TouchPolicy policy, uint8_t instruction) {
  if (policy == TouchPolicy::kNever) return true;
  const absl::Time now = absl::Now();
  if (policy == TouchPolicy::kCached && now - touched_ < kTouchIsCachedFor) return true;
  if (const auto waited = touch_(instruction); waited.has_value()) {
    outcome_.waited = *waited;
    return false;
  }
  touched_ = now;
  return true;
}

}  // namespace countersign::testing::piv
