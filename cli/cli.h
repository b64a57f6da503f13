// The `countersign` command line, without the process around it.
#ifndef COUNTERSIGN_CLI_CLI_H_
#define COUNTERSIGN_CLI_CLI_H_

#include <string>
#include <vector>

#include "cli/output.h"

namespace countersign::cli {

// Runs one command line (without the program's name) and returns the process's exit code:
//   0  done; for `verify`: verified
//   1  not verified
//   2  could not decide or could not do it: bad usage, unreadable file, no server
// Reads the environment for defaults. To be called on the main thread, for `up` starts processes.
int RunCli(const std::vector<std::string>& arguments, Output output);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_CLI_H_
