#include <unistd.h>

#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::SignService::Stub;

struct KeyOptions {
  std::string name;
  int version = 0;
  std::string algorithm;
  std::string owner;
  std::vector<std::string> labels;
  std::string yubikey;
  bool generate = false;
  bool yes = false;
};

std::string StateText(pb::KeyVersionState state) {
  switch (state) {
    case pb::KEY_VERSION_STATE_ENABLED:
      return "enabled";
    case pb::KEY_VERSION_STATE_DISABLED:
      return "disabled";
    case pb::KEY_VERSION_STATE_DESTROYED:
      return "destroyed";
    default:
      return "unknown";
  }
}

void ShowVersions(Context& context, const std::vector<pb::KeyVersion>& versions,
                  const std::string& primary) {
  std::vector<std::vector<std::string>> rows = {{"VERSION", "STATE", "CREATED", "FINGERPRINT"}};
  for (const pb::KeyVersion& version : versions) {
    rows.push_back({absl::StrCat(LastPart(version.name()), version.name() == primary ? " *" : ""),
                    StateText(version.state()), TimeText(version.create_time()),
                    version.fingerprint()});
  }
  context.output.Table(rows);
}

// What a key is made for when nothing is said.
constexpr char kDefaultAlgorithm[] = "ecdsa-p256-sha256";

// The card key that the options name; nullopt for none.
absl::StatusOr<std::optional<pb::KeyBackend>> BackendOf(const KeyOptions& options) {
  if (options.yubikey.empty()) {
    if (!options.generate) return std::nullopt;
    return absl::InvalidArgumentError(
        "--generate makes a key in the slot that --yubikey names: give both");
  }
  pb::KeyBackend backend;
  backend.mutable_yubikey()->set_key(options.yubikey);
  backend.mutable_yubikey()->set_generate(options.generate);
  return backend;
}

void ShowBackend(Output& output, const pb::Key& key) {
  if (!key.has_backend()) return;
  const std::string& name = key.backend().yubikey().key();
  output.Field("YubiKey", name.empty() ? "none: every version is destroyed" : name);
}

absl::Status Create(Context& context, const KeyOptions& options) {
  pb::CreateKeyRequest request;
  request.set_parent(context.TenantName());
  request.set_key_id(options.name);
  request.set_request_id(crypto::RandomUuid());
  ASSIGN_OR_RETURN(const auto backend, BackendOf(options));
  if (backend.has_value()) *request.mutable_key()->mutable_backend() = *backend;
  // A key that a card has says itself what it is for.
  if (!options.algorithm.empty() || !backend.has_value() || options.generate) {
    ASSIGN_OR_RETURN(
        const crypto::Algorithm algorithm,
        crypto::ParseAlgorithm(options.algorithm.empty() ? kDefaultAlgorithm : options.algorithm));
    request.mutable_key()->set_algorithm(AlgorithmToProto(algorithm));
  }
  request.mutable_key()->set_owner(options.owner);
  for (const std::string& label : options.labels) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(label, absl::MaxSplits('=', 1));
    (*request.mutable_key()->mutable_labels())[parts.first] = parts.second;
  }
  pb::CreateKeyResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::CreateKey, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Headline(true, absl::StrCat("Created key ", LastPart(response.key().name())));
  output.Field("Name", response.key().name());
  output.Field("Algorithm", AlgorithmText(response.key().algorithm()));
  ShowBackend(output, response.key());
  output.Field("Fingerprint", absl::StrCat("sha256:", response.key_version().fingerprint()));
  return absl::OkStatus();
}

