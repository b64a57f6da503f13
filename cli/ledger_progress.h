// How far a long command has come, on standard error.
#ifndef COUNTERSIGN_CLI_LEDGER_PROGRESS_H_
#define COUNTERSIGN_CLI_LEDGER_PROGRESS_H_

#include <cstdint>
#include <string>

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

  void Show(uint64_t done, uint64_t total);

 private:
  Output* const output_;
  const std::string verb_;
  const bool terminal_;
  absl::Time next_;  // nothing is written before
  bool drawn_ = false;
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_LEDGER_PROGRESS_H_
