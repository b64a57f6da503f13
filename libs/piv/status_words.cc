#include "libs/piv/status_words.h"

#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/secret.h"
#include "libs/piv/applet.h"
#include "libs/runtime/error_details.h"

namespace countersign::piv {
namespace {

using absl::StatusCode;

// Without the prefix that would send it along: what is told of tries is up to the services.
constexpr char kTriesLeftUrl[] = "countersign.piv/tries-left";

absl::Status WrongSecret(int tries, Concern concern, absl::string_view text) {
  if (concern == Concern::kManagementKey) {
    return runtime::AttachReason(absl::PermissionDeniedError(text), kWrongManagementKey);
  }
  absl::Status status = runtime::AttachReason(absl::PermissionDeniedError(text), kWrongPin);
  status.SetPayload(kTriesLeftUrl, absl::Cord(absl::StrCat(tries)));
  return status;
}

absl::string_view WhatIsWrong(Concern concern) {
  switch (concern) {
    case Concern::kPuk:
      return "the PUK is wrong";
    case Concern::kManagementKey:
      return "the management key is wrong";
    default:
      return "the PIN is wrong";
  }
}

}  // namespace

std::optional<int> TriesLeftOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kTriesLeftUrl);
  int tries;
  if (!payload.has_value() || !absl::SimpleAtoi(std::string(*payload), &tries)) return std::nullopt;
  return tries;
}

absl::Status StatusOf(uint16_t sw, Concern concern, absl::string_view doing) {
  if (sw == kOk) return absl::OkStatus();
  const auto text = [&](absl::string_view why) {
    return absl::StrCat(doing, ": ", why, " (status word ", absl::Hex(sw, absl::kZeroPad4), ")");
  };
  const auto status = [&](StatusCode code, absl::string_view why) {
    return absl::Status(code, text(why));
  };
  const auto reasoned = [&](StatusCode code, absl::string_view why, const char* reason) {
    return runtime::AttachReason(status(code, why), reason);
  };
  if (const int tries = TriesLeft(sw); tries >= 0) {
    return WrongSecret(tries, concern,
                       text(concern == Concern::kManagementKey
                                ? std::string(WhatIsWrong(concern))
                                : absl::StrCat(WhatIsWrong(concern), ", tries left: ", tries)));
  }
  switch (sw) {
    case kAuthenticationBlocked:
      if (concern == Concern::kPuk) {
        return reasoned(StatusCode::kFailedPrecondition,
                        "the PUK is blocked; only a reset of the applet helps", kPukBlocked);
      }
      return reasoned(StatusCode::kFailedPrecondition,
                      "the PIN is blocked; unblock it with the PUK", kPinBlocked);
    case kSecurityStatusNotSatisfied:
      switch (concern) {
        case Concern::kManagementKey:
          return WrongSecret(0, concern, text(WhatIsWrong(concern)));
        case Concern::kManagement:
          return reasoned(StatusCode::kUnauthenticated,
                          "the card wants to be authenticated to with its management key",
                          kManagementKeyRequired);
        default:
          return reasoned(StatusCode::kUnauthenticated, "the card wants its PIN", kPinRequired);
      }
    case kConditionsNotSatisfied:
      if (concern == Concern::kKeyUse) {
        return reasoned(StatusCode::kFailedPrecondition,
                        "the card was not touched in time, or the conditions of use do not hold",
                        kTouchRequired);
      }
      return reasoned(StatusCode::kFailedPrecondition, "the conditions of use do not hold",
                      kConditions);
    case kWrongData:
      return status(StatusCode::kInvalidArgument,
                    concern == Concern::kKeyUse
                        ? "the card refuses the data, or the slot has no key of this algorithm"
                        : "the card refuses the data");
    case kObjectNotFound:
      return status(StatusCode::kNotFound, "the card has no such object");
    case kReferenceNotFound:
      return status(StatusCode::kNotFound, "there is no key in the slot");
    case kNoSpace:
      return status(StatusCode::kResourceExhausted, "the card is full");
    case kWrongReference:
    case kWrongParameters:
      return status(StatusCode::kInvalidArgument, "the card has no such slot");
    case kInstructionNotSupported:
      return status(StatusCode::kUnimplemented, "the card's firmware does not do it");
    default:
      return status(StatusCode::kInternal, "the card failed");
  }
}

absl::StatusOr<std::string> Exchange(Transport* transport, Command&& command, Concern concern,
                                     absl::string_view doing) {
  absl::StatusOr<Response> response = transport->Transmit(command);
  crypto::Wipe(command.data.data(), command.data.size());
  RETURN_IF_ERROR(response.status());
  RETURN_IF_ERROR(StatusOf(response->sw, concern, doing));
  return std::move(response->data);
}

}  // namespace countersign::piv
