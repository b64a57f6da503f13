// The commands of `ledger` that read whole logs: each adds itself to the group.
#ifndef COUNTERSIGN_CLI_LEDGER_TLOG_COMMANDS_H_
#define COUNTERSIGN_CLI_LEDGER_TLOG_COMMANDS_H_

#include "cli/context.h"

namespace CLI {
class App;
}

namespace countersign::cli {

// `context` must outlive the parser and the action.
void AddLedgerFsckCommand(CLI::App& group, Context& context);
void AddLedgerCopyCommands(CLI::App& group, Context& context);  // mirror, export
void AddLedgerTailCommand(CLI::App& group, Context& context);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_LEDGER_TLOG_COMMANDS_H_
