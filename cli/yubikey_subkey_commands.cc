#include <unistd.h>

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/artifact.h"
#include "cli/cert_commands.h"
#include "cli/command_group.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "cli/yubikey_commands.h"
#include "cli/yubikey_names.h"
#include "countersign/yubikey/v1/sub_key_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using Stub = pb::SubKeyService::Stub;

// An encapsulated X25519 key.
constexpr size_t kEncBytes = 32;
constexpr size_t kMaxMessage = 1 << 20;

struct SubKeyOptions {
  SharedAgentOptions agent;
  std::string name;
  std::string card_key;
  std::string authority;
  std::string algorithm = "ed25519";
  std::string common_name;
  std::optional<absl::Duration> lifetime;
  int64_t max_uses = 0;
  bool renew = false;
  bool log = false;
  std::string chain;
  std::string file;
  std::string out;
  std::string info;
  std::string aad;
  bool yes = false;
};

std::string UsesText(const pb::SubKey& sub_key) {
  return sub_key.max_uses() == 0 ? absl::StrCat(sub_key.uses())
                                 : absl::StrCat(sub_key.uses(), " of ", sub_key.max_uses());
}

std::string IssuerText(const pb::SubKey& sub_key) {
  return sub_key.authority().empty() ? sub_key.card_key() : sub_key.authority();
}

std::string EndText(const pb::SubKey& sub_key, absl::Time now) {
  return sub_key.revoked() ? "revoked" : Distance(FromProto(sub_key.expire_time()), now);
}

void ShowSubKey(absl::string_view headline, const pb::SubKey& sub_key, Output* output) {
  if (!headline.empty()) output->Headline(true, headline);
  output->Field("Sub-key", sub_key.name(), Tone::kStrong);
  output->Field("Algorithm", AlgorithmText(sub_key.algorithm()));
  output->Field(sub_key.authority().empty() ? "Card key" : "Authority", IssuerText(sub_key));
  if (!sub_key.common_name().empty()) output->Field("Common name", sub_key.common_name());
  if (sub_key.revoked()) {
    output->Field("State", "revoked", Tone::kBad);
  } else {
    output->Field("Expires", absl::StrCat(TimeText(sub_key.expire_time()), ", ",
                                          EndText(sub_key, absl::Now())));
  }
  output->Field("Lifetime", DurationText(absl::Seconds(sub_key.lifetime_seconds())));
  output->Field("Renewed", sub_key.renew() ? "by itself" : "no");
  output->Field("Uses", UsesText(sub_key));
  output->Field("Generation", absl::StrCat(sub_key.generation()));
  if (sub_key.log_certificates()) output->Field("Ledger", "each certification is entered");
  if (!sub_key.chain().empty()) {
    const auto certificate = pki::ParseCertificate(sub_key.chain(0));
    if (certificate.ok()) output->Field("Certificate", certificate->SerialHex());
  }
  output->Field("Attested", sub_key.attestation().empty() ? "no" : "the card made the key above");
}

absl::Status Create(Context& context, const SubKeyOptions& options) {
  if (options.card_key.empty() == options.authority.empty()) {
    return absl::InvalidArgumentError(
        "say what certifies it, one of: --card-key, a key on a card; --authority, of the sign "
        "service");
  }
  pb::CreateSubKeyRequest request;
  request.set_sub_key_id(options.name);
  pb::SubKey& sub_key = *request.mutable_sub_key();
  if (!options.card_key.empty()) {
    ASSIGN_OR_RETURN(*sub_key.mutable_card_key(), CardKeyName(options.card_key));
  } else {
    sub_key.set_authority(context.ResourceName("authorities", options.authority));
  }
  ASSIGN_OR_RETURN(const pb::Algorithm algorithm, ParseCardAlgorithm(options.algorithm));
  sub_key.set_algorithm(algorithm);
  sub_key.set_common_name(options.common_name);
  if (options.lifetime.has_value()) {
    sub_key.set_lifetime_seconds(absl::ToInt64Seconds(*options.lifetime));
  }
  sub_key.set_max_uses(options.max_uses);
  sub_key.set_renew(options.renew);
  sub_key.set_log_certificates(options.log);
  if (!sub_key.card_key().empty()) {
    TellAboutTouch(context, *options.agent, sub_key.card_key());
  }
  pb::CreateSubKeyResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_CREATE_SUB_KEY,
                                &Stub::CreateSubKey, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowSubKey(absl::StrCat("Created ", response.sub_key().name()), response.sub_key(),
               &context.output);
  }
  return absl::OkStatus();
}

