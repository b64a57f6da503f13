#include "services/sign/certificates/ownership.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "libs/base/status_macros.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

constexpr size_t kMaxOwnerBytes = 128;
constexpr size_t kMaxEnvironmentBytes = 64;

absl::Status CheckText(absl::string_view field, absl::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return FieldError(field, absl::StrCat("at most ", max_bytes, " bytes"));
  }
  const bool controls = std::any_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_iscntrl(static_cast<unsigned char>(c));
  });
  return controls ? FieldError(field, "has a control character in it") : absl::OkStatus();
}

}  // namespace

absl::Status CheckOwnership(absl::string_view owner_team, absl::string_view environment) {
  RETURN_IF_ERROR(CheckText("owner_team", owner_team, kMaxOwnerBytes));
  return CheckText("environment", environment, kMaxEnvironmentBytes);
}

}  // namespace countersign::sign
