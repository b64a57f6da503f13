// The YubiKey agent's client with what it needs, wired together.
#ifndef COUNTERSIGN_SERVICES_SIGN_YUBIKEY_SETUP_H_
#define COUNTERSIGN_SERVICES_SIGN_YUBIKEY_SETUP_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace countersign::crypto {
class Kek;
}
namespace countersign::runtime {
class Main;
class Server;
struct ClientTls;
}  // namespace countersign::runtime

namespace countersign::sign {

class CardClient;

// What flags say.
struct YubikeyFlags {
  std::string agent;
  std::string caller = "sign";
  absl::Duration timeout = absl::Seconds(30);
};

// --yubikey-agent, --yubikey-caller, --yubikey-timeout.
void AddYubikeyFlags(runtime::Main* main, YubikeyFlags* flags);

// The agent's client, owned by `server`; null when the flags name no agent. The key that this
// service is known by there is `data`/yubikey-caller.key, sealed by `kek` and made when missing;
// its public half is written to `data`/yubikey-caller.pem, for the agent's list of callers. Errors
// as crypto::LoadOrCreateSealedKey and runtime::MakeChannel. The agent is not called yet.
absl::StatusOr<CardClient*> AddCardClient(const YubikeyFlags& flags, const std::string& data,
                                          const crypto::Kek& kek,
                                          const runtime::ClientTls& peer_tls,
                                          runtime::Server* server);

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_YUBIKEY_SETUP_H_
