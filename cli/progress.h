// How far a long command has come, on standard error.
#ifndef COUNTERSIGN_CLI_PROGRESS_H_
#define COUNTERSIGN_CLI_PROGRESS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/output.h"

namespace countersign::cli {

// A bar that is redrawn on a terminal and wiped at the end; elsewhere a line now and then. Not
// thread-safe.
class Progress {
 public:
  // `verb`: "checked".
  Progress(Output* output, std::string verb);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // "DONE of TOTAL entries VERB, N %".
  void Show(uint64_t done, uint64_t total);
  // The same with a text of the caller's own.
  void Show(uint64_t done, uint64_t total, absl::string_view text);

 private:
  Output* const output_;
  const std::string verb_;
  const bool terminal_;
  absl::Time next_;  // nothing is written before
  bool drawn_ = false;
};

// "[######....] text" in at most `columns` characters: a narrow terminal costs the bar first, then
// the text's end, so that the line never wraps.
std::string ProgressLine(uint64_t done, uint64_t total, absl::string_view text, size_t columns);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_PROGRESS_H_
