#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/artifact.h"
#include "cli/commands.h"
#include "cli/report.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/trust.h"
#include "libs/bundle/verify.h"

namespace countersign::cli {
namespace {

struct VerifyOptions {
  std::string file;
  std::string bundle;
  std::string tlog_proof;
  std::string trust;
};

absl::StatusOr<bundle::TrustPolicy> LoadTrust(const std::string& path) {
  absl::StatusOr<std::string> text = base::ReadFile(path);
  if (absl::IsNotFound(text.status())) {
    return absl::NotFoundError(
        absl::StrCat("no trust file at ", path,
                     ", so there is nobody to trust; write one with `countersign "
                     "trust export`, or name one with --trust FILE"));
  }
  RETURN_IF_ERROR(text.status());
  absl::StatusOr<bundle::TrustPolicy> trust = bundle::TrustPolicy::Parse(*text);
  if (!trust.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", trust.status().message()));
  }
  return trust;
}

using Verifier = absl::StatusOr<bundle::Verdict> (*)(absl::string_view,
                                                     const bundle::ArtifactDigest&,
                                                     const bundle::TrustPolicy&);

absl::Status VerifyOne(const std::string& proof_file, Verifier verifier,
                       const bundle::ArtifactDigest& artifact, const bundle::TrustPolicy& trust,
                       std::vector<ProofReport>* reports) {
  ASSIGN_OR_RETURN(const std::string proof, base::ReadFile(proof_file));
  ASSIGN_OR_RETURN(bundle::Verdict verdict, verifier(proof, artifact, trust));
  reports->push_back({proof_file, std::move(verdict)});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ProofReport>> Verify(const Context& context,
                                                const VerifyOptions& options) {
  std::string bundle_file = options.bundle;
  std::string proof_file = options.tlog_proof;
  if (bundle_file.empty() && proof_file.empty()) {
    bundle_file = options.file + ".sigstore.json";
    proof_file = options.file + ".tlog-proof";
    const bool has_bundle = base::FileExists(bundle_file);
    const bool has_proof = base::FileExists(proof_file);
    if (!has_bundle && !has_proof) {
      return absl::NotFoundError(absl::StrCat("no proof beside ", options.file, ": neither ",
                                              bundle_file, " nor ", proof_file,
                                              " is there. Name one with --bundle or --tlog-proof"));
    }
    if (!has_bundle) bundle_file.clear();
    if (!has_proof) proof_file.clear();
  }
  ASSIGN_OR_RETURN(const bundle::TrustPolicy trust,
                   LoadTrust(options.trust.empty() ? context.data + "/trust.json" : options.trust));
  // Both proofs usually ask for the same digest: the file is read once.
  std::map<crypto::DigestAlgorithm, std::string> digests;
  const bundle::ArtifactDigest artifact =
      [&](crypto::DigestAlgorithm algorithm) -> absl::StatusOr<std::string> {
    auto found = digests.find(algorithm);
    if (found == digests.end()) {
      ASSIGN_OR_RETURN(std::string digest, DigestFile(options.file, algorithm));
      found = digests.emplace(algorithm, std::move(digest)).first;
    }
    return found->second;
  };
  std::vector<ProofReport> reports;
  if (!bundle_file.empty()) {
    RETURN_IF_ERROR(VerifyOne(bundle_file, &bundle::VerifyBundle, artifact, trust, &reports));
  }
  if (!proof_file.empty()) {
    RETURN_IF_ERROR(VerifyOne(proof_file, &bundle::VerifyTlogProof, artifact, trust, &reports));
  }
  return reports;
}

int Run(Context& context, const VerifyOptions& options) {
  const auto reports = Verify(context, options);
  if (!reports.ok()) return context.Fail(reports.status());
  if (context.json) {
    context.output.out() << ReportsJson(options.file, *reports);
  } else {
    PrintReports(options.file, *reports, &context.output);
  }
  for (const ProofReport& report : *reports) {
    if (!report.verdict.verified) return kExitNotVerified;
  }
  return kExitOk;
}

}  // namespace

void AddVerifyCommand(CLI::App& app, Context& context) {
  CLI::App* command =
      app.add_subcommand("verify", "Verify a signed file and its proofs, with nothing running");
  const auto options = std::make_shared<VerifyOptions>();
  command->add_option("FILE", options->file, "The file that was signed")->required();
  command->add_option("--bundle", options->bundle,
                      "Sigstore bundle; FILE.sigstore.json when no proof is named");
  command->add_option("--tlog-proof", options->tlog_proof,
                      "C2SP tlog-proof; FILE.tlog-proof when no proof is named");
  command->add_option("--trust", options->trust, "Trust file; DATA/trust.json when not given")
      ->envname("COUNTERSIGN_TRUST");
  command->callback([&context, options] {
    context.action = [&context, options] { return Run(context, *options); };
  });
}

}  // namespace countersign::cli
