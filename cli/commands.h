// The commands: each adds itself to the parser and, when chosen, sets the context's action.
#ifndef COUNTERSIGN_CLI_COMMANDS_H_
#define COUNTERSIGN_CLI_COMMANDS_H_

#include "cli/context.h"

namespace CLI {
class App;
}

namespace countersign::cli {

// `context` must outlive the parser and the action.
void AddUpCommand(CLI::App& app, Context& context);
void AddKeysCommands(CLI::App& app, Context& context);
void AddSignCommand(CLI::App& app, Context& context);
void AddVerifyCommand(CLI::App& app, Context& context);
void AddLedgerCommands(CLI::App& app, Context& context);
void AddLogsCommands(CLI::App& app, Context& context);
void AddWitnessCommands(CLI::App& app, Context& context);
void AddCaCommands(CLI::App& app, Context& context);
void AddCertCommands(CLI::App& app, Context& context);
void AddOcspCommands(CLI::App& app, Context& context);
void AddQueueCommands(CLI::App& app, Context& context);
void AddUpstreamCommands(CLI::App& app, Context& context);
void AddTrustCommands(CLI::App& app, Context& context);
void AddYubikeyCommands(CLI::App& app, Context& context);
void AddBundleCommands(CLI::App& app, Context& context);
void AddCompletionCommand(CLI::App& app, Context& context);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_COMMANDS_H_
