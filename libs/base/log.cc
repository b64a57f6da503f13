#include "libs/base/log.h"

#include <unistd.h>

#include <atomic>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace countersign::base {
namespace {

std::atomic<Severity> minimum_severity{Severity::kInfo};

std::string& ServiceName() {
  static std::string* const name = new std::string;
  return *name;
}

absl::string_view SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kDebug:
      return "debug";
    case Severity::kInfo:
      return "info";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "error";
}

// RFC 8259 string, quotes included. Bytes that are not ASCII text are escaped one by one, so that
// a line stays valid UTF-8 whatever was logged.
void AppendJsonString(std::string* out, absl::string_view text) {
  out->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (byte < 0x20 || byte >= 0x7f) {
      absl::StrAppendFormat(out, "\\u%04x", byte);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

}  // namespace

absl::StatusOr<Severity> ParseSeverity(absl::string_view text) {
  for (const Severity severity :
       {Severity::kDebug, Severity::kInfo, Severity::kWarning, Severity::kError}) {
    if (text == SeverityName(severity)) return severity;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("unknown log level '", text, "': use debug, info, warning or error"));
}

void SetLogSeverity(Severity minimum) { minimum_severity.store(minimum); }

void SetLogService(absl::string_view service) { ServiceName() = std::string(service); }

std::string FormatLogLine(absl::string_view time, Severity severity, absl::string_view service,
                          absl::string_view message, std::initializer_list<LogField> fields) {
  std::string line = "{\"ts\":";
  AppendJsonString(&line, time);
  absl::StrAppend(&line, ",\"level\":\"", SeverityName(severity), "\"");
  if (!service.empty()) {
    line.append(",\"service\":");
    AppendJsonString(&line, service);
  }
  line.append(",\"msg\":");
  AppendJsonString(&line, message);
  for (const LogField& field : fields) {
    line.push_back(',');
    AppendJsonString(&line, field.key);
    line.push_back(':');
    AppendJsonString(&line, field.value);
  }
  line.push_back('}');
  return line;
}

void Log(Severity severity, absl::string_view message, std::initializer_list<LogField> fields) {
  if (severity < minimum_severity.load(std::memory_order_relaxed)) return;
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E6SZ", absl::Now(), absl::UTCTimeZone());
  std::string line = FormatLogLine(time, severity, ServiceName(), message, fields);
  line.push_back('\n');
  // A log line that cannot be written has nowhere to be reported.
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace countersign::base
