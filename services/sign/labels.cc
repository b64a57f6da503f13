#include "services/sign/labels.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

constexpr int kMaxLabels = 64;
constexpr size_t kMaxLabelKeyBytes = 63;
constexpr size_t kMaxLabelValueBytes = 256;
constexpr char kNoLabels[] = "{}";

}  // namespace

absl::Status CheckLabels(absl::string_view field, const Labels& labels) {
  if (static_cast<int>(labels.size()) > kMaxLabels) {
    return FieldError(field, absl::StrCat("at most ", kMaxLabels, " labels"));
  }
  for (const auto& [key, value] : labels) {
    const bool well_formed = !key.empty() && key.size() <= kMaxLabelKeyBytes &&
                             std::all_of(key.begin(), key.end(), [](char c) {
                               return absl::ascii_islower(c) || absl::ascii_isdigit(c) ||
                                      c == '_' || c == '-' || c == '.' || c == '/';
                             });
    if (!well_formed) {
      return FieldError(field, absl::StrCat("a label's key has 1 to ", kMaxLabelKeyBytes,
                                            " characters of a-z 0-9 _ - . /"));
    }
    if (value.size() > kMaxLabelValueBytes) {
      return FieldError(field, absl::StrCat("the value of ", key, " has more than ",
                                            kMaxLabelValueBytes, " bytes"));
    }
  }
  return absl::OkStatus();
}

std::string FormatLabels(const Labels& labels) {
  if (labels.empty()) return kNoLabels;
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, value] : labels) json[key] = value;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void ParseLabels(absl::string_view text, Labels* labels) {
  if (text == kNoLabels) return;
  const nlohmann::json json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;
  for (const auto& [key, value] : json.items()) {
    if (value.is_string()) (*labels)[key] = value.get<std::string>();
  }
}

}  // namespace countersign::sign
