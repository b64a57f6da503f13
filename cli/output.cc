#include "cli/output.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace countersign::cli {
namespace {

constexpr size_t kLabelWidth = 12;

const char* Code(Tone tone) {
  switch (tone) {
    case Tone::kPlain:
      return "";
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kBad:
      return "\x1b[31m";
    case Tone::kQuiet:
      return "\x1b[2m";
    case Tone::kStrong:
      return "\x1b[1m";
  }
  return "";
}

// Characters, not bytes, of UTF-8 text.
size_t Width(absl::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const uint8_t byte = static_cast<uint8_t>(text[i]);
    // C1 controls are C2 80..9F in UTF-8.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() &&
                    static_cast<uint8_t>(text[i + 1]) >= 0x80 &&
                    static_cast<uint8_t>(text[i + 1]) < 0xA0;
    if (byte < 0x20 || byte == 0x7F || c1) {
      absl::StrAppendFormat(&out, "\\x%02x", byte);
      if (c1) absl::StrAppendFormat(&out, "\\x%02x", static_cast<uint8_t>(text[++i]));
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string Output::Paint(Tone tone, absl::string_view text) const {
  std::string printable = Printable(text);
  if (!color_ || tone == Tone::kPlain) return printable;
  return absl::StrCat(Code(tone), printable, "\x1b[0m");
}

void Output::Headline(bool good, absl::string_view text) {
  const Tone tone = good ? Tone::kGood : Tone::kBad;
  if (color_) out_ << Paint(tone, good ? "\xE2\x9C\x93 " : "\xE2\x9C\x97 ");
  out_ << Paint(Tone::kStrong, text) << "\n";
}

void Output::Field(absl::string_view label, absl::string_view value, Tone tone) {
  std::string padded(label);
  padded.resize(std::max(kLabelWidth, label.size() + 1), ' ');
  out_ << "  " << Paint(Tone::kQuiet, padded) << Paint(tone, value) << "\n";
}

void Output::Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], Width(Printable(row[i])));
    }
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (size_t i = 0; i < rows[r].size(); ++i) {
      const std::string cell = Printable(rows[r][i]);
      line += cell;
      if (i + 1 < rows[r].size()) line.append(widths[i] - Width(cell) + 2, ' ');
    }
    out_ << Paint(r == 0 ? Tone::kQuiet : Tone::kPlain, line) << "\n";
  }
}

void Output::Line(absl::string_view text, Tone tone) { out_ << Paint(tone, text) << "\n"; }

bool WantsColor() {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term == nullptr || absl::string_view(term) == "dumb") return false;
  return isatty(STDOUT_FILENO) == 1;
}

std::string FormatUtc(absl::Time time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S UTC", time, absl::UTCTimeZone());
}

std::string Count(uint64_t number, absl::string_view one, absl::string_view many) {
  return absl::StrCat(number, " ", number == 1 ? one : many);
}

}  // namespace countersign::cli
