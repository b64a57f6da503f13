#include "cli/ledger_progress.h"

#include <unistd.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace countersign::cli {
namespace {

constexpr uint64_t kBarWidth = 30;
constexpr char kWipe[] = "\r\x1b[K";

}  // namespace

Progress::Progress(Output* output, std::string verb)
    : output_(output),
      verb_(std::move(verb)),
      terminal_(&output->err() == &std::cerr && isatty(STDERR_FILENO) == 1),
      next_(absl::Now() + (terminal_ ? absl::Milliseconds(200) : absl::Seconds(10))) {}

Progress::~Progress() {
  if (drawn_) output_->err() << kWipe << std::flush;
}

void Progress::Show(uint64_t done, uint64_t total) {
  const absl::Time now = absl::Now();
  if (now < next_ || total == 0) return;
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const std::string text = absl::StrCat(done, " of ", total, " entries ", verb_, ", ",
                                        static_cast<int>(100 * part), " %");
  if (terminal_) {
    const uint64_t filled = static_cast<uint64_t>(part * kBarWidth);
    output_->err() << kWipe << "[" << std::string(filled, '#')
                   << std::string(kBarWidth - filled, '.') << "] " << text << std::flush;
    drawn_ = true;
  } else {
    output_->err() << text << std::endl;
  }
  next_ = now + (terminal_ ? absl::Milliseconds(100) : absl::Seconds(10));
}

}  // namespace countersign::cli
