#include "cli/yubikey_commands.h"

#include <signal.h>

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/cert_commands.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/names.h"
#include "cli/secret_input.h"
#include "cli/watch.h"
#include "cli/yubikey_names.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"
#include "libs/pki/name.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using Stub = pb::CardService::Stub;

struct CardOptions {
  SharedAgentOptions agent;
  std::string card;
  std::string pin_file;
  std::string caller;
};

std::string TriesText(const pb::Card& card) {
  return card.has_pin_tries_left() ? absl::StrCat(card.pin_tries_left()) : "-";
}

std::string StateText(const pb::Card& card) {
  return EnumText(pb::CardState_descriptor(), card.state());
}

template <typename Cards>
void ShowCards(const Cards& cards, Output* output) {
  if (cards.empty()) {
    output->Line("No card is in a reader.");
    return;
  }
  std::vector<std::vector<std::string>> rows = {
      {"SERIAL", "FIRMWARE", "STATE", "PIN TRIES", "UNLOCKED", "SLOTS", "READER"}};
  for (const pb::Card& card : cards) {
    std::string slots;
    for (const pb::Slot& slot : card.slots()) {
      absl::StrAppend(&slots, slots.empty() ? "" : " ", LastPart(slot.name()));
    }
    rows.push_back({LastPart(card.name()), card.firmware_version(), StateText(card),
                    TriesText(card), card.unlocked() ? "yes" : "no", slots.empty() ? "-" : slots,
                    card.reader()});
  }
  output->Table(rows);
}

absl::Status List(Context& context, const CardOptions& options) {
  pb::ListCardsResponse response;
  RETURN_IF_ERROR(CallAgent(context, *options.agent, nullptr, &Stub::ListCards,
                            pb::ListCardsRequest(), &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowCards(response.cards(), &context.output);
  }
  return absl::OkStatus();
}

absl::Status WatchAll(Context& context, const CardOptions& options) {
  ASSIGN_OR_RETURN(const std::string address, AgentAddress(context, *options.agent));
  signal(SIGPIPE, SIG_IGN);  // a closed output ends this by its error
  return Watch<Stub, pb::WatchCardsRequest, pb::WatchCardsResponse>(
      context, "yubikey-agent", address, &Stub::WatchCards, pb::WatchCardsRequest(),
      [&](const pb::WatchCardsResponse& response) {
        std::ostream& out = context.output.out();
        if (context.json) {
          out << nlohmann::ordered_json::parse(context.ToJson(response)).dump() << "\n";
        } else {
          context.output.Line(FormatUtc(absl::Now()), Tone::kQuiet);
          ShowCards(response.cards(), &context.output);
        }
        out.flush();
        return static_cast<bool>(out);
      });
}

void ShowCard(absl::string_view headline, const pb::Card& card, Output* output) {
  if (!headline.empty()) output->Headline(true, headline);
  output->Field("Card", card.name(), Tone::kStrong);
  output->Field("Firmware", card.firmware_version());
  output->Field("Reader", card.reader());
  const bool ready = card.state() == pb::CARD_STATE_READY;
  output->Field(
      "State",
      card.detail().empty() ? StateText(card) : absl::StrCat(StateText(card), ": ", card.detail()),
      ready ? Tone::kPlain : Tone::kBad);
  output->Field("PIN tries", TriesText(card));
  output->Field("Unlocked", card.unlocked() ? "yes" : "no");
  output->Field("Waiting", absl::StrCat(card.queued_jobs()));
}

void ShowSlots(const pb::Card& card, Output* output) {
  if (card.slots().empty()) return;
  output->Line();
  const absl::Time now = absl::Now();
  std::vector<std::vector<std::string>> rows = {
      {"SLOT", "ALGORITHM", "PIN", "TOUCH", "ORIGIN", "CERTIFICATE", "EXPIRES", "KEY SHA-256"}};
  for (const pb::Slot& slot : card.slots()) {
    std::string subject = "-";
    std::string expires = "-";
    if (!slot.certificate().empty()) {
      const auto certificate = pki::ParseCertificate(slot.certificate());
      subject = certificate.ok() ? pki::FormatName(certificate->subject) : "not readable";
      if (certificate.ok()) expires = Distance(certificate->not_after, now);
    }
    rows.push_back({LastPart(slot.name()), AlgorithmText(slot.algorithm()),
                    PolicyText(slot.pin_policy()), PolicyText(slot.touch_policy()),
                    slot.origin() == pb::KEY_ORIGIN_UNSPECIFIED
                        ? "not known"
                        : EnumText(pb::KeyOrigin_descriptor(), slot.origin()),
                    subject, expires, slot.fingerprint().empty() ? "-" : slot.fingerprint()});
  }
  output->Table(rows);
}

absl::Status Show(Context& context, const CardOptions& options) {
  pb::GetCardRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  pb::GetCardResponse response;
  RETURN_IF_ERROR(CallAgent(context, *options.agent, nullptr, &Stub::GetCard, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowCard("", response.card(), &context.output);
    ShowSlots(response.card(), &context.output);
  }
  return absl::OkStatus();
}

absl::Status Unlock(Context& context, const CardOptions& options) {
  pb::UnlockCardRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  {
    ASSIGN_OR_RETURN(
        const crypto::SecretBytes pin,
        GetSecret(options.pin_file, absl::StrCat("PIN of ", request.name()), "--pin-file"));
    const absl::string_view exposed = pin.Expose(crypto::SecretAccess::Grant());
    request.set_pin(exposed.data(), exposed.size());
  }
  const FieldWiper wiper(request.mutable_pin());
  pb::UnlockCardResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_UNLOCK, &Stub::UnlockCard,
                                request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowCard(absl::StrCat("Unlocked ", request.name()), response.card(), &context.output);
  }
  return absl::OkStatus();
}

absl::Status Lock(Context& context, const CardOptions& options) {
  pb::LockCardRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  pb::LockCardResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_UNLOCK, &Stub::LockCard,
                                request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowCard(absl::StrCat("Locked ", request.name()), response.card(), &context.output);
  }
  return absl::OkStatus();
}

