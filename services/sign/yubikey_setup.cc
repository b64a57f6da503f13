#include "services/sign/yubikey_setup.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/file.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/sealed_key_file.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/main.h"
#include "services/sign/grpc_card_client.h"

namespace countersign::sign {

void AddYubikeyFlags(runtime::Main* main, YubikeyFlags* flags) {
  main->AddString("--yubikey-agent", &flags->agent,
                  "address of the YubiKey agent, for keys on cards; empty for none");
  main->AddString("--yubikey-caller", &flags->caller,
                  "name that the agent knows this process by, with the key in "
                  "DATA/yubikey-caller.pem");
  main->AddDuration("--yubikey-timeout", &flags->timeout, "the longest wait for the agent");
}

absl::StatusOr<CardClient*> AddCardClient(const YubikeyFlags& flags, const std::string& data,
                                          const crypto::Kek& kek,
                                          const runtime::ClientTls& peer_tls,
                                          runtime::Server* server) {
  if (flags.agent.empty()) return nullptr;
  ASSIGN_OR_RETURN(crypto::PrivateKey key, crypto::LoadOrCreateSealedKey(
                                               absl::StrCat(data, "/yubikey-caller.key"), kek,
                                               crypto::Algorithm::kEd25519, "yubikey caller key"));
  const std::string pem = absl::StrCat(data, "/yubikey-caller.pem");
  RETURN_IF_ERROR(base::WriteFileAtomically(pem, key.public_key().ToPem()));
  base::Log(
      base::Severity::kInfo, "the YubiKey agent is to know this public key",
      {{"caller", flags.caller}, {"file", pem}, {"fingerprint", key.public_key().Fingerprint()}});
  ASSIGN_OR_RETURN(auto channel, runtime::MakeChannel(flags.agent, peer_tls));
  return server->Own(
      std::make_unique<GrpcCardClient>(AgentSession::Options{.channel = std::move(channel),
                                                             .caller = flags.caller,
                                                             .key = std::move(key),
                                                             .timeout = flags.timeout}));
}

}  // namespace countersign::sign
