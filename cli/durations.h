// Lengths of time as people type and read them. Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_CLI_DURATIONS_H_
#define COUNTERSIGN_CLI_DURATIONS_H_

#include <google/protobuf/duration.pb.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace countersign::cli {

// "30d", "12h", "1w2d": numbers with a unit of y (365 days), w, d, h, m (minutes) or s, the larger
// units first, each once; more than nothing and at most 1,000 years. InvalidArgument otherwise.
absl::StatusOr<absl::Duration> ParseDuration(absl::string_view text);

// The two largest units that say something: "3 d 4 h", "59 m", "0 s". Negative ones begin with '-'.
std::string DurationText(absl::Duration duration);

// Whole seconds.
void ToProto(absl::Duration duration, google::protobuf::Duration* proto);

// An option that takes a duration. What is wrong with it ends the command before it does anything.
CLI::Option* AddDurationOption(CLI::App* command, const std::string& name,
                               std::optional<absl::Duration>* value, const std::string& help);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_DURATIONS_H_
