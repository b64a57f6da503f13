#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/commands.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/bundle.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/crypto/public_key.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

using bundle::Bundle;
using bundle::HashedRekord;
using bundle::LogEntry;
using nlohmann::ordered_json;

void ShowEntry(const LogEntry& entry, Output* output) {
  output->Line();
  output->Line(absl::StrCat("Log entry (", entry.kind, " ", entry.version, ")"), Tone::kStrong);
  output->Field("Index", absl::StrCat(entry.log_index));
  output->Field("Log id", base::HexEncode(entry.log_id));
  output->Field("Tree size", absl::StrCat(entry.inclusion_proof.tree_size));
  output->Field("Path", Count(entry.inclusion_proof.hashes.size(), "hash", "hashes"));
  const absl::StatusOr<HashedRekord> logged = bundle::ParseHashedRekord(entry.canonicalized_body);
  if (!logged.ok()) {
    output->Field("Entry", logged.status().message(), Tone::kBad);
  } else {
    output->Field("Algorithm", crypto::AlgorithmName(logged->algorithm));
    output->Field("Digest", absl::StrCat(crypto::DigestName(logged->digest_algorithm), ":",
                                         base::HexEncode(logged->digest)));
    const auto key = bundle::SignerKey(*logged);
    output->Field("Key", key.ok() ? absl::StrCat("sha256:", key->Fingerprint())
                                  : std::string(key.status().message()));
  }
  const char* label = "Checkpoint";
  for (absl::string_view line : absl::StrSplit(entry.inclusion_proof.checkpoint, '\n')) {
    output->Field(label, line);
    label = "";
  }
}

void Show(const Bundle& document, Output* output) {
  output->Line("Sigstore bundle v0.3. What it claims; nothing is verified here:", Tone::kQuiet);
  output->Line();
  if (document.certificate_der.empty()) {
    output->Field("Key hint", document.key_hint);
  } else {
    output->Field("Certificate", Count(document.certificate_der.size(), "byte", "bytes"));
  }
  if (const auto* message = std::get_if<bundle::MessageSignature>(&document.content)) {
    output->Field("Digest", absl::StrCat(crypto::DigestName(message->digest_algorithm), ":",
                                         base::HexEncode(message->digest)));
    output->Field("Signature", base::Base64Encode(message->signature));
  } else {
    const auto& envelope = std::get<bundle::DsseEnvelope>(document.content);
    output->Field("Envelope", envelope.payload_type);
    output->Field("Payload", Count(envelope.payload.size(), "byte", "bytes"));
    for (const bundle::DsseSignature& signature : envelope.signatures) {
      output->Field("Signature", base::Base64Encode(signature.signature));
    }
  }
  output->Field("Timestamps", absl::StrCat(document.rfc3161_timestamps.size()));
  if (document.log_entries.empty()) output->Field("Log entries", "none");
  for (const LogEntry& entry : document.log_entries) ShowEntry(entry, output);
}

// The document with the entries' bytes opened up.
absl::StatusOr<std::string> InspectJson(const Bundle& document) {
  ordered_json entries = ordered_json::array();
  for (const LogEntry& entry : document.log_entries) {
    ordered_json body =
        ordered_json::parse(entry.canonicalized_body, nullptr, /*allow_exceptions=*/false);
    if (body.is_discarded()) body = nullptr;
    entries.push_back(
        {{"body", std::move(body)}, {"checkpoint", entry.inclusion_proof.checkpoint}});
  }
  const ordered_json root = {{"bundle", ordered_json::parse(bundle::FormatBundle(document))},
                             {"entries", std::move(entries)}};
  return root.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

absl::Status Inspect(Context& context, const std::string& file) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(file));
  const absl::StatusOr<Bundle> document = bundle::ParseBundle(text);
  if (!document.ok()) {
    return absl::Status(document.status().code(),
                        absl::StrCat(file, ": ", document.status().message()));
  }
  if (!context.json) {
    Show(*document, &context.output);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::string json, InspectJson(*document));
  context.output.out() << json;
  return absl::OkStatus();
}

}  // namespace

void AddBundleCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("bundle", "Look into proof bundles");
  group->require_subcommand(1);
  CLI::App* command = group->add_subcommand("inspect", "Show what a bundle claims");
  const auto file = std::make_shared<std::string>();
  command->add_option("FILE", *file, "The bundle")->required();
  command->callback([&context, file] {
    context.action = [&context, file] {
      const absl::Status status = Inspect(context, *file);
      return status.ok() ? kExitOk : context.Fail(status);
    };
  });
}

}  // namespace countersign::cli
