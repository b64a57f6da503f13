#include <unistd.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/artifact.h"
#include "cli/command_group.h"
#include "cli/names.h"
#include "cli/yubikey_commands.h"
#include "cli/yubikey_names.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/public_key.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using Stub = pb::KeyService::Stub;

// What a card takes to sign by Ed25519.
constexpr size_t kMaxCardMessage = 2048;

struct KeyOptions {
  SharedAgentOptions agent;
  std::string key;
  std::string file;
  std::string out;
  std::string algorithm;
  std::string padding = "oaep-sha256";
};

absl::Status ListKeys(Context& context, const KeyOptions& options) {
  pb::ListKeysResponse response;
  RETURN_IF_ERROR(CallAgent(context, *options.agent, nullptr, &Stub::ListKeys,
                            pb::ListKeysRequest(), &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  if (response.keys().empty()) {
    context.output.Line("No keys yet. Make one: countersign yubikey generate SERIAL/9c");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"KEY", "ALGORITHM", "SLOTS"}};
  for (const pb::Key& key : response.keys()) {
    std::vector<std::string> slots;
    for (const std::string& slot : key.slots()) {
      slots.push_back(absl::StrCat(LastPart(CardOfSlot(slot)), "/", LastPart(slot)));
    }
    rows.push_back({LastPart(key.name()), AlgorithmText(key.algorithm()),
                    slots.empty() ? "-" : absl::StrJoin(slots, " ")});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::StatusOr<pb::Key> FetchKey(Context& context, const AgentOptions& agent,
                                 const std::string& name) {
  pb::GetKeyRequest request;
  request.set_name(name);
  pb::GetKeyResponse response;
  RETURN_IF_ERROR(CallAgent(context, agent, nullptr, &Stub::GetKey, request, &response));
  return response.key();
}

void TellAboutTouchOf(Context& context, const AgentOptions& agent, const pb::Key& key) {
  std::vector<std::string> cards;
  for (const std::string& slot : key.slots()) {
    pb::GetSlotRequest request;
    request.set_name(slot);
    pb::GetSlotResponse response;
    const absl::Status status =
        CallAgent(context, agent, nullptr, &pb::CardService::Stub::GetSlot, request, &response);
    const pb::TouchPolicy policy = response.slot().touch_policy();
    if (status.ok() && (policy == pb::TOUCH_POLICY_ALWAYS || policy == pb::TOUCH_POLICY_CACHED)) {
      cards.push_back(LastPart(CardOfSlot(slot)));
    }
  }
  if (cards.empty()) return;
  context.output.err() << "Touch the card " << Printable(absl::StrJoin(cards, " or "))
                       << " when it blinks\n"
                       << std::flush;
}

// The signature is checked before it is handed out, so that what a broken card made goes nowhere.
absl::Status CheckSignature(const pb::Key& key, const pb::SignResponse& response,
                            crypto::Algorithm algorithm, const std::string& digest) {
  if (!key.spki().empty() && key.spki() != response.spki()) {
    return absl::InternalError(absl::StrCat("the agent signed with another key than ", key.name(),
                                            "; nothing is written"));
  }
  ASSIGN_OR_RETURN(const crypto::PublicKey public_key,
                   crypto::PublicKey::FromSpkiDer(response.spki()));
  ASSIGN_OR_RETURN(const bool holds,
                   algorithm == crypto::Algorithm::kEd25519
                       ? public_key.VerifyMessage(algorithm, digest, response.signature())
                       : public_key.VerifyDigest(algorithm, digest, response.signature()));
  if (holds) return absl::OkStatus();
  return absl::InternalError("the signature does not hold; nothing is written");
}

absl::Status Sign(Context& context, const KeyOptions& options) {
  pb::SignRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), CardKeyName(options.key));
  RETURN_IF_ERROR(CheckResultPath(context, options.out));
  ASSIGN_OR_RETURN(const pb::Key key, FetchKey(context, *options.agent, request.name()));
  pb::Algorithm proto_algorithm = key.algorithm();
  if (!options.algorithm.empty()) {
    ASSIGN_OR_RETURN(proto_algorithm, ParseCardAlgorithm(options.algorithm));
  }
  if (proto_algorithm == pb::ALGORITHM_UNSPECIFIED) {
    return absl::FailedPreconditionError(
        absl::StrCat("the agent does not say how ", request.name(),
                     " signs; say it by --algorithm, or name another key"));
  }
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm, AlgorithmFromProto(proto_algorithm));
  request.set_algorithm(proto_algorithm);
  if (algorithm == crypto::Algorithm::kEd25519) {
    ASSIGN_OR_RETURN(*request.mutable_digest(), base::ReadFile(options.file));
    if (request.digest().size() > kMaxCardMessage) {
      return absl::InvalidArgumentError(
          absl::StrCat(options.file, " is longer than the ", kMaxCardMessage,
                       " bytes that a card signs by Ed25519; use an ECDSA key, or a sub-key"));
    }
  } else {
    ASSIGN_OR_RETURN(*request.mutable_digest(),
                     DigestFile(options.file, crypto::DigestFor(algorithm)));
  }
  TellAboutTouchOf(context, *options.agent, key);
  pb::SignResponse response;
  RETURN_IF_ERROR(
      CallInSession(context, *options.agent, pb::OPERATION_SIGN, &Stub::Sign, request, &response));
  RETURN_IF_ERROR(CheckSignature(key, response, algorithm, request.digest()));
  return WriteResult(context, response, response.signature(), options.out, 0644);
}

