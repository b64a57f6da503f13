// What commands of a group ("ledger append", "ledger get", …) have in common.
#ifndef COUNTERSIGN_CLI_COMMAND_GROUP_H_
#define COUNTERSIGN_CLI_COMMAND_GROUP_H_

#include <memory>
#include <type_traits>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/context.h"

namespace countersign::cli {

// Adds a command that, when chosen, calls `handler`, which returns the exit code; its failure is
// reported and ends the process with kExitUndecided. The group's commands share `options`.
template <typename Options>
CLI::App* AddVerdictCommand(
    CLI::App& group, Context& context, const std::shared_ptr<Options>& options, const char* name,
    const char* help,
    std::type_identity_t<absl::StatusOr<int> (*)(Context&, const Options&)> handler) {
  CLI::App* command = group.add_subcommand(name, help);
  command->callback([&context, options, handler] {
    context.action = [&context, options, handler] {
      const absl::StatusOr<int> exit_code = handler(context, *options);
      return exit_code.ok() ? *exit_code : context.Fail(exit_code.status());
    };
  });
  return command;
}

// The same for a handler that either does its work or fails.
template <typename Options>
CLI::App* AddGroupCommand(
    CLI::App& group, Context& context, const std::shared_ptr<Options>& options, const char* name,
    const char* help, std::type_identity_t<absl::Status (*)(Context&, const Options&)> handler) {
  CLI::App* command = group.add_subcommand(name, help);
  command->callback([&context, options, handler] {
    context.action = [&context, options, handler] {
      const absl::Status status = handler(context, *options);
      return status.ok() ? kExitOk : context.Fail(status);
    };
  });
  return command;
}

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_COMMAND_GROUP_H_
