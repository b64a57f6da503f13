#include "cli/certificate_request.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/random.h"
#include "libs/crypto/secret.h"
#include "libs/pki/csr.h"
#include "libs/pki/general_name.h"
#include "libs/pki/name.h"
#include "libs/pki/pem.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using crypto::Algorithm;

constexpr char kKeyLabel[] = "PRIVATE KEY";

// A PKCS#8 file does not say what its key is for; an RSA key signs its request by PKCS#1 v1.5,
// which everybody reads.
constexpr Algorithm kRequestAlgorithms[] = {Algorithm::kEcdsaP256Sha256,
                                            Algorithm::kEcdsaP384Sha384,
                                            Algorithm::kEd25519,
                                            Algorithm::kRsaPkcs1_2048Sha256,
                                            Algorithm::kRsaPkcs1_3072Sha256,
                                            Algorithm::kRsaPkcs1_4096Sha256};

absl::StatusOr<crypto::PrivateKey> ReadKey(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, base::ReadFile(path));
  const auto wipe_text = absl::MakeCleanup([&text] { crypto::Wipe(text.data(), text.size()); });
  absl::StatusOr<std::string> der = pki::DerFromDerOrPem(text, kKeyLabel);
  if (!der.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " holds no private key in PKCS#8 (\"PRIVATE KEY\"): ", der.status().message()));
  }
  const auto wipe_der = absl::MakeCleanup([&der] { crypto::Wipe(der->data(), der->size()); });
  const crypto::SecretBytes secret(*der);
  for (const Algorithm algorithm : kRequestAlgorithms) {
    absl::StatusOr<crypto::PrivateKey> key = crypto::PrivateKey::FromPkcs8(secret, algorithm);
    if (key.ok()) return key;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path, " holds no key of a kind known here: P-256, P-384, Ed25519, or RSA of 2048, ",
      "3072 or 4096 bits"));
}

absl::StatusOr<crypto::PrivateKey> MakeKey(const std::string& path) {
  if (base::FileExists(path)) {
    return absl::AlreadyExistsError(
        absl::StrCat(path, " is there already; name another file, or use its key by --key ", path));
  }
  ASSIGN_OR_RETURN(crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  ASSIGN_OR_RETURN(const crypto::SecretBytes der, key.ToPkcs8());
  std::string pem = pki::FormatPem(kKeyLabel, der.Expose(crypto::SecretAccess::Grant()));
  const absl::Status written = base::WriteFileDurably(path, pem, 0600);
  crypto::Wipe(pem.data(), pem.size());
  RETURN_IF_ERROR(written);
  return key;
}

absl::StatusOr<std::vector<pki::GeneralName>> ParseNames(const RequestOptions& options) {
  std::vector<pki::GeneralName> names;
  const std::pair<absl::string_view, const std::vector<std::string>&> kinds[] = {
      {"DNS:", options.dns}, {"IP:", options.ip}, {"email:", options.email}, {"URI:", options.uri}};
  for (const auto& [prefix, values] : kinds) {
    for (const std::string& value : values) {
      ASSIGN_OR_RETURN(pki::GeneralName name, pki::ParseGeneralName(absl::StrCat(prefix, value)));
      names.push_back(std::move(name));
    }
  }
  return names;
}

// Fills in CSR and key; names and subject go into a request made here, or beside one that was
// given.
absl::Status FillCsr(const RequestOptions& options, PreparedRequest* prepared) {
  pb::IssueCertificateRequest& request = prepared->request;
  ASSIGN_OR_RETURN(const std::vector<pki::GeneralName> names, ParseNames(options));
  pki::Name subject;
  if (!options.subject.empty()) {
    absl::StatusOr<pki::Name> parsed = pki::ParseNameText(options.subject);
    if (!parsed.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--subject ", options.subject, ": ", parsed.status().message()));
    }
    subject = *std::move(parsed);
  }
  if (!options.csr_file.empty()) {
    ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(options.csr_file));
    absl::StatusOr<pki::Csr> csr = pki::ParseCsrDerOrPem(bytes);
    if (!csr.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          options.csr_file, " holds no certification request: ", csr.status().message()));
    }
    prepared->spki_der = csr->spki_der;
    request.set_csr(std::move(csr->der));
    request.set_subject(options.subject);
    for (const pki::GeneralName& name : names) {
      request.add_subject_alt_names(pki::FormatGeneralName(name));
    }
    return absl::OkStatus();
  }
  // Last, so that a new key is made only for a request that can be.
  ASSIGN_OR_RETURN(const crypto::PrivateKey key, options.new_key_file.empty()
                                                     ? ReadKey(options.key_file)
                                                     : MakeKey(options.new_key_file));
  prepared->new_key_file = options.new_key_file;
  prepared->spki_der = key.public_key().spki_der();
  ASSIGN_OR_RETURN(*request.mutable_csr(), pki::BuildCsr(subject, names, key));
  return absl::OkStatus();
}

}  // namespace

