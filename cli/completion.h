// Shell completion, made from the parser itself, so that it never lags behind.
#ifndef COUNTERSIGN_CLI_COMPLETION_H_
#define COUNTERSIGN_CLI_COMPLETION_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace CLI {
class App;
}

namespace countersign::cli {

// A command's path ("countersign keys create") to the words that may follow it, with their help.
using CompletionTable = std::map<std::string, std::map<std::string, std::string>>;

CompletionTable BuildCompletionTable(const CLI::App& app);

// The completion script of "bash", "zsh" or "fish". InvalidArgument for another shell.
absl::StatusOr<std::string> CompletionScript(absl::string_view shell, const CompletionTable& table);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_COMPLETION_H_
