#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/commands.h"
#include "cli/ledger_client.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/trust.h"
#include "libs/crypto/public_key.h"

namespace countersign::cli {
namespace {

struct TrustOptions {
  std::string log;
  std::string out;
  std::string sigstore;
  std::string policy;
  std::vector<std::string> keys;
};

// `name` is a key, for all its versions, or one version. A disabled version is not vouched for; a
// destroyed one is, for nobody can sign with it any more.
absl::Status AddSigners(Context& context, const std::string& name,
                        std::vector<bundle::TrustedSigner>* signers) {
  const std::string key = name.substr(0, name.find("/versions/"));
  ASSIGN_OR_RETURN(const auto versions, ListAllVersions(context, key));
  for (const sign::v1::KeyVersion& version : versions) {
    if (name != key && version.name() != name) continue;
    if (version.algorithm() == sign::v1::ALGORITHM_HPKE_X25519 ||
        version.state() == sign::v1::KEY_VERSION_STATE_DISABLED) {
      continue;
    }
    ASSIGN_OR_RETURN(crypto::PublicKey public_key, crypto::PublicKey::FromSpkiDer(version.spki()));
    signers->push_back({version.name(), std::move(public_key)});
  }
  return absl::OkStatus();
}

absl::StatusOr<bundle::TrustPolicy> Fetch(Context& context, const TrustOptions& options) {
  ASSIGN_OR_RETURN(const std::string log_name, ChooseLog(context, options.log));
  ASSIGN_OR_RETURN(const ledger::v1::Log log, FetchLog(context, log_name));
  std::vector<bundle::TrustedSigner> signers;
  if (options.keys.empty()) {
    ASSIGN_OR_RETURN(const std::vector<sign::v1::Key> keys, ListAllKeys(context));
    for (const sign::v1::Key& key : keys) {
      RETURN_IF_ERROR(AddSigners(context, key.name(), &signers));
    }
  }
  for (const std::string& key : options.keys) {
    RETURN_IF_ERROR(AddSigners(context, context.ResourceName("keys", key), &signers));
  }
  return bundle::TrustPolicy::Create(log.quorum_policy(), std::move(signers));
}

// "-" is standard output.
absl::Status Write(Context& context, const std::string& path, const std::string& text,
                   absl::string_view what) {
  if (path == "-") {
    context.output.out() << text;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(base::WriteFileDurably(path, text));
  if (!context.json) context.output.Field(what, path);
  return absl::OkStatus();
}

absl::Status Export(Context& context, const TrustOptions& options) {
  ASSIGN_OR_RETURN(const bundle::TrustPolicy trust, Fetch(context, options));
  std::string out = options.out;
  if (out.empty()) {
    RETURN_IF_ERROR(base::EnsureDirectory(context.data, 0700));
    out = context.data + "/trust.json";
  }
  if (context.json && out != "-") context.output.out() << trust.Format();
  if (!context.json && out != "-") {
    context.output.Headline(
        true, absl::StrCat("Trusting ", Count(trust.signers().size(), "signer", "signers"),
                           " and the log's policy"));
    for (const bundle::TrustedSigner& signer : trust.signers()) {
      context.output.Field("Signer",
                           absl::StrCat(signer.name, "  sha256:", signer.key.Fingerprint()));
    }
  }
  RETURN_IF_ERROR(Write(context, out, trust.Format(), "Trust file"));
  if (!options.sigstore.empty()) {
    RETURN_IF_ERROR(Write(context, options.sigstore, trust.SigstoreTrustedRoot(), "Sigstore"));
  }
  if (!options.policy.empty()) {
    RETURN_IF_ERROR(Write(context, options.policy, trust.policy_text(), "Policy"));
  }
  return absl::OkStatus();
}

}  // namespace

void AddTrustCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("trust", "Decide whom `verify` trusts");
  group->require_subcommand(1);
  const auto options = std::make_shared<TrustOptions>();
  CLI::App* command = group->add_subcommand(
      "export", "Write the trust file: the keys, the log, its witnesses and their quorum");
  command->add_option("--out", options->out,
                      "Where to; DATA/trust.json when not given, - for standard output");
  command->add_option("--sigstore", options->sigstore,
                      "Also write the log's key as Sigstore's trusted_root.json");
  command->add_option("--policy", options->policy, "Also write the C2SP tlog-policy");
  command->add_option("--log", options->log, "Log: its short or full resource name");
  command
      ->add_option("--key", options->keys,
                   "Trust only this key, or one version of it (repeatable); every key when not "
                   "given, but never disabled versions")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->callback([&context, options] {
    context.action = [&context, options] {
      const absl::Status status = Export(context, *options);
      return status.ok() ? kExitOk : context.Fail(status);
    };
  });
}

}  // namespace countersign::cli