absl::Status RevokeSessions(Context& context, const CardOptions& options) {
  pb::RevokeSessionsRequest request;
  request.set_caller(options.caller);
  pb::RevokeSessionsResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_ADMINISTER,
                                &pb::SessionService::Stub::RevokeSessions, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(
        true,
        absl::StrCat(
            "Ended ", Count(static_cast<uint64_t>(response.revoked()), "session", "sessions"),
            options.caller == "*" ? " of all callers" : absl::StrCat(" of ", options.caller)));
  }
  return absl::OkStatus();
}

void AddAgentOptions(CLI::App* group, AgentOptions* agent) {
  group->add_option("--yubikey-agent", agent->address, "Where the agent is, HOST:PORT")
      ->envname("COUNTERSIGN_YUBIKEY_AGENT");
  group->add_option("--caller", agent->caller, "Name that the agent knows us by")
      ->envname("COUNTERSIGN_YUBIKEY_CALLER")
      ->capture_default_str();
  group
      ->add_option("--yubikey-key", agent->key_file,
                   "File with its API key (default for admin: DATA/yubikey-agent/admin.key)")
      ->envname("COUNTERSIGN_YUBIKEY_KEY_FILE");
}

}  // namespace

void AddYubikeyCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("yubikey", "Keys on PIV cards, by the agent that has them");
  group->require_subcommand(1);
  const auto agent = std::make_shared<AgentOptions>();
  AddAgentOptions(group, agent.get());
  const auto options = std::make_shared<CardOptions>();
  options->agent = agent;
  const auto add_card = [&](CLI::App* command) {
    command->add_option("CARD", options->card, "Its serial number, or cards/SERIAL")->required();
    return command;
  };

  AddGroupCommand(*group, context, options, "list", "List the cards that are there", List);
  AddGroupCommand(*group, context, options, "watch", "List them again whenever something changes",
                  WatchAll);
  add_card(AddGroupCommand(*group, context, options, "show", "Show a card and its slots", Show));
  add_card(AddGroupCommand(*group, context, options, "unlock",
                           "Give the agent a card's PIN, to hold in memory", Unlock))
      ->add_option("--pin-file", options->pin_file,
                   "File with the PIN, or - for standard input; else it is asked for");
  add_card(AddGroupCommand(*group, context, options, "lock", "Have the agent forget it", Lock));
  AddYubikeySlotCommands(*group, context, agent);
  AddYubikeyAttestCommands(*group, context, agent);
  AddYubikeyCertCommands(*group, context, agent);
  AddYubikeyKeyCommands(*group, context, agent);
  AddYubikeySubKeyCommands(*group, context, agent);
  AddYubikeyPinCommands(*group, context, agent);

  CLI::App* sessions = group->add_subcommand("session", "Callers' sessions with the agent");
  sessions->require_subcommand(1);
  AddGroupCommand(*sessions, context, options, "revoke", "End all sessions of a caller at once",
                  RevokeSessions)
      ->add_option("CALLER", options->caller, "Its name, or * for every caller")
      ->required();
}

}  // namespace countersign::cli
