#include "services/yubikey-agent/agent_setup.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "libs/base/file.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/base/ticker.h"
#include "libs/piv/attestation.h"
#include "libs/runtime/channel.h"
#include "services/yubikey-agent/agent_metrics.h"
#include "services/yubikey-agent/callers.h"
#include "services/yubikey-agent/callers_setup.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/card_secrets.h"
#include "services/yubikey-agent/card_service.h"
#include "services/yubikey-agent/challenges.h"
#include "services/yubikey-agent/grpc_sub_key_authority.h"
#include "services/yubikey-agent/key_service.h"
#include "services/yubikey-agent/pcsc_readers.h"
#include "services/yubikey-agent/session_service.h"
#include "services/yubikey-agent/sessions.h"
#include "services/yubikey-agent/sub_key_cards.h"
#include "services/yubikey-agent/sub_key_issuer.h"
#include "services/yubikey-agent/sub_key_service.h"
#include "services/yubikey-agent/sub_keys.h"

namespace countersign::yubikey {
namespace {

// Other processes of the same user cannot look into this one, and a crash leaves no memory behind.
absl::Status Harden() {
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0) {
    return base::ErrnoStatus(errno, "forbid core dumps (--allow-core-dumps leaves them)");
  }
  return absl::OkStatus();
}

// "NAME=cards/1/slots/9c,keys/…".
absl::StatusOr<decltype(CardPool::Options::aliases)> ParseAliases(
    const std::vector<std::string>& flags) {
  decltype(CardPool::Options::aliases) aliases;
  for (const std::string& flag : flags) {
    const std::pair<std::string, std::string> parts = absl::StrSplit(flag, absl::MaxSplits('=', 1));
    std::vector<std::string> targets = absl::StrSplit(parts.second, ',', absl::SkipEmpty());
    if (parts.first.empty() || targets.empty() ||
        !aliases.emplace(parts.first, std::move(targets)).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--alias ", flag, ": expected NAME=cards/SERIAL/slots/SLOT,…, each NAME once"));
    }
  }
  return aliases;
}

absl::StatusOr<std::vector<std::string>> LoadRoots(const std::string& path) {
  if (path.empty()) return std::vector<std::string>();
  ASSIGN_OR_RETURN(const std::string pem, base::ReadFile(path));
  auto roots = piv::ParseAttestationRoots(pem);
  if (roots.ok()) return roots;
  return absl::Status(roots.status().code(), absl::StrCat(path, ": ", roots.status().message()));
}

// What the operator gave for a card. The files were in order at the start: what has become of them
// since is told in the log.
std::optional<crypto::SecretBytes> Given(const CardSecrets& secrets, uint32_t serial) {
  auto found = secrets.Find(serial);
  if (found.ok()) return *std::move(found);
  base::Log(base::Severity::kWarning, "a card's secret cannot be read",
            {{"error", std::string(found.status().message())}});
  return std::nullopt;
}

absl::Status AddSubKeys(const AgentFlags& flags, CardPool* pool, Sessions* sessions,
                        runtime::Server& server) {
  SubKeyAuthority* authority = nullptr;
  if (!flags.sign.empty()) {
    ASSIGN_OR_RETURN(auto channel, runtime::MakeChannel(flags.sign, flags.peer_tls));
    authority = server.Own(std::make_unique<GrpcSubKeyAuthority>(std::move(channel)));
  }
  auto* issuer = server.Own(std::make_unique<SubKeyIssuer>(IssuerOverPool(pool, authority)));
  auto* sub_keys = server.Own(std::make_unique<SubKeys>(
      SubKeys::Options{.issuer = issuer, .authority = authority, .metrics = server.metrics()}));
  auto* service =
      server.Own(std::make_unique<SubKeyService>(sub_keys, sessions, server.executor()));
  server.AddService(service, "countersign.yubikey.v1.SubKeyService");
  return absl::OkStatus();
}

}  // namespace

void AddAgentFlags(runtime::Main* main, AgentFlags* flags) {
  main->AddString("--data", &flags->data, "folder of the callers' file").Required();
  main->AddString("--callers", &flags->callers,
                  "file of the registered callers (default: DATA/callers.json)");
  main->AddString("--reader", &flags->reader,
                  "serve cards in readers whose name contains this (default: every PIV card)");
  main->AddStringList("--alias", &flags->aliases,
                      "NAME=cards/SERIAL/slots/SLOT,…: keys that are as good as one another, as "
                      "keys/NAME; repeatable");
  main->AddString("--pins", &flags->pins,
                  "file of lines SERIAL PIN (mode 0600): these cards are unlocked when inserted");
  main->AddString("--management-keys", &flags->management_keys,
                  "file of lines SERIAL HEX (mode 0600), for cards that have not the factory's");
  main->AddInt("--pin-floor", &flags->pin_floor,
               "a PIN is not tried when fewer tries than this are left");
  main->AddDuration("--pin-idle", &flags->pin_idle, "a PIN that was not used so long is forgotten");
  main->AddInt("--queue", &flags->queue, "jobs that may wait for a card");
  main->AddInt("--max-sessions", &flags->max_sessions,
               "sessions that may be open; the oldest go first");
  main->AddString("--attestation-roots", &flags->attestation_roots,
                  "PEM file of roots that attestations may lead to");
  main->AddBool("--allow-core-dumps", &flags->allow_core_dumps,
                "let the system write core dumps, and debuggers attach");
  main->AddString("--sign", &flags->sign,
                  "address of the sign service, whose authorities may certify sub-keys");
  main->AddClientTls(&flags->peer_tls);
  main->AddAction(
      "--init", [flags] { return InitCallers(flags->data, flags->CallersFile()); },
      "make DATA and the caller \"admin\", its API key in DATA/admin.key, and exit");
  main->AddString("--caller", &flags->new_caller.name, "for --add-caller: its name");
  main->AddString("--caller-key", &flags->new_caller.public_key_file,
                  "for --add-caller: PEM file of its public key (default: an API key is made)");
  main->AddInt("--caller-card", &flags->new_caller.card_serial,
               "for --add-caller: serial number of the card whose attested keys are its own");
  main->AddStringList("--caller-operation", &flags->new_caller.operations,
                      "for --add-caller: what it may do (default: everything); repeatable");
  main->AddStringList("--caller-name", &flags->new_caller.names,
                      "for --add-caller: cards, keys and sub-keys it may use (default: all); "
                      "repeatable");
  main->AddAction(
      "--add-caller", [flags] { return RegisterCaller(flags->CallersFile(), flags->new_caller); },
      "register a caller, print its new API key if it has one, and exit");
}

