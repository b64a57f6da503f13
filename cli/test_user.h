// What the command line's tests share: a user with a folder, and a suite that can be stopped.
#ifndef COUNTERSIGN_CLI_TEST_USER_H_
#define COUNTERSIGN_CLI_TEST_USER_H_

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "cli/cli.h"
#include "cli/fake_suite.h"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {

struct Result {
  int exit_code = -1;
  std::string out;
  std::string err;
};

// A user's folder, and a suite that can be stopped.
class User {
 public:
  const std::string& folder() const { return dir_.path(); }

  Result Run(std::vector<std::string> arguments, bool color = false) {
    arguments.insert(arguments.end(), {"--data", dir_.path() + "/data"});
    if (suite_ != nullptr) address_ = suite_->server.address();
    for (const char* service : {"sign", "ledger", "witness", "ocsp"}) {
      arguments.insert(arguments.end(), {"--endpoint", absl::StrCat(service, "=", address_)});
    }
    std::ostringstream out;
    std::ostringstream err;
    Result result;
    result.exit_code = RunCli(arguments, Output(out, err, color));
    result.out = out.str();
    result.err = err.str();
    return result;
  }

  std::string File(const std::string& name, const std::string& contents) {
    const std::string path = dir_.path() + "/" + name;
    testing::RequireOk(base::WriteFileAtomically(path, contents));
    return path;
  }

  FakeSuite& suite() { return *suite_; }
  void StopSuite() {
    address_ = suite_->server.address();
    suite_ = nullptr;
  }
  const std::string& address() const { return address_; }

 private:
  testing::TempDir dir_;
  std::unique_ptr<FakeSuite> suite_ = std::make_unique<FakeSuite>();
  std::string address_;
};

inline nlohmann::json ParsedJson(const std::string& text) {
  CAPTURE(text);
  nlohmann::json parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  REQUIRE_FALSE(parsed.is_discarded());
  return parsed;
}

inline void RequireRun(User& user, const std::vector<std::string>& arguments) {
  const Result result = user.Run(arguments);
  CAPTURE(result.out, result.err);
  REQUIRE(result.exit_code == 0);
}

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_TEST_USER_H_
