#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace countersign::cli {
namespace {

constexpr size_t kBarWidth = 30;
constexpr char kWipe[] = "\r\x1b[K";

size_t TerminalColumns() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

std::string ProgressLine(uint64_t done, uint64_t total, absl::string_view text, size_t columns) {
  std::string line;
  if (kBarWidth + text.size() + 3 < columns) {
    const size_t filled =
        total == 0 ? kBarWidth : static_cast<size_t>(std::min(done, total) * kBarWidth / total);
    line = absl::StrCat("[", std::string(filled, '#'), std::string(kBarWidth - filled, '.'), "] ");
  }
  absl::StrAppend(&line, text);
  if (line.size() >= columns) line.resize(columns - 1);
  return line;
}

Progress::Progress(Output* output, std::string verb)
    : output_(output),
      verb_(std::move(verb)),
      terminal_(&output->err() == &std::cerr && isatty(STDERR_FILENO) == 1),
      next_(absl::Now() + (terminal_ ? absl::Milliseconds(200) : absl::Seconds(10))) {}

Progress::~Progress() {
  if (drawn_) output_->err() << kWipe << std::flush;
}

void Progress::Show(uint64_t done, uint64_t total) {
  if (total == 0) return;
  Show(done, total,
       absl::StrCat(
           done, " of ", total, " entries ", verb_, ", ",
           static_cast<int>(100 * (static_cast<double>(done) / static_cast<double>(total))), " %"));
}

void Progress::Show(uint64_t done, uint64_t total, absl::string_view text) {
  const absl::Time now = absl::Now();
  if (now < next_) return;
  if (terminal_) {
    output_->err() << kWipe << ProgressLine(done, total, text, TerminalColumns()) << std::flush;
    drawn_ = true;
  } else {
    output_->err() << text << std::endl;
  }
  next_ = now + (terminal_ ? absl::Milliseconds(100) : absl::Seconds(10));
}

}  // namespace countersign::cli
