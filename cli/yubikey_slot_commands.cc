#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/command_group.h"
#include "cli/names.h"
#include "cli/secret_input.h"
#include "cli/yubikey_commands.h"
#include "cli/yubikey_names.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/pki/pem.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using crypto::SecretAccess;
using crypto::SecretBytes;
using Stub = pb::CardService::Stub;

struct SlotOptions {
  SharedAgentOptions agent;
  std::string slot;
  std::string file;
  std::string algorithm = "ecdsa-p256-sha256";
  std::string pin_policy;
  std::string touch_policy;
  std::string management_key_file;
  bool replace = false;
};

// The policies, the management key and `replace` of either request.
template <typename Request>
absl::Status Fill(const SlotOptions& options, Request* request) {
  ASSIGN_OR_RETURN(*request->mutable_name(), SlotResourceName(options.slot));
  if (!options.pin_policy.empty()) {
    ASSIGN_OR_RETURN(const int policy, ParseEnum(pb::PinPolicy_descriptor(), options.pin_policy));
    request->set_pin_policy(static_cast<pb::PinPolicy>(policy));
  }
  if (!options.touch_policy.empty()) {
    ASSIGN_OR_RETURN(const int policy,
                     ParseEnum(pb::TouchPolicy_descriptor(), options.touch_policy));
    request->set_touch_policy(static_cast<pb::TouchPolicy>(policy));
  }
  request->set_replace(options.replace);
  return ReadManagementKey(options.management_key_file, request->mutable_management_key());
}

absl::Status Generate(Context& context, const SlotOptions& options) {
  pb::GenerateKeyRequest request;
  const FieldWiper wiper(request.mutable_management_key());
  RETURN_IF_ERROR(Fill(options, &request));
  ASSIGN_OR_RETURN(const pb::Algorithm algorithm, ParseCardAlgorithm(options.algorithm));
  request.set_algorithm(algorithm);
  pb::GenerateKeyResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_GENERATE, &Stub::GenerateKey,
                                request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowSlot("Generated a key on the card", response.slot(), &context.output);
  }
  return absl::OkStatus();
}

absl::Status Import(Context& context, const SlotOptions& options) {
  pb::ImportKeyRequest request;
  const FieldWiper wiper(request.mutable_management_key());
  const FieldWiper key_wiper(request.mutable_private_key());
  RETURN_IF_ERROR(Fill(options, &request));
  {
    ASSIGN_OR_RETURN(std::string bytes, base::ReadFile(options.file));
    const FieldWiper bytes_wiper(&bytes);
    absl::StatusOr<std::string> der = pki::DerFromDerOrPem(bytes, "PRIVATE KEY");
    if (!der.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.file, " holds no unencrypted PKCS#8 key: ", der.status().message()));
    }
    request.set_private_key(*der);
    crypto::Wipe(der->data(), der->size());
  }
  pb::ImportKeyResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_IMPORT, &Stub::ImportKey,
                                request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowSlot(absl::StrCat("Imported ", options.file), response.slot(), &context.output);
  }
  return absl::OkStatus();
}

void AddSlotOptions(CLI::App* command, const std::shared_ptr<SlotOptions>& options) {
  command
      ->add_option("--pin-policy", options->pin_policy,
                   "When its use asks for the PIN (default: as the slot is usual)")
      ->check(CLI::IsMember(EnumNames(pb::PinPolicy_descriptor())));
  command
      ->add_option("--touch-policy", options->touch_policy,
                   "When its use asks for a touch (default: never)")
      ->check(CLI::IsMember(EnumNames(pb::TouchPolicy_descriptor())));
  command->add_option("--management-key-file", options->management_key_file,
                      "File with the card's management key in hex, or - for standard input");
  command->add_flag("--replace", options->replace,
                    "Lose the key that is in the slot for the new one");
}

}  // namespace

absl::Status ReadManagementKey(const std::string& file, std::string* field) {
  if (file.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const SecretBytes line, ReadSecretLine(file));
  const absl::string_view hex = absl::StripAsciiWhitespace(line.Expose(SecretAccess::Grant()));
  const auto digit = [](char c) {
    return c <= '9' ? c - '0' : absl::ascii_tolower(static_cast<unsigned char>(c)) - 'a' + 10;
  };
  bool valid = hex.size() == 32 || hex.size() == 48 || hex.size() == 64;
  for (char c : hex) valid &= absl::ascii_isxdigit(static_cast<unsigned char>(c));
  if (!valid) {
    return absl::InvalidArgumentError(
        absl::StrCat(file == "-" ? "standard input" : file,
                     " holds no management key: 48 hex digits, or 32 or 64 of an AES key"));
  }
  field->assign(hex.size() / 2, '\0');
  for (size_t i = 0; i < field->size(); ++i) {
    (*field)[i] = static_cast<char>(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  }
  return absl::OkStatus();
}

void AddYubikeySlotCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent) {
  const auto options = std::make_shared<SlotOptions>();
  options->agent = agent;
  CLI::App* generate = AddGroupCommand(group, context, options, "generate",
                                       "Make a key on a card, which it never leaves", Generate);
  generate->add_option("SLOT", options->slot, "SERIAL/SLOT: 9a, 9c, 9d, 9e, 82 to 95")->required();
  generate->add_option("--algorithm", options->algorithm, "What the key does")
      ->check(CLI::IsMember(CardAlgorithmNames()))
      ->capture_default_str();
  AddSlotOptions(generate, options);
  CLI::App* import = AddGroupCommand(group, context, options, "import",
                                     "Put a key from a file onto a card", Import);
  import->add_option("SLOT", options->slot, "SERIAL/SLOT: 9a, 9c, 9d, 9e, 82 to 95")->required();
  import->add_option("FILE", options->file, "The private key: unencrypted PKCS#8, PEM or DER")
      ->required();
  AddSlotOptions(import, options);
}

}  // namespace countersign::cli