absl::Status List(Context& context, const SubKeyOptions& options) {
  pb::ListSubKeysResponse response;
  RETURN_IF_ERROR(CallAgent(context, *options.agent, nullptr, &Stub::ListSubKeys,
                            pb::ListSubKeysRequest(), &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  if (response.sub_keys().empty()) {
    context.output.Line(
        "No sub-keys yet. Make one: countersign yubikey subkey create NAME --card-key SERIAL/9c");
    return absl::OkStatus();
  }
  const absl::Time now = absl::Now();
  std::vector<std::vector<std::string>> rows = {
      {"SUB-KEY", "ALGORITHM", "CERTIFIED BY", "GENERATION", "USES", "EXPIRES"}};
  for (const pb::SubKey& sub_key : response.sub_keys()) {
    rows.push_back({LastPart(sub_key.name()), AlgorithmText(sub_key.algorithm()),
                    IssuerText(sub_key), absl::StrCat(sub_key.generation()), UsesText(sub_key),
                    EndText(sub_key, now)});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::StatusOr<pb::GetSubKeyResponse> Fetch(Context& context, const SubKeyOptions& options) {
  pb::GetSubKeyRequest request;
  request.set_name(SubKeyName(options.name));
  pb::GetSubKeyResponse response;
  RETURN_IF_ERROR(
      CallAgent(context, *options.agent, nullptr, &Stub::GetSubKey, request, &response));
  return response;
}

absl::Status Show(Context& context, const SubKeyOptions& options) {
  ASSIGN_OR_RETURN(const pb::GetSubKeyResponse response, Fetch(context, options));
  if (!options.chain.empty()) {
    std::string pem;
    for (const std::string& der : response.sub_key().chain()) pem += CertificatePem(der);
    RETURN_IF_ERROR(base::WriteFileDurably(options.chain, pem));
  }
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  ShowSubKey("", response.sub_key(), &context.output);
  if (!options.chain.empty()) context.output.Field("Chain", options.chain);
  return absl::OkStatus();
}

absl::Status Sign(Context& context, const SubKeyOptions& options) {
  RETURN_IF_ERROR(CheckResultPath(context, options.out));
  ASSIGN_OR_RETURN(const pb::GetSubKeyResponse sub_key, Fetch(context, options));
  pb::SubKeyServiceSignRequest request;
  request.set_name(SubKeyName(options.name));
  if (sub_key.sub_key().algorithm() == pb::ALGORITHM_ED25519) {
    ASSIGN_OR_RETURN(*request.mutable_message(), base::ReadFile(options.file));
    if (request.message().size() > kMaxMessage) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.file,
                       " is longer than the 1 MiB that a sub-key signs by Ed25519; use one of "
                       "ecdsa-p256-sha256"));
    }
  } else {
    ASSIGN_OR_RETURN(*request.mutable_digest(),
                     DigestFile(options.file, crypto::DigestAlgorithm::kSha256));
  }
  pb::SubKeyServiceSignResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_USE_SUB_KEY, &Stub::Sign,
                                request, &response));
  return WriteResult(context, response, response.signature(), options.out, 0644);
}

absl::Status Decrypt(Context& context, const SubKeyOptions& options) {
  RETURN_IF_ERROR(CheckResultPath(context, options.out));
  ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(options.file));
  if (bytes.size() < kEncBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.file,
                     " is too short: an encapsulated key of 32 bytes comes first, "
                     "then the ciphertext"));
  }
  pb::SubKeyServiceDecryptRequest request;
  request.set_name(SubKeyName(options.name));
  request.set_enc(bytes.substr(0, kEncBytes));
  request.set_ciphertext(bytes.substr(kEncBytes));
  request.set_info(options.info);
  request.set_aad(options.aad);
  pb::SubKeyServiceDecryptResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_USE_SUB_KEY, &Stub::Decrypt,
                                request, &response));
  const FieldWiper wiper(response.mutable_plaintext());
  return WriteResult(context, response, response.plaintext(), options.out, 0600);
}

