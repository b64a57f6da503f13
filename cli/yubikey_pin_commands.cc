#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/command_group.h"
#include "cli/names.h"
#include "cli/secret_input.h"
#include "cli/yubikey_commands.h"
#include "cli/yubikey_names.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using Stub = pb::CardService::Stub;

struct PinOptions {
  SharedAgentOptions agent;
  std::string card;
  std::string pin_file;
  std::string puk_file;
  std::string new_pin_file;
  std::string new_puk_file;
  std::string management_key_file;
  std::string new_management_key_file;
  bool require_touch = false;
  std::string confirmed_serial;
};

absl::Status Fetch(const std::string& file, const std::string& prompt, const char* option,
                   bool twice, std::string* field) {
  ASSIGN_OR_RETURN(const crypto::SecretBytes secret, GetSecret(file, prompt, option, twice));
  const absl::string_view exposed = secret.Expose(crypto::SecretAccess::Grant());
  field->assign(exposed.data(), exposed.size());
  return absl::OkStatus();
}

// Makes the call, which has nothing to say but that it was done.
template <typename Request, typename Response>
absl::Status Manage(Context& context, const PinOptions& options,
                    grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                    const Request& request, absl::string_view done) {
  Response response;
  RETURN_IF_ERROR(
      CallInSession(context, *options.agent, pb::OPERATION_MANAGE, method, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(true, absl::StrCat(done, " ", request.name()));
  }
  return absl::OkStatus();
}

absl::Status ChangePin(Context& context, const PinOptions& options) {
  pb::ChangePinRequest request;
  const FieldWiper wiper(request.mutable_pin());
  const FieldWiper new_wiper(request.mutable_new_pin());
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  RETURN_IF_ERROR(Fetch(options.pin_file, absl::StrCat("PIN of ", request.name()), "--pin-file",
                        false, request.mutable_pin()));
  RETURN_IF_ERROR(
      Fetch(options.new_pin_file, "New PIN", "--new-pin-file", true, request.mutable_new_pin()));
  return Manage(context, options, &Stub::ChangePin, request, "Changed the PIN of");
}

absl::Status UnblockPin(Context& context, const PinOptions& options) {
  pb::UnblockPinRequest request;
  const FieldWiper wiper(request.mutable_puk());
  const FieldWiper new_wiper(request.mutable_new_pin());
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  RETURN_IF_ERROR(Fetch(options.puk_file, absl::StrCat("PUK of ", request.name()), "--puk-file",
                        false, request.mutable_puk()));
  RETURN_IF_ERROR(
      Fetch(options.new_pin_file, "New PIN", "--new-pin-file", true, request.mutable_new_pin()));
  return Manage(context, options, &Stub::UnblockPin, request, "Set a new PIN on");
}

absl::Status ChangePuk(Context& context, const PinOptions& options) {
  pb::ChangePukRequest request;
  const FieldWiper wiper(request.mutable_puk());
  const FieldWiper new_wiper(request.mutable_new_puk());
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  RETURN_IF_ERROR(Fetch(options.puk_file, absl::StrCat("PUK of ", request.name()), "--puk-file",
                        false, request.mutable_puk()));
  RETURN_IF_ERROR(
      Fetch(options.new_puk_file, "New PUK", "--new-puk-file", true, request.mutable_new_puk()));
  return Manage(context, options, &Stub::ChangePuk, request, "Changed the PUK of");
}

absl::Status ChangeManagementKey(Context& context, const PinOptions& options) {
  pb::ChangeManagementKeyRequest request;
  const FieldWiper wiper(request.mutable_management_key());
  const FieldWiper new_wiper(request.mutable_new_management_key());
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  RETURN_IF_ERROR(ReadManagementKey(options.management_key_file, request.mutable_management_key()));
  RETURN_IF_ERROR(
      ReadManagementKey(options.new_management_key_file, request.mutable_new_management_key()));
  request.set_require_touch(options.require_touch);
  return Manage(context, options, &Stub::ChangeManagementKey, request,
                "Changed the management key of");
}

absl::Status Reset(Context& context, const PinOptions& options) {
  pb::ResetCardRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), CardName(options.card));
  const std::string serial = LastPart(request.name());
  if (options.confirmed_serial != serial) {
    return absl::FailedPreconditionError(absl::StrCat(
        "nothing was reset: every key on the card would be lost; confirm with --yes ", serial));
  }
  request.set_confirm_serial_number(serial);
  return Manage(context, options, &Stub::ResetCard, request, "Reset to the factory's state:");
}

}  // namespace

void AddYubikeyPinCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent) {
  const auto options = std::make_shared<PinOptions>();
  options->agent = agent;
  const auto add_card = [&](CLI::App* command) {
    command->add_option("CARD", options->card, "Its serial number, or cards/SERIAL")->required();
    return command;
  };
  const auto add_file = [](CLI::App* command, const char* name, std::string* file,
                           const char* what) {
    return command->add_option(
        name, *file,
        absl::StrCat("File with the ", what, ", or - for standard input; else it is asked for"));
  };
  const auto add_parent = [&](const char* name, const char* help) {
    CLI::App* parent = group.add_subcommand(name, help);
    parent->require_subcommand(1);
    return parent;
  };

  CLI::App* pin = add_parent("pin", "A card's PIN");
  CLI::App* change = add_card(
      AddGroupCommand(*pin, context, options, "change", "Change it, knowing it", ChangePin));
  add_file(change, "--pin-file", &options->pin_file, "PIN as it is");
  add_file(change, "--new-pin-file", &options->new_pin_file, "new PIN");
  CLI::App* unblock = add_card(
      AddGroupCommand(*pin, context, options, "unblock", "Set a new one by the PUK", UnblockPin));
  add_file(unblock, "--puk-file", &options->puk_file, "PUK");
  add_file(unblock, "--new-pin-file", &options->new_pin_file, "new PIN");

  CLI::App* puk = add_parent("puk", "A card's PUK, which unblocks its PIN");
  CLI::App* change_puk = add_card(
      AddGroupCommand(*puk, context, options, "change", "Change it, knowing it", ChangePuk));
  add_file(change_puk, "--puk-file", &options->puk_file, "PUK as it is");
  add_file(change_puk, "--new-puk-file", &options->new_puk_file, "new PUK");

  CLI::App* key = add_parent("management-key", "A card's management key, which lets keys be made");
  CLI::App* change_key =
      add_card(AddGroupCommand(*key, context, options, "change", "Change it", ChangeManagementKey));
  change_key->add_option("--management-key-file", options->management_key_file,
                         "File with it as it is, in hex (default: the one the agent has)");
  change_key
      ->add_option("--new-management-key-file", options->new_management_key_file,
                   "File with the new one in hex, or - for standard input")
      ->required();
  change_key->add_flag("--require-touch", options->require_touch, "Its use shall need a touch");

  add_card(AddGroupCommand(group, context, options, "reset",
                           "Make a card as it left the factory: every key on it is lost", Reset))
      ->add_option("--yes", options->confirmed_serial, "The serial number once more")
      ->type_name("SERIAL");
}

}  // namespace countersign::cli
