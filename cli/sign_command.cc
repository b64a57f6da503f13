#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/artifact.h"
#include "cli/commands.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/bundle.h"
#include "libs/bundle/proofs.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "libs/crypto/random.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::SignService::Stub;
using nlohmann::ordered_json;

struct SignOptions {
  std::vector<std::string> files;
  std::string key;
  std::string ledger = "cosigned";
  std::string log;
  std::string bundle;
  std::string tlog_proof;
};

// What became of one file.
struct Signed {
  std::string file;
  std::string bundle_file;
  std::string proof_file;
  crypto::DigestAlgorithm digest_algorithm = crypto::DigestAlgorithm::kNone;
  std::string digest;
  pb::Signature signature;
};

pb::LedgerWait ParseLedger(const std::string& ledger) {
  if (ledger == "none") return pb::LEDGER_WAIT_NONE;
  if (ledger == "sequenced") return pb::LEDGER_WAIT_SEQUENCED;
  if (ledger == "integrated") return pb::LEDGER_WAIT_INTEGRATED;
  return pb::LEDGER_WAIT_COSIGNED;
}

// The key that --key names, or the tenant's only key that signs.
absl::StatusOr<pb::Key> ChooseKey(Context& context, const std::string& name) {
  if (!name.empty()) {
    pb::GetKeyRequest request;
    std::string key = context.ResourceName("keys", name);
    request.set_name(key.substr(0, key.find("/versions/")));
    pb::GetKeyResponse response;
    const absl::Status status = CallSign(context, &Stub::GetKey, request, &response);
    if (absl::IsNotFound(status)) {
      return absl::NotFoundError(absl::StrCat("there is no key ", request.name(),
                                              "; `countersign keys list` shows those there are"));
    }
    RETURN_IF_ERROR(status);
    return response.key();
  }
  ASSIGN_OR_RETURN(const std::vector<pb::Key> keys, ListAllKeys(context));
  std::vector<pb::Key> signing;
  std::vector<std::string> names;
  for (const pb::Key& key : keys) {
    if (key.algorithm() == pb::ALGORITHM_HPKE_X25519) continue;
    signing.push_back(key);
    names.push_back(LastPart(key.name()));
  }
  if (signing.empty()) {
    return absl::FailedPreconditionError(
        "there is no key to sign with; make one: countersign keys create NAME");
  }
  if (signing.size() > 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("choose a key with --key: ", absl::StrJoin(names, ", ")));
  }
  return signing[0];
}

// The files' contents when the signature is in the log, with a proof.
absl::StatusOr<bundle::Proofs> LoggedProofs(const Signed& done) {
  const pb::LedgerProof& proof = done.signature.ledger_proof();
  bundle::LoggedSignature logged;
  logged.canonicalized_body = proof.canonicalized_body();
  logged.index = proof.index();
  logged.tree_size = proof.tree_size();
  logged.hashes.assign(proof.hashes().begin(), proof.hashes().end());
  logged.checkpoint = proof.checkpoint();
  logged.log_key_id = proof.log_key_id();
  absl::StatusOr<bundle::Proofs> proofs = bundle::MakeProofs(logged);
  if (!proofs.ok()) {
    return absl::DataLossError(
        absl::StrCat("the services answered a proof that does not hold, nothing was written: ",
                     proofs.status().message()));
  }
  if (proofs->entry.digest != done.digest ||
      proofs->entry.signature != done.signature.signature()) {
    return absl::DataLossError(absl::StrCat("the services logged another signature than that of ",
                                            done.file, ", nothing was written"));
  }
  return proofs;
}

// A bundle without a log entry: the signature and the key's hint.
absl::StatusOr<std::string> BareBundle(Context& context, const Signed& done) {
  pb::GetPublicKeyRequest request;
  request.set_name(done.signature.key_version());
  pb::GetPublicKeyResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::GetPublicKey, request, &response));
  ASSIGN_OR_RETURN(const crypto::PublicKey key, crypto::PublicKey::FromSpkiDer(response.spki()));
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm,
                   AlgorithmFromProto(done.signature.algorithm()));
  ASSIGN_OR_RETURN(const bool holds,
                   key.VerifyDigest(algorithm, done.digest, done.signature.signature()));
  if (!holds) {
    return absl::DataLossError("the service answered a signature that does not hold");
  }
  bundle::Bundle bare;
  bare.key_hint = bundle::KeyHint(key.spki_der());
  bare.content =
      bundle::MessageSignature{done.digest_algorithm, done.digest, done.signature.signature()};
  return bundle::FormatBundle(bare);
}

absl::StatusOr<Signed> SignOne(Context& context, const SignOptions& options,
                               const std::string& key_name,
                               crypto::DigestAlgorithm digest_algorithm, const std::string& file) {
  Signed done;
  done.file = file;
  done.digest_algorithm = digest_algorithm;
  ASSIGN_OR_RETURN(done.digest, DigestFile(file, digest_algorithm));
  pb::SignRequest request;
  request.set_name(key_name);
  request.set_digest(done.digest);
  request.set_ledger(ParseLedger(options.ledger));
  if (!options.log.empty()) request.set_log(context.ResourceName("logs", options.log));
  request.set_request_id(crypto::RandomUuid());
  pb::SignResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::Sign, request, &response));
  done.signature = response.signature();
  done.bundle_file = options.bundle.empty() ? file + ".sigstore.json" : options.bundle;
  const std::string proof_file =
      options.tlog_proof.empty() ? file + ".tlog-proof" : options.tlog_proof;
  if (done.signature.ledger_proof().tree_size() == 0) {
    ASSIGN_OR_RETURN(const std::string bare, BareBundle(context, done));
    RETURN_IF_ERROR(base::WriteFileDurably(done.bundle_file, bare));
    return done;
  }
  ASSIGN_OR_RETURN(const bundle::Proofs proofs, LoggedProofs(done));
  RETURN_IF_ERROR(base::WriteFileDurably(done.bundle_file, proofs.sigstore_bundle));
  RETURN_IF_ERROR(base::WriteFileDurably(proof_file, proofs.tlog_proof));
  done.proof_file = proof_file;
  return done;
}