absl::Status List(Context& context) {
  ASSIGN_OR_RETURN(const std::vector<pb::Key> keys, ListAllKeys(context));
  if (context.json) {
    pb::ListKeysResponse all;
    for (const pb::Key& key : keys) *all.add_keys() = key;
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (keys.empty()) {
    context.output.Line("No keys yet. Make one: countersign keys create NAME");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {
      {"KEY", "ALGORITHM", "PRIMARY", "OWNER", "CREATED"}};
  for (const pb::Key& key : keys) {
    rows.push_back({LastPart(key.name()), AlgorithmText(key.algorithm()),
                    key.primary_version().empty() ? "none" : LastPart(key.primary_version()),
                    key.owner().empty() ? "-" : key.owner(), TimeText(key.create_time())});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::Status Get(Context& context, const KeyOptions& options) {
  pb::GetKeyRequest request;
  request.set_name(context.ResourceName("keys", options.name));
  pb::GetKeyResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::GetKey, request, &response));
  const pb::Key& key = response.key();
  ASSIGN_OR_RETURN(const auto versions, ListAllVersions(context, key.name()));
  if (context.json) {
    pb::ListKeyVersionsResponse all;
    for (const pb::KeyVersion& version : versions) *all.add_key_versions() = version;
    context.output.out() << "{\"key\": " << context.ToJson(key)
                         << ", \"versions\": " << context.ToJson(all) << "}\n";
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Field("Key", key.name(), Tone::kStrong);
  output.Field("Algorithm", AlgorithmText(key.algorithm()));
  ShowBackend(output, key);
  if (!key.owner().empty()) output.Field("Owner", key.owner());
  for (const auto& [name, value] : key.labels()) {
    output.Field("Label", absl::StrCat(name, "=", value));
  }
  output.Field("Created", TimeText(key.create_time()));
  output.Line();
  ShowVersions(context, versions, key.primary_version());
  return absl::OkStatus();
}

absl::Status Rotate(Context& context, const KeyOptions& options) {
  pb::RotateKeyRequest request;
  request.set_name(context.ResourceName("keys", options.name));
  request.set_request_id(crypto::RandomUuid());
  ASSIGN_OR_RETURN(const auto backend, BackendOf(options));
  if (backend.has_value()) *request.mutable_backend() = *backend;
  pb::RotateKeyResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::RotateKey, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Headline(true, absl::StrCat("Rotated key ", LastPart(response.key().name())));
  output.Field("Version", absl::StrCat(response.key_version().name(), " is now primary"));
  output.Field("Fingerprint", absl::StrCat("sha256:", response.key_version().fingerprint()));
  output.Field("Next", "run `countersign trust export` again, so that verifiers know it");
  return absl::OkStatus();
}

// NAME/versions/N, or NAME and --version N.
absl::StatusOr<std::string> VersionName(const Context& context, const KeyOptions& options) {
  const std::string name = context.ResourceName("keys", options.name);
  if (absl::StrContains(name, "/versions/")) return name;
  if (options.version <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("say which version of ", options.name,
                                                   ": --version N; see `countersign keys get ",
                                                   options.name, "`"));
  }
  return absl::StrCat(name, "/versions/", options.version);
}

template <typename Request, typename Response>
absl::Status ChangeVersion(Context& context, const KeyOptions& options, absl::string_view done,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Response*)) {
  ASSIGN_OR_RETURN(const std::string name, VersionName(context, options));
  Request request;
  request.set_name(name);
  request.set_request_id(crypto::RandomUuid());
  Response response;
  RETURN_IF_ERROR(CallSign(context, method, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(true, absl::StrCat(done, " ", response.key_version().name()));
  }
  return absl::OkStatus();
}

absl::Status Destroy(Context& context, const KeyOptions& options) {
  ASSIGN_OR_RETURN(const std::string name, VersionName(context, options));
  if (!options.yes) {
    std::string answer;
    if (isatty(STDIN_FILENO) == 1) {
      context.output.err() << "Destroy " << Printable(name)
                           << " for good? It can never sign again. Type yes: " << std::flush;
      std::getline(std::cin, answer);
    }
    if (answer != "yes") {
      return absl::FailedPreconditionError(
          absl::StrCat("nothing was destroyed; confirm with --yes to destroy ", name));
    }
  }
  return ChangeVersion(context, options, "Destroyed", &Stub::DestroyKeyVersion);
}

absl::Status ShowPublicKey(Context& context, const KeyOptions& options) {
  pb::GetPublicKeyRequest request;
  std::string name = context.ResourceName("keys", options.name);
  if (options.version > 0) absl::StrAppend(&name, "/versions/", options.version);
  request.set_name(name);
  pb::GetPublicKeyResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::GetPublicKey, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.out() << response.pem();
  }
  return absl::OkStatus();
}

}  // namespace

void AddKeysCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("keys", "Create, show, rotate and retire keys");
  group->require_subcommand(1);
  const auto options = std::make_shared<KeyOptions>();
  const auto add_name = [&](CLI::App* command) {
    command->add_option("NAME", options->name, "Key: its short or its full resource name")
        ->required();
  };
  const auto add_backend = [&](CLI::App* command) {
    command->add_option("--yubikey", options->yubikey,
                        "Key on a card: cards/SERIAL/slots/SLOT, keys/FINGERPRINT or keys/ALIAS");
    command->add_flag("--generate", options->generate,
                      "Make the key on the card, in the empty slot that --yubikey names");
  };
  const auto add_version = [&](CLI::App* command) {
    command->add_option("--version", options->version, "Number of the key's version")
        ->check(CLI::PositiveNumber);
  };

  CLI::App* create = AddGroupCommand(*group, context, options, "create", "Make a key", Create);
  add_name(create);
  create->add_option("--algorithm", options->algorithm, "What the key does, and how")
      ->check(CLI::IsMember(KeyAlgorithmNames()))
      ->default_str(absl::StrCat(kDefaultAlgorithm, ", or what the card's key is"));
  add_backend(create);
  create->add_option("--owner", options->owner, "Who answers for the key");
  create->add_option("--label", options->labels, "NAME=VALUE (repeatable)")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);

  AddGroupCommand(*group, context, options, "list", "List the tenant's keys",
                  [](Context& c, const KeyOptions&) { return List(c); });
  add_name(AddGroupCommand(*group, context, options, "get", "Show a key and its versions", Get));
  CLI::App* rotate = AddGroupCommand(*group, context, options, "rotate",
                                     "Make a new version, which signs from now on", Rotate);
  add_name(rotate);
  add_backend(rotate);

  CLI::App* disable = AddGroupCommand(
      *group, context, options, "disable", "Stop a version's use until it is enabled again",
      [](Context& c, const KeyOptions& o) {
        return ChangeVersion(c, o, "Disabled", &Stub::DisableKeyVersion);
      });
  add_name(disable);
  add_version(disable);
  CLI::App* enable =
      AddGroupCommand(*group, context, options, "enable", "Allow a disabled version again",
                      [](Context& c, const KeyOptions& o) {
                        return ChangeVersion(c, o, "Enabled", &Stub::EnableKeyVersion);
                      });
  add_name(enable);
  add_version(enable);
  CLI::App* destroy = AddGroupCommand(*group, context, options, "destroy",
                                      "Erase a version's private key for good", Destroy);
  add_name(destroy);
  add_version(destroy);
  destroy->add_flag("--yes", options->yes, "Do not ask");
  CLI::App* public_key = AddGroupCommand(*group, context, options, "public-key",
                                         "Print the public key as PEM", ShowPublicKey);
  add_name(public_key);
  add_version(public_key);
}

}  // namespace countersign::cli
