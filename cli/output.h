// What the command line writes, for people: calm, aligned, coloured on a terminal only.
#ifndef COUNTERSIGN_CLI_OUTPUT_H_
#define COUNTERSIGN_CLI_OUTPUT_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace countersign::cli {

enum class Tone { kPlain, kGood, kBad, kQuiet, kStrong };

// Where a command writes. Streams must outlive it. Not thread-safe.
class Output {
 public:
  // `color`: ANSI colours and the signs that go with them.
  Output(std::ostream& out, std::ostream& err, bool color) : out_(out), err_(err), color_(color) {}

  std::ostream& out() { return out_; }
  std::ostream& err() { return err_; }
  bool color() const { return color_; }

  // `text` in a tone; unchanged without colour. Control characters (of file names, of what servers
  // and documents say) are made visible, so that they cannot drive the terminal.
  std::string Paint(Tone tone, absl::string_view text) const;

  // "✓ text" in green, or "✗ text" in red; without colour the text alone.
  void Headline(bool good, absl::string_view text);

  // "  Label       value"; an empty label continues the field before.
  void Field(absl::string_view label, absl::string_view value, Tone tone = Tone::kPlain);

  // Columns padded to their widest cell; the first row is the head.
  void Table(const std::vector<std::vector<std::string>>& rows);

  // One line, or nothing but a line's end.
  void Line(absl::string_view text = "", Tone tone = Tone::kPlain);

 private:
  std::ostream& out_;
  std::ostream& err_;
  const bool color_;
};

// Whether standard output is a terminal that wants colour: a TTY, TERM not "dumb", no NO_COLOR
// (https://no-color.org).
bool WantsColor();

// `text` with its control characters as \xNN.
std::string Printable(absl::string_view text);

// "2026-11-21 08:30:00 UTC".
std::string FormatUtc(absl::Time time);

// "1 entry", "2 entries": `many` is the plural.
std::string Count(uint64_t number, absl::string_view one, absl::string_view many);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_OUTPUT_H_