void Show(const Signed& done, Output* output) {
  const pb::Signature& signature = done.signature;
  output->Headline(true, absl::StrCat("Signed ", done.file));
  output->Field("Signed by", signature.key_version(), Tone::kStrong);
  output->Field("Algorithm", AlgorithmText(signature.algorithm()));
  output->Field("Digest", absl::StrCat(crypto::DigestName(done.digest_algorithm), ":",
                                       base::HexEncode(done.digest)));
  if (signature.has_ledger_proof()) {
    const pb::LedgerProof& proof = signature.ledger_proof();
    output->Field("Log", absl::StrCat(proof.log_origin(), ", entry ", proof.index(),
                                      proof.tree_size() == 0
                                          ? std::string(", no proof waited for")
                                          : absl::StrCat(" in a tree of ", proof.tree_size())));
  } else {
    output->Field("Log", "not logged, so `verify` will not accept it");
  }
  output->Field("Bundle", done.bundle_file);
  if (!done.proof_file.empty()) output->Field("Log proof", done.proof_file);
}

ordered_json ToJson(const Signed& done) {
  ordered_json object = {{"file", done.file},
                         {"keyVersion", done.signature.key_version()},
                         {"algorithm", AlgorithmText(done.signature.algorithm())},
                         {"digest",
                          {{"algorithm", std::string(crypto::DigestName(done.digest_algorithm))},
                           {"hex", base::HexEncode(done.digest)}}},
                         {"signature", base::Base64Encode(done.signature.signature())},
                         {"bundle", done.bundle_file}};
  if (!done.proof_file.empty()) object["tlogProof"] = done.proof_file;
  if (done.signature.has_ledger_proof()) {
    const pb::LedgerProof& proof = done.signature.ledger_proof();
    object["log"] = {
        {"origin", proof.log_origin()}, {"index", proof.index()}, {"treeSize", proof.tree_size()}};
  }
  return object;
}

absl::Status SignAll(Context& context, const SignOptions& options) {
  if (options.files.size() > 1 && !(options.bundle.empty() && options.tlog_proof.empty())) {
    return absl::InvalidArgumentError("--bundle and --tlog-proof name the output of one file only");
  }
  ASSIGN_OR_RETURN(const pb::Key key, ChooseKey(context, options.key));
  ASSIGN_OR_RETURN(const crypto::Algorithm algorithm, AlgorithmFromProto(key.algorithm()));
  const std::string name =
      options.key.empty() ? key.name() : context.ResourceName("keys", options.key);
  if (!crypto::CanSign(algorithm)) {
    return absl::InvalidArgumentError(absl::StrCat(name, " is a key for ",
                                                   crypto::AlgorithmName(algorithm),
                                                   ", which encrypts and does not sign"));
  }
  ordered_json results = ordered_json::array();
  for (size_t i = 0; i < options.files.size(); ++i) {
    absl::StatusOr<Signed> done =
        SignOne(context, options, name, crypto::SignedDigest(algorithm), options.files[i]);
    if (!done.ok()) {
      if (i == 0 || context.json) return done.status();
      return absl::Status(done.status().code(),
                          absl::StrCat(done.status().message(), " (", i, " of ",
                                       options.files.size(), " files are signed)"));
    }
    if (context.json) {
      results.push_back(ToJson(*done));
    } else {
      if (i > 0) context.output.Line();
      Show(*done, &context.output);
    }
  }
  if (context.json) {
    context.output.out() << results.dump(2, ' ', false, ordered_json::error_handler_t::replace)
                         << "\n";
  }
  return absl::OkStatus();
}

}  // namespace

void AddSignCommand(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand(
      "sign", "Sign files, log the signatures and keep their proofs beside them");
  const auto options = std::make_shared<SignOptions>();
  command->add_option("FILE", options->files, "Files to sign, of any size")->required();
  command->add_option("--key", options->key,
                      "Key, or one version of it; not needed when there is one");
  command
      ->add_option("--ledger", options->ledger, "How far the signature must have come in the log")
      ->check(CLI::IsMember({"none", "sequenced", "integrated", "cosigned"}))
      ->capture_default_str();
  command->add_option("--log", options->log, "Log; the sign service's own when not given");
  command->add_option("--bundle", options->bundle, "Where to write the Sigstore bundle");
  command->add_option("--tlog-proof", options->tlog_proof, "Where to write the C2SP tlog-proof");
  command->callback([&context, options] {
    context.action = [&context, options] {
      const absl::Status status = SignAll(context, *options);
      return status.ok() ? kExitOk : context.Fail(status);
    };
  });
}

}  // namespace countersign::cli