void AddRequestOptions(CLI::App* command, RequestOptions* options) {
  command->add_option("CSR", options->csr_file, "Certification request, PKCS#10 in PEM or DER");
  command->add_option("--new-key", options->new_key_file,
                      "Instead of a request: make a P-256 key and write it here");
  command->add_option("--key", options->key_file,
                      "Instead of a request: the private key in this file, PKCS#8");
  // A root's certificate is `ca create`'s alone.
  std::vector<std::string> profiles = EnumNames(pb::CertificateProfile_descriptor());
  profiles.erase(std::remove(profiles.begin(), profiles.end(), "root-ca"), profiles.end());
  command->add_option("--profile", options->profile, "What the certificate is for")
      ->check(CLI::IsMember(profiles))
      ->required();
  const auto add_names = [&](const char* name, std::vector<std::string>* values, const char* help) {
    command->add_option(name, *values, help)
        ->expected(1)
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  };
  add_names("--dns", &options->dns, "DNS name; with a request, instead of its names (repeatable)");
  add_names("--ip", &options->ip, "IP address (repeatable)");
  add_names("--email", &options->email, "E-mail address (repeatable)");
  add_names("--uri", &options->uri, "URI (repeatable)");
  command->add_option("--subject", options->subject,
                      "Subject, \"CN=name,O=organisation\"; with a request, instead of its own");
  AddDurationOption(
      command, "--lifetime", &options->lifetime,
      "How long it shall be valid (90d, 12h, …); the profile's usual life when not given");
  command->add_option("--owner", options->owner, "The team that answers for it");
  command->add_option("--environment", options->environment, "Where it is used: production, …");
  add_names("--label", &options->labels, "NAME=VALUE (repeatable)");
  command->add_option("--replaces", options->replaces,
                      "The certificate whose place it takes: its serial number or resource name");
}

absl::StatusOr<PreparedRequest> PrepareRequest(const Context& context,
                                               const RequestOptions& options) {
  const int sources = (options.csr_file.empty() ? 0 : 1) + (options.new_key_file.empty() ? 0 : 1) +
                      (options.key_file.empty() ? 0 : 1);
  if (sources != 1) {
    return absl::InvalidArgumentError(
        "name one of: a file with a certification request, --new-key FILE, --key FILE");
  }
  PreparedRequest prepared;
  pb::IssueCertificateRequest& request = prepared.request;
  if (!options.authority.empty()) {
    request.set_parent(context.ResourceName("authorities", options.authority));
  }
  ASSIGN_OR_RETURN(const int profile,
                   ParseEnum(pb::CertificateProfile_descriptor(), options.profile));
  request.set_profile(static_cast<pb::CertificateProfile>(profile));
  if (options.lifetime.has_value()) ToProto(*options.lifetime, request.mutable_lifetime());
  request.set_owner_team(options.owner);
  request.set_environment(options.environment);
  for (const std::string& label : options.labels) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(label, absl::MaxSplits('=', 1));
    (*request.mutable_labels())[parts.first] = parts.second;
  }
  if (!options.log.empty()) request.set_log(context.ResourceName("logs", options.log));
  if (!options.replaces.empty()) {
    request.set_replaces(context.ResourceName("certificates", options.replaces));
  }
  request.set_request_id(crypto::RandomUuid());
  const absl::Status filled = FillCsr(options, &prepared);
  if (!filled.ok()) return DropNewKey(prepared, filled);
  return prepared;
}

absl::Status DropNewKey(const PreparedRequest& prepared, const absl::Status& status) {
  if (prepared.new_key_file.empty()) return status;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kAborted: {
      absl::Status kept(status.code(),
                        absl::StrCat(status.message(), "; its key stays in ", prepared.new_key_file,
                                     ": go on with --key ", prepared.new_key_file));
      status.ForEachPayload([&kept](absl::string_view type, const absl::Cord& payload) {
        kept.SetPayload(type, payload);
      });
      return kept;
    }
    default:
      unlink(prepared.new_key_file.c_str());
      return status;
  }
}

std::string OutputStem(const RequestOptions& options) {
  std::string path = options.csr_file;
  if (path.empty()) path = options.new_key_file.empty() ? options.key_file : options.new_key_file;
  absl::string_view stem = path;
  for (const absl::string_view ending : {".pem", ".der"}) absl::ConsumeSuffix(&stem, ending);
  for (const absl::string_view ending : {".csr", ".req", ".key", ".p8"}) {
    absl::ConsumeSuffix(&stem, ending);
  }
  return std::string(stem.empty() ? absl::string_view(path) : stem);
}

}  // namespace countersign::cli
