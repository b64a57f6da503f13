// A user of the YubiKey agent, for the command line's tests.
#ifndef COUNTERSIGN_CLI_YUBIKEY_TEST_USER_H_
#define COUNTERSIGN_CLI_YUBIKEY_TEST_USER_H_

#include <unistd.h>

#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "cli/cli.h"
#include "cli/fake_yubikey_agent.h"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {

// A user whose data folder knows the agent and the administrator's key.
class AgentUser {
 public:
  struct Result {
    int exit_code = -1;
    std::string out;
    std::string err;
  };

  AgentUser() {
    testing::RequireOk(base::EnsureDirectory(Path("data/yubikey-agent")));
    File("data/endpoints.json",
         absl::StrCat("{\"yubikey_agent\": \"", agent.server.address(), "\"}"));
    File("data/yubikey-agent/admin.key", absl::StrCat(kFakeApiKey, "\n"), 0600);
  }

  // `countersign yubikey …` with `input` as its standard input.
  Result Run(std::vector<std::string> arguments, const std::string& input = "") {
    arguments.insert(arguments.begin(), "yubikey");
    arguments.insert(arguments.end(), {"--data", Path("data")});
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    REQUIRE(write(ends[1], input.data(), input.size()) == static_cast<ssize_t>(input.size()));
    close(ends[1]);
    const int before = dup(STDIN_FILENO);
    REQUIRE(dup2(ends[0], STDIN_FILENO) == STDIN_FILENO);
    close(ends[0]);
    std::ostringstream out;
    std::ostringstream err;
    Result result;
    result.exit_code = RunCli(arguments, Output(out, err, /*color=*/false));
    result.out = out.str();
    result.err = err.str();
    REQUIRE(dup2(before, STDIN_FILENO) == STDIN_FILENO);
    close(before);
    return result;
  }

  // The output of a run that must do its work.
  std::string Done(const std::vector<std::string>& arguments, const std::string& input = "") {
    const Result result = Run(arguments, input);
    CAPTURE(result.out, result.err);
    REQUIRE(result.exit_code == 0);
    // Whoever opens a session closes it.
    CHECK(agent.state.opened.size() == static_cast<size_t>(agent.state.closed));
    return result.out;
  }

  // The message of a run that must fail with exit code 2.
  std::string Refused(const std::vector<std::string>& arguments, const std::string& input = "") {
    const Result result = Run(arguments, input);
    CAPTURE(result.out, result.err);
    REQUIRE(result.exit_code == 2);
    CHECK(agent.state.opened.size() == static_cast<size_t>(agent.state.closed));
    return result.err;
  }

  nlohmann::json Json(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const std::string text = Done(arguments);
    CAPTURE(text);
    nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    REQUIRE_FALSE(parsed.is_discarded());
    return parsed;
  }

  std::string Path(const std::string& name) const { return absl::StrCat(dir_.path(), "/", name); }
  std::string File(const std::string& name, const std::string& contents, uint32_t mode = 0644) {
    testing::RequireOk(base::WriteFileAtomically(Path(name), contents, mode));
    return Path(name);
  }
  std::string Contents(const std::string& name) const {
    return testing::RequireOk(base::ReadFile(Path(name)));
  }

  FakeYubikeyAgent agent;

 private:
  testing::TempDir dir_;
};

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_YUBIKEY_TEST_USER_H_
