// Other programs (openssl, certtool, …) as judges of what the suite makes.
#ifndef COUNTERSIGN_LIBS_TESTING_COMMAND_H_
#define COUNTERSIGN_LIBS_TESTING_COMMAND_H_

#include <string>

namespace countersign::testing {

struct CommandResult {
  int exit_code = 0;   // minus the signal that ended it
  std::string output;  // standard output and error, as they came
};

// Runs `command` in a shell and waits for it. Ends the process when no shell can be started.
CommandResult RunCommand(const std::string& command);

}  // namespace countersign::testing

#endif  // COUNTERSIGN_LIBS_TESTING_COMMAND_H_