absl::Status Revoke(Context& context, const SubKeyOptions& options) {
  pb::RevokeSubKeyRequest request;
  request.set_name(SubKeyName(options.name));
  if (!options.yes) {
    std::string answer;
    if (isatty(STDIN_FILENO) == 1) {
      context.output.err() << "Revoke " << Printable(request.name())
                           << "? Type yes: " << std::flush;
      std::getline(std::cin, answer);
    }
    if (answer != "yes") {
      return absl::FailedPreconditionError("nothing was revoked; confirm with --yes");
    }
  }
  pb::RevokeSubKeyResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_CREATE_SUB_KEY,
                                &Stub::RevokeSubKey, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowSubKey(absl::StrCat("Revoked ", request.name()), response.sub_key(), &context.output);
  }
  return absl::OkStatus();
}

void AddCreateCommand(CLI::App* group, Context& context,
                      const std::shared_ptr<SubKeyOptions>& options) {
  CLI::App* create = AddGroupCommand(*group, context, options, "create",
                                     "Make a short-lived key and have it certified", Create);
  create->add_option("NAME", options->name, "Its id: 1 to 63 of a-z, 0-9 and '-'")->required();
  create->add_option("--card-key", options->card_key,
                     "The key on a card that certifies it; its slot holds an authority");
  create->add_option("--authority", options->authority,
                     "Instead: an authority of the sign service whose key is on a card");
  create->add_option("--algorithm", options->algorithm, "What it does")
      ->check(CLI::IsMember({"ed25519", "ecdsa-p256-sha256", "hpke-x25519"}))
      ->capture_default_str();
  create->add_option("--common-name", options->common_name,
                     "Of its certificates' subject (default: subKeys/NAME)");
  AddDurationOption(create, "--lifetime", &options->lifetime,
                    "Of each certificate, 1m to 1d (default: 1h)");
  create->add_option("--max-uses", options->max_uses, "Of each certificate's key; 0: no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  create->add_flag("--renew", options->renew,
                   "Have a new key and certificate made before the old one ends");
  create->add_flag("--log", options->log,
                   "Enter each certification in the ledger; with --authority");
}

}  // namespace

void AddYubikeySubKeyCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent) {
  CLI::App* subkey =
      group.add_subcommand("subkey", "Short-lived keys that a card has certified, fast to use");
  subkey->require_subcommand(1);
  const auto options = std::make_shared<SubKeyOptions>();
  options->agent = agent;
  const auto add_name = [&](CLI::App* command) {
    command->add_option("NAME", options->name, "The sub-key, or subKeys/NAME")->required();
    return command;
  };
  AddCreateCommand(subkey, context, options);
  AddGroupCommand(*subkey, context, options, "list", "List the sub-keys", List);
  add_name(AddGroupCommand(*subkey, context, options, "show", "Show a sub-key", Show))
      ->add_option("--chain", options->chain, "File for its certificate and its issuers', PEM");
  CLI::App* sign =
      add_name(AddGroupCommand(*subkey, context, options, "sign", "Sign a file", Sign));
  sign->add_option("FILE", options->file, "What to sign")->required();
  sign->add_option("-o,--out", options->out, "File for the signature; else standard output");
  CLI::App* decrypt = add_name(AddGroupCommand(*subkey, context, options, "decrypt",
                                               "Decrypt what was encrypted by HPKE", Decrypt));
  decrypt->add_option("FILE", options->file, "The encapsulated key, 32 bytes, then the ciphertext")
      ->required();
  decrypt->add_option("--info", options->info, "HPKE's info");
  decrypt->add_option("--aad", options->aad, "Additional authenticated data");
  decrypt->add_option("-o,--out", options->out,
                      "File for the plaintext, which nobody else can read; else standard output");
  add_name(AddGroupCommand(*subkey, context, options, "revoke", "Make a sub-key of no use, at once",
                           Revoke))
      ->add_flag("--yes", options->yes, "Do not ask");
}

}  // namespace countersign::cli