absl::Status Decrypt(Context& context, const KeyOptions& options) {
  pb::DecryptRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), CardKeyName(options.key));
  RETURN_IF_ERROR(CheckResultPath(context, options.out));
  ASSIGN_OR_RETURN(*request.mutable_ciphertext(), base::ReadFile(options.file));
  ASSIGN_OR_RETURN(const int padding, ParseEnum(pb::RsaEncryption_descriptor(), options.padding));
  request.set_encryption(static_cast<pb::RsaEncryption>(padding));
  TellAboutTouch(context, *options.agent, request.name());
  pb::DecryptResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_DECRYPT, &Stub::Decrypt,
                                request, &response));
  const FieldWiper wiper(response.mutable_plaintext());
  return WriteResult(context, response, response.plaintext(), options.out, 0600);
}

}  // namespace

absl::Status CheckResultPath(const Context& context, const std::string& path) {
  if (!path.empty() || context.json || isatty(STDOUT_FILENO) != 1) return absl::OkStatus();
  return absl::InvalidArgumentError("the answer is no text for terminals: name a file by --out");
}

absl::Status WriteResult(Context& context, const google::protobuf::Message& response,
                         absl::string_view data, const std::string& path, uint32_t mode) {
  if (!path.empty()) RETURN_IF_ERROR(base::WriteFileDurably(path, data, mode));
  if (context.json) {
    context.PrintJson(response);
  } else if (path.empty()) {
    context.output.out() << data;
  } else {
    context.output.Headline(true, absl::StrCat("Wrote ", path));
  }
  return absl::OkStatus();
}

void TellAboutTouch(Context& context, const AgentOptions& options, const std::string& key) {
  const absl::StatusOr<pb::Key> found = FetchKey(context, options, key);
  if (found.ok()) TellAboutTouchOf(context, options, *found);
}

void AddYubikeyKeyCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent) {
  const auto options = std::make_shared<KeyOptions>();
  options->agent = agent;
  const auto add_key = [&](CLI::App* command) {
    command->add_option("KEY", options->key, "SERIAL/SLOT, a fingerprint, or an alias")->required();
    return command;
  };
  AddGroupCommand(group, context, options, "keys", "List the keys on the cards, and the aliases",
                  ListKeys);
  CLI::App* sign =
      add_key(AddGroupCommand(group, context, options, "sign", "Sign a file's digest", Sign));
  sign->add_option("FILE", options->file, "What to sign")->required();
  sign->add_option("--algorithm", options->algorithm,
                   "How; of RSA keys PSS too (default: as the key says)")
      ->check(CLI::IsMember(CardAlgorithmNames()));
  sign->add_option("-o,--out", options->out, "File for the signature; else standard output");

  CLI::App* decrypt = add_key(AddGroupCommand(group, context, options, "decrypt",
                                              "Decrypt what was encrypted to an RSA key", Decrypt));
  decrypt->add_option("FILE", options->file, "The ciphertext")->required();
  decrypt->add_option("--padding", options->padding, "How it is padded")
      ->check(CLI::IsMember(EnumNames(pb::RsaEncryption_descriptor())))
      ->capture_default_str();
  decrypt->add_option("-o,--out", options->out,
                      "File for the plaintext, which nobody else can read; else standard output");
}

}  // namespace countersign::cli
