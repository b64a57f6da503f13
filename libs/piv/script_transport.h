// A card that is a script: the APDUs that a test expects, and what it answers to them.
#ifndef COUNTERSIGN_LIBS_PIV_SCRIPT_TRANSPORT_H_
#define COUNTERSIGN_LIBS_PIV_SCRIPT_TRANSPORT_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/piv/apdu.h"
#include "libs/piv/applet.h"
#include "libs/piv/transport.h"
#include "libs/testing/matchers.h"

namespace countersign::piv {

// Fails the test case when something else is sent, and when it ends before the script does.
class ScriptTransport final : public Transport {
 public:
  // Each step: the APDUs of one command in hexadecimal, one after another with spaces in between,
  // and the response with its status word, "…9000".
  explicit ScriptTransport(std::vector<std::pair<std::string, std::string>> steps)
      : steps_(std::move(steps)) {}
  ~ScriptTransport() override { CHECK(next_ == steps_.size()); }

  absl::StatusOr<Response> Transmit(const Command& command) override {
    std::string sent;
    for (const std::string& apdu : EncodeCommand(command)) {
      sent += (sent.empty() ? "" : " ") + base::HexEncode(apdu);
    }
    INFO("sent: " << sent);
    REQUIRE(next_ < steps_.size());
    const auto& [expected, answer] = steps_[next_++];
    CHECK(sent == expected);
    return ParseResponse(testing::RequireOk(base::HexDecode(answer)));
  }
  absl::Status BeginTransaction() override { return absl::OkStatus(); }
  void EndTransaction() override {}

 private:
  const std::vector<std::pair<std::string, std::string>> steps_;
  size_t next_ = 0;
};

// What `function` returns that sends one command, given the applet.
template <typename Function>
auto Once(const std::string& apdu, const std::string& answer, Function function) {
  ScriptTransport script({{apdu, answer}});
  Applet applet(&script);
  return function(&applet);
}

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_SCRIPT_TRANSPORT_H_
