// What commands of a group ("ledger append", "ledger get", …) have in common.
#ifndef COUNTERSIGN_CLI_COMMAND_GROUP_H_
#define COUNTERSIGN_CLI_COMMAND_GROUP_H_

#include <memory>
#include <type_traits>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "cli/context.h"

namespace countersign::cli {

// Adds a command that, when chosen, calls `handler`; its failure is reported and ends the process
// with kExitUndecided. The group's commands share `options`.
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
