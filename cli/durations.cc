#include "cli/durations.h"

#include <cstddef>
#include <cstdint>
#include <iterator>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace countersign::cli {
namespace {

struct Unit {
  char letter;
  int64_t seconds;
};

constexpr Unit kUnits[] = {{'y', 365 * 86400}, {'w', 7 * 86400}, {'d', 86400},
                           {'h', 3600},        {'m', 60},        {'s', 1}};
constexpr int64_t kMostSeconds = int64_t{1000} * 365 * 86400;

absl::Status Malformed(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no duration; write for example 30d, 12h or 1y6w"));
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text) {
  int64_t total = 0;
  size_t next_unit = 0;
  absl::string_view rest = text;
  while (!rest.empty()) {
    size_t digits = 0;
    while (digits < rest.size() && absl::ascii_isdigit(rest[digits])) ++digits;
    int64_t number = 0;
    if (digits == rest.size() || !absl::SimpleAtoi(rest.substr(0, digits), &number)) {
      return Malformed(text);
    }
    while (next_unit < std::size(kUnits) && kUnits[next_unit].letter != rest[digits]) ++next_unit;
    if (next_unit == std::size(kUnits)) return Malformed(text);
    const int64_t seconds = kUnits[next_unit++].seconds;
    if (number > kMostSeconds / seconds) {
      return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is more than 1000 years"));
    }
    total += number * seconds;
    rest.remove_prefix(digits + 1);
  }
  if (total == 0) return Malformed(text);
  if (total > kMostSeconds) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is more than 1000 years"));
  }
  return absl::Seconds(total);
}

std::string DurationText(absl::Duration duration) {
  std::string text;
  if (duration < absl::ZeroDuration()) {
    text = "-";
    duration = -duration;
  }
  int64_t left = absl::ToInt64Seconds(duration);
  for (size_t i = 0; i < std::size(kUnits); ++i) {
    if (kUnits[i].letter == 'w') continue;
    if (left < kUnits[i].seconds) continue;
    absl::StrAppend(&text, left / kUnits[i].seconds, " ", std::string(1, kUnits[i].letter));
    left %= kUnits[i].seconds;
    // Days beside many years are noise, which leap days make anyhow.
    const size_t smaller = kUnits[i].letter == 'y' ? i + 2 : i + 1;
    if (kUnits[i].letter == 'y' && text.size() > 3) return text;
    if (smaller < std::size(kUnits) && left >= kUnits[smaller].seconds) {
      absl::StrAppend(&text, " ", left / kUnits[smaller].seconds, " ",
                      std::string(1, kUnits[smaller].letter));
    }
    return text;
  }
  return "0 s";
}

void ToProto(absl::Duration duration, google::protobuf::Duration* proto) {
  proto->set_seconds(absl::ToInt64Seconds(duration));
}

CLI::Option* AddDurationOption(CLI::App* command, const std::string& name,
                               std::optional<absl::Duration>* value, const std::string& help) {
  return command
      ->add_option_function<std::string>(
          name,
          [name, value](const std::string& text) {
            const absl::StatusOr<absl::Duration> duration = ParseDuration(text);
            if (!duration.ok()) {
              throw CLI::ValidationError(name, std::string(duration.status().message()));
            }
            *value = *duration;
          },
          help)
      ->type_name("DURATION");
}

}  // namespace countersign::cli
