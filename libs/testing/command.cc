#include "libs/testing/command.h"

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

namespace countersign::testing {

CommandResult RunCommand(const std::string& command) {
  std::FILE* const pipe = popen(("{ " + command + "; } 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    std::perror("popen");
    std::abort();
  }
  CommandResult result;
  char buffer[4096];
  while (const size_t size = std::fread(buffer, 1, sizeof(buffer), pipe)) {
    result.output.append(buffer, size);
  }
  const int status = pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return result;
}

}  // namespace countersign::testing
