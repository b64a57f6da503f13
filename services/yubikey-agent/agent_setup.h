// The agent's flags, and how its parts are put together.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_AGENT_SETUP_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_AGENT_SETUP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/main.h"
#include "services/yubikey-agent/callers_setup.h"

namespace countersign::yubikey {

struct AgentFlags {
  std::string data;
  std::string callers;
  std::string reader;
  std::vector<std::string> aliases;
  std::string pins;
  std::string management_keys;
  int64_t pin_floor = 2;
  absl::Duration pin_idle = absl::Hours(8);
  int64_t queue = 256;
  int64_t max_sessions = 65536;
  std::string attestation_roots;
  bool allow_core_dumps = false;
  std::string sign;
  runtime::ClientTls peer_tls;
  NewCaller new_caller;

  std::string CallersFile() const { return callers.empty() ? data + "/callers.json" : callers; }
};

// `flags` must outlive Main::Run.
void AddAgentFlags(runtime::Main* main, AgentFlags* flags);

// Makes the services and what they stand on. InvalidArgument for flags out of range, else what a
// file gave.
absl::Status SetUpAgent(const AgentFlags& flags, runtime::Server& server);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_AGENT_SETUP_H_
