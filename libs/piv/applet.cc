#include "libs/piv/applet.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/piv/apdu.h"
#include "libs/piv/status_words.h"

namespace countersign::piv {
namespace {

constexpr uint8_t kByName = 0x04;
// What VERIFY, CHANGE REFERENCE DATA and RESET RETRY COUNTER call PIN and PUK.
constexpr uint8_t kPinReference = 0x80;
constexpr uint8_t kPukReference = 0x81;
constexpr uint8_t kForget = 0xFF;
constexpr absl::string_view kOtpAid("\xA0\x00\x00\x05\x27\x20\x01\x01", 8);
constexpr uint8_t kOtpRequest = 0x01;
constexpr uint8_t kOtpSerial = 0x10;
constexpr size_t kShortestPin = 6;

absl::Status CheckLength(const crypto::SecretBytes& secret, absl::string_view name) {
  if (secret.size() >= kShortestPin && secret.size() <= kPinBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a ", name, " has ", kShortestPin, " to ", kPinBytes, " bytes"));
}

void AppendPadded(const crypto::SecretBytes& secret, std::string* out) {
  const absl::string_view bytes = secret.Expose(crypto::SecretAccess::Grant());
  out->append(bytes.data(), bytes.size());
  out->append(kPinBytes - bytes.size(), '\xFF');
}

// A command that gives an old secret and a new one.
Command Replacing(uint8_t instruction, uint8_t reference, const crypto::SecretBytes& old_secret,
                  const crypto::SecretBytes& new_secret) {
  Command command{0, instruction, 0, reference, ""};
  // The string must not leave a part of it behind where it grows.
  command.data.reserve(2 * kPinBytes);
  AppendPadded(old_secret, &command.data);
  AppendPadded(new_secret, &command.data);
  return command;
}

absl::StatusOr<uint32_t> ReadSerial(absl::string_view answer) {
  uint32_t serial;
  base::ByteReader reader(answer);
  if (!reader.ReadU32(&serial) || !reader.empty()) {
    return absl::InternalError(
        absl::StrCat("the card answered a serial number of ", answer.size(), " bytes"));
  }
  return serial;
}

}  // namespace

absl::Status Applet::Select() {
  return Exchange(transport_, {0, kSelect, kByName, 0, std::string(kPivAid)}, Concern::kReading,
                  "selecting the PIV applet")
      .status();
}

absl::StatusOr<Version> Applet::GetVersion() {
  ASSIGN_OR_RETURN(const std::string answer, Exchange(transport_, {0, kGetVersion, 0, 0, ""},
                                                      Concern::kReading, "reading the version"));
  if (answer.size() != 3) {
    return absl::InternalError(
        absl::StrCat("the card answered a version of ", answer.size(), " bytes"));
  }
  return Version{static_cast<uint8_t>(answer[0]), static_cast<uint8_t>(answer[1]),
                 static_cast<uint8_t>(answer[2])};
}

absl::StatusOr<uint32_t> Applet::GetSerial() {
  constexpr absl::string_view kDoing = "reading the serial number";
  ASSIGN_OR_RETURN(const Version version, GetVersion());
  if (version.AtLeast(5, 0)) {
    ASSIGN_OR_RETURN(const std::string answer,
                     Exchange(transport_, {0, kGetSerial, 0, 0, ""}, Concern::kReading, kDoing));
    return ReadSerial(answer);
  }
  absl::StatusOr<std::string> answer = Exchange(
      transport_, {0, kSelect, kByName, 0, std::string(kOtpAid)}, Concern::kReading, kDoing);
  if (answer.ok()) {
    answer = Exchange(transport_, {0, kOtpRequest, kOtpSerial, 0, ""}, Concern::kReading, kDoing);
  }
  // Whatever came of it: those who go on expect the PIV applet.
  RETURN_IF_ERROR(Select());
  RETURN_IF_ERROR(answer.status());
  return ReadSerial(*answer);
}

absl::StatusOr<std::optional<int>> Applet::PinTries() {
  ASSIGN_OR_RETURN(const Response response,
                   transport_->Transmit({0, kVerify, 0, kPinReference, ""}));
  if (response.ok()) return std::optional<int>();
  if (response.sw == kAuthenticationBlocked) return std::optional<int>(0);
  if (const int tries = TriesLeft(response.sw); tries >= 0) return std::optional<int>(tries);
  return StatusOf(response.sw, Concern::kPin, "asking for the PIN's tries");
}

absl::Status Applet::VerifyPin(const crypto::SecretBytes& pin) {
  RETURN_IF_ERROR(CheckLength(pin, "PIN"));
  Command command{0, kVerify, 0, kPinReference, ""};
  AppendPadded(pin, &command.data);
  return Exchange(transport_, std::move(command), Concern::kPin, "verifying the PIN").status();
}

absl::Status Applet::Logout() {
  ASSIGN_OR_RETURN(const Response response,
                   transport_->Transmit({0, kVerify, kForget, kPinReference, ""}));
  // Cards that do not know this P1 may take the command for a question, and say that the PIN is
  // verified.
  if (response.ok()) {
    ASSIGN_OR_RETURN(const Response asked,
                     transport_->Transmit({0, kVerify, 0, kPinReference, ""}));
    if (!asked.ok()) return absl::OkStatus();
  }
  return Select();
}

absl::Status Applet::ChangePin(const crypto::SecretBytes& pin, const crypto::SecretBytes& new_pin) {
  RETURN_IF_ERROR(CheckLength(pin, "PIN"));
  RETURN_IF_ERROR(CheckLength(new_pin, "new PIN"));
  return Exchange(transport_, Replacing(kChangeReference, kPinReference, pin, new_pin),
                  Concern::kPin, "changing the PIN")
      .status();
}

absl::Status Applet::ChangePuk(const crypto::SecretBytes& puk, const crypto::SecretBytes& new_puk) {
  RETURN_IF_ERROR(CheckLength(puk, "PUK"));
  RETURN_IF_ERROR(CheckLength(new_puk, "new PUK"));
  return Exchange(transport_, Replacing(kChangeReference, kPukReference, puk, new_puk),
                  Concern::kPuk, "changing the PUK")
      .status();
}

absl::Status Applet::UnblockPin(const crypto::SecretBytes& puk,
                                const crypto::SecretBytes& new_pin) {
  RETURN_IF_ERROR(CheckLength(puk, "PUK"));
  RETURN_IF_ERROR(CheckLength(new_pin, "new PIN"));
  return Exchange(transport_, Replacing(kResetRetry, kPinReference, puk, new_pin), Concern::kPuk,
                  "unblocking the PIN")
      .status();
}

absl::Status Applet::SetPinRetries(int pin_tries, int puk_tries) {
  if (pin_tries < 1 || pin_tries > 255 || puk_tries < 1 || puk_tries > 255) {
    return absl::InvalidArgumentError("PIN and PUK have 1 to 255 tries");
  }
  return Exchange(transport_,
                  {0, kSetPinRetries, static_cast<uint8_t>(pin_tries),
                   static_cast<uint8_t>(puk_tries), ""},
                  Concern::kManagement, "setting the tries (which needs the PIN too)")
      .status();
}

absl::Status Applet::Reset() {
  return Exchange(transport_, {0, kReset, 0, 0, ""}, Concern::kManagement,
                  "resetting the PIV applet (which needs PIN and PUK to be blocked)")
      .status();
}

}  // namespace countersign::piv
