// The YubiKey agent.
#include "libs/runtime/main.h"

#include "services/yubikey-agent/agent_setup.h"

int main(int argc, char** argv) {
  using namespace countersign;  // NOLINT: a wiring diagram
  runtime::Main main({.name = "yubikey-agent",
                      .description = "Puts the PIV keys of YubiKeys behind gRPC.",
                      .listen = "127.0.0.1:7120",
                      .admin_listen = "127.0.0.1:7220"});
  yubikey::AgentFlags flags;
  yubikey::AddAgentFlags(&main, &flags);
  return main.Run(argc, argv,
                  [&flags](runtime::Server& server) { return yubikey::SetUpAgent(flags, server); });
}