absl::Status SetUpAgent(const AgentFlags& flags, runtime::Server& server) {
  if (!flags.allow_core_dumps) RETURN_IF_ERROR(Harden());
  if (flags.pin_floor < 1 || flags.pin_floor > 15 || flags.queue < 1 || flags.queue > 1'000'000 ||
      flags.max_sessions < 1 || flags.max_sessions > 100'000'000 ||
      flags.pin_idle <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "--pin-floor, --queue, --max-sessions or --pin-idle is out of range");
  }
  RETURN_IF_ERROR(base::EnsureDirectory(flags.data, 0700));
  ASSIGN_OR_RETURN(const std::vector<std::string> roots, LoadRoots(flags.attestation_roots));
  ASSIGN_OR_RETURN(auto aliases, ParseAliases(flags.aliases));
  auto* pins = server.Own(std::make_unique<CardSecrets>(flags.pins, CardSecrets::Form::kText));
  RETURN_IF_ERROR(pins->Check());
  auto* management_keys =
      server.Own(std::make_unique<CardSecrets>(flags.management_keys, CardSecrets::Form::kHex));
  RETURN_IF_ERROR(management_keys->Check());

  auto* sessions = server.Own(std::make_unique<Sessions>(
      Sessions::Options{.capacity = static_cast<size_t>(flags.max_sessions)}));
  auto* challenges = server.Own(std::make_unique<Challenges>(Challenges::Options{}));
  auto* readers = server.Own(
      std::make_unique<PcscReaders>(PcscReaders::Options{.reader_contains = flags.reader}));
  auto* operations = server.Own(std::make_unique<OperationMetrics>(server.metrics()));
  auto* pool = server.Own(std::make_unique<CardPool>(
      CardPool::Options{.readers = readers,
                        .aliases = std::move(aliases),
                        .queue_capacity = static_cast<int>(flags.queue),
                        .pin_floor = static_cast<int>(flags.pin_floor),
                        .pin_idle = flags.pin_idle,
                        .configured_pin = [pins](uint32_t serial) { return Given(*pins, serial); },
                        .on_operation =
                            [operations](absl::string_view operation, bool ok,
                                         absl::Duration on_card, absl::Duration queued) {
                              operations->Observe(operation, ok, on_card, queued);
                            }}));
  ExportState(pool, sessions, server.metrics());

  ASSIGN_OR_RETURN(
      auto opened,
      Callers::Open({.path = flags.CallersFile(),
                     .attestation_roots = roots,
                     .is_served =
                         [pool](const std::string& fingerprint) {
                           return pool->Find(absl::StrCat("keys/", fingerprint)).ok();
                         },
                     .on_lost = [sessions](const auto& caller) { sessions->Revoke(caller); }}));
  auto* callers = server.Own(std::move(opened));
  // What it says is in the log, and the callers stay as they were.
  server.Own(std::make_unique<base::Ticker>(absl::Seconds(5),
                                            [callers] { callers->Refresh().IgnoreError(); }));

  auto* session_service = server.Own(std::make_unique<SessionService>(SessionService::Options{
      .callers = callers,
      .challenges = challenges,
      .sessions = sessions,
      .unlock = [pool](
                    uint32_t serial, crypto::SecretBytes pin, absl::Time deadline,
                    auto done) { pool->Unlock(serial, std::move(pin), deadline, std::move(done)); },
      .executor = server.executor()}));
  server.AddService(session_service, "countersign.yubikey.v1.SessionService");
  auto* card_service = server.Own(std::make_unique<CardService>(CardService::Options{
      .pool = pool,
      .sessions = sessions,
      .executor = server.executor(),
      .management_key =
          [management_keys](uint32_t serial) { return Given(*management_keys, serial); },
      .attestation_roots = roots}));
  server.AddService(card_service, "countersign.yubikey.v1.CardService");
  auto* key_service = server.Own(std::make_unique<KeyService>(pool, sessions));
  server.AddService(key_service, "countersign.yubikey.v1.KeyService");
  return AddSubKeys(flags, pool, sessions, server);
}

}  // namespace countersign::yubikey
