// One JSON object a line on standard error: {"ts":…,"level":…,"service":…,"msg":…,fields…}.
//
// Thread-safe; a line is written by one system call, so that lines never interleave. Callers keep
// secrets, payloads and PINs out of it.
#ifndef COUNTERSIGN_LIBS_BASE_LOG_H_
#define COUNTERSIGN_LIBS_BASE_LOG_H_

#include <initializer_list>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::base {

enum class Severity { kDebug, kInfo, kWarning, kError };

struct LogField {
  absl::string_view key;
  std::string value;
};

// `text` is debug, info, warning or error.
absl::StatusOr<Severity> ParseSeverity(absl::string_view text);

// Lines below `minimum` are dropped; kInfo at the start.
void SetLogSeverity(Severity minimum);

// The "service" of every line from now on. Set once, before threads start.
void SetLogService(absl::string_view service);

void Log(Severity severity, absl::string_view message, std::initializer_list<LogField> fields = {});

// The line that Log would write, without its newline, at the given RFC 3339 time.
std::string FormatLogLine(absl::string_view time, Severity severity, absl::string_view service,
                          absl::string_view message, std::initializer_list<LogField> fields);

}  // namespace countersign::base

#endif  // COUNTERSIGN_LIBS_BASE_LOG_H_
