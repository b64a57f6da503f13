#include "cli/ca_commands.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/authority_settings.h"
#include "cli/cert_commands.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "countersign/sign/v1/authority_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/pki/certificate.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::AuthorityService::Stub;

struct CaOptions {
  std::string name;
  std::string subject;
  std::string issuer;
  std::string algorithm;
  std::string key;
  std::optional<absl::Duration> lifetime;
  std::optional<int> path_length;
  SettingsOptions settings;
  bool pem = false;
};

std::string LifeText(const google::protobuf::Duration& duration) {
  return DurationText(absl::Seconds(duration.seconds()));
}

// The key version called `given`, or the primary one of the key called so.
absl::StatusOr<std::string> KeyVersionName(Context& context, const std::string& given) {
  std::string name = context.ResourceName("keys", given);
  if (absl::StrContains(name, "/versions/")) return name;
  pb::GetKeyRequest request;
  request.set_name(std::move(name));
  pb::GetKeyResponse response;
  RETURN_IF_ERROR(CallSign(context, &pb::SignService::Stub::GetKey, request, &response));
  if (response.key().primary_version().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("every version of ", request.name(), " is destroyed"));
  }
  return response.key().primary_version();
}

absl::Status Create(Context& context, const CaOptions& options) {
  pb::CreateAuthorityRequest request;
  request.set_parent(context.TenantName());
  request.set_authority_id(options.name);
  request.set_request_id(crypto::RandomUuid());
  pb::Authority& authority = *request.mutable_authority();
  authority.set_subject(options.subject);
  if (!options.issuer.empty()) {
    authority.set_issuer(context.ResourceName("authorities", options.issuer));
  }
  if (!options.key.empty()) {
    if (!options.algorithm.empty()) {
      return absl::InvalidArgumentError("--key and --algorithm exclude each other");
    }
    ASSIGN_OR_RETURN(*authority.mutable_key_version(), KeyVersionName(context, options.key));
  } else {
    ASSIGN_OR_RETURN(const crypto::Algorithm algorithm,
                     crypto::ParseAlgorithm(options.algorithm.empty() ? "ecdsa-p256-sha256"
                                                                      : options.algorithm));
    authority.set_algorithm(AlgorithmToProto(algorithm));
  }
  if (options.lifetime.has_value()) {
    ToProto(absl::Now() + *options.lifetime, authority.mutable_not_after());
  }
  // A root has no reason to bound what stands below it; who signs certificates of servers has no
  // authority below.
  authority.set_path_length(options.path_length.value_or(options.issuer.empty() ? -1 : 0));
  ApplySettings(context, options.settings, context.ResourceName("authorities", options.name),
                authority.mutable_settings());
  pb::CreateAuthorityResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::CreateAuthority, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  ShowAuthority(absl::StrCat("Created authority ", options.name), response.authority(),
                &context.output);
  return absl::OkStatus();
}

absl::Status List(Context& context, const CaOptions& /*options*/) {
  pb::ListAuthoritiesRequest request;
  request.set_parent(context.TenantName());
  request.set_page_size(1000);
  pb::ListAuthoritiesResponse all;
  do {
    pb::ListAuthoritiesResponse page;
    RETURN_IF_ERROR(CallSign(context, &Stub::ListAuthorities, request, &page));
    for (pb::Authority& authority : *page.mutable_authorities()) {
      *all.add_authorities() = std::move(authority);
    }
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (all.authorities().empty()) {
    context.output.Line(
        "No authorities yet. Make a root: countersign ca create root --subject \"CN=My Root\"");
    return absl::OkStatus();
  }
  const absl::Time now = absl::Now();
  std::vector<std::vector<std::string>> rows = {
      {"AUTHORITY", "SUBJECT", "ISSUER", "ALGORITHM", "STATE", "EXPIRES"}};
  for (const pb::Authority& authority : all.authorities()) {
    rows.push_back({LastPart(authority.name()), authority.subject(),
                    authority.issuer().empty() ? "-" : LastPart(authority.issuer()),
                    AlgorithmText(authority.algorithm()),
                    authority.disabled() ? "disabled" : "enabled",
                    Distance(FromProto(authority.not_after()), now)});
  }
  context.output.Table(rows);
  return absl::OkStatus();
}

absl::StatusOr<pb::Authority> Fetch(Context& context, const std::string& name) {
  pb::GetAuthorityRequest request;
  request.set_name(context.ResourceName("authorities", name));
  pb::GetAuthorityResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::GetAuthority, request, &response));
  return response.authority();
}

absl::Status Get(Context& context, const CaOptions& options) {
  ASSIGN_OR_RETURN(const pb::Authority authority, Fetch(context, options.name));
  if (context.json) {
    context.PrintJson(authority);
  } else if (options.pem) {
    for (const std::string& der : authority.chain()) context.output.out() << CertificatePem(der);
  } else {
    ShowAuthority("", authority, &context.output);
  }
  return absl::OkStatus();
}

absl::Status SendUpdate(Context& context, const pb::Authority& authority, const char* path,
                        const std::string& headline) {
  pb::UpdateAuthorityRequest request;
  *request.mutable_authority() = authority;
  request.mutable_update_mask()->add_paths(path);
  request.set_request_id(crypto::RandomUuid());
  pb::UpdateAuthorityResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::UpdateAuthority, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowAuthority(headline, response.authority(), &context.output);
  }
  return absl::OkStatus();
}

absl::Status Update(Context& context, const CaOptions& options) {
  if (!AnyGiven(options.settings)) {
    return absl::InvalidArgumentError(
        "say what to change; `countersign ca update --help` lists the settings");
  }
  ASSIGN_OR_RETURN(pb::Authority authority, Fetch(context, options.name));
  ApplySettings(context, options.settings, authority.name(), authority.mutable_settings());
  return SendUpdate(context, authority, "settings",
                    absl::StrCat("Changed authority ", LastPart(authority.name())));
}

absl::Status SetDisabled(Context& context, const CaOptions& options, bool disabled) {
  pb::Authority authority;
  authority.set_name(context.ResourceName("authorities", options.name));
  authority.set_disabled(disabled);
  return SendUpdate(context, authority, "disabled",
                    absl::StrCat(disabled ? "Disabled authority " : "Enabled authority ",
                                 LastPart(authority.name())));
}

absl::Status RotateOcspSigner(Context& context, const CaOptions& options) {
  pb::RotateOcspSignerRequest request;
  request.set_name(context.ResourceName("authorities", options.name));
  request.set_request_id(crypto::RandomUuid());
  pb::RotateOcspSignerResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::RotateOcspSigner, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowAuthority(absl::StrCat("A new OCSP signer answers for ", options.name),
                  response.authority(), &context.output);
  }
  return absl::OkStatus();
}

void ShowSettings(const pb::AuthoritySettings& settings, Output* output) {
  const auto field = [&](absl::string_view label, const std::string& value) {
    if (!value.empty()) output->Field(label, value);
  };
  for (const std::string& url : settings.ocsp_urls()) field("OCSP URL", url);
  for (const std::string& url : settings.issuer_urls()) field("Issuer URL", url);
  field("CRL URL", settings.crl_url());
  if (settings.crl_shards() > 1) field("CRL shards", absl::StrCat(settings.crl_shards()));
  if (settings.has_crl_lifetime()) field("CRL life", LifeText(settings.crl_lifetime()));
  if (settings.has_ocsp_lifetime()) {
    field("OCSP life", absl::StrCat(LifeText(settings.ocsp_lifetime()),
                                    settings.ocsp_nonces() ? ", answers nonces" : "",
                                    settings.ocsp_signed_unknown() ? ", signs unknown" : ""));
  }
  field("Permitted", absl::StrJoin(settings.permitted_names(), ", "));
  field("Excluded", absl::StrJoin(settings.excluded_names(), ", "));
  field("Log", settings.log());
}

}  // namespace

void ShowAuthority(absl::string_view headline, const pb::Authority& authority, Output* output) {
  if (!headline.empty()) output->Headline(true, headline);
  const absl::Time now = absl::Now();
  output->Field("Authority", authority.name(), Tone::kStrong);
  output->Field("Subject", authority.subject());
  if (!authority.issuer().empty()) output->Field("Issuer", authority.issuer());
  output->Field("Algorithm", AlgorithmText(authority.algorithm()));
  output->Field("Key", authority.key_version());
  output->Field("State", authority.disabled() ? "disabled: issues no more" : "enabled",
                authority.disabled() ? Tone::kBad : Tone::kPlain);
  output->Field("Path length",
                authority.path_length() < 0 ? "no limit" : absl::StrCat(authority.path_length()));
  output->Field("Expires", absl::StrCat(TimeText(authority.not_after()), ", ",
                                        Distance(FromProto(authority.not_after()), now)));
  output->Field("Serial", authority.serial_number());
  output->Field("SHA-256", authority.fingerprint_sha256());
  const auto signer = pki::ParseCertificate(authority.ocsp_signer());
  if (signer.ok()) {
    output->Field("OCSP signer", absl::StrCat(signer->SerialHex(), ", expires ",
                                              Distance(signer->not_after, now)));
  }
  if (!authority.cross_certificates().empty()) {
    output->Field("Cross-signed", Count(static_cast<uint64_t>(authority.cross_certificates_size()),
                                        "time", "times"));
  }
  ShowSettings(authority.settings(), output);
}

void AddCaCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("ca", "Certificate authorities");
  group->require_subcommand(1);
  const auto options = std::make_shared<CaOptions>();
  const auto add_name = [&](CLI::App* command) {
    command->add_option("CA", options->name, "Authority: its short or its full resource name")
        ->required();
  };

  CLI::App* create =
      AddGroupCommand(*group, context, options, "create",
                      "Make a root authority, or with --issuer an intermediate one", Create);
  create->add_option("NAME", options->name, "Its id: 1 to 63 of a-z, 0-9 and '-'")->required();
  create->add_option("--subject", options->subject, "Its name, \"CN=Example Root,O=Example,C=DE\"")
      ->required();
  create->add_option("--issuer", options->issuer, "The authority above it; a root when not given");
  create
      ->add_option("--algorithm", options->algorithm, "Of its new key (default: ecdsa-p256-sha256)")
      ->check(CLI::IsMember(KeyAlgorithmNames()));
  create->add_option("--key", options->key,
                     "Use this key, or KEY/versions/N, instead of a new one");
  AddDurationOption(create, "--lifetime", &options->lifetime,
                    "How long it is valid (default: 10y for a root, else 5y)");
  create
      ->add_option_function<int>(
          "--path-length", [options](const int& length) { options->path_length = length; },
          "How many authorities may stand below it; -1 for no limit (default: a root -1, else 0)")
      ->check(CLI::Range(-1, 100));
  AddSettingsOptions(create, &options->settings);

  AddGroupCommand(*group, context, options, "list", "List the tenant's authorities", List);
  CLI::App* get = AddGroupCommand(*group, context, options, "get", "Show an authority", Get);
  add_name(get);
  get->add_flag("--pem", options->pem, "Print its certificate and its issuers' instead");
  AddCaFileCommands(*group, context);
  CLI::App* update = AddGroupCommand(*group, context, options, "update",
                                     "Change the settings that are given", Update);
  add_name(update);
  AddSettingsOptions(update, &options->settings);
  add_name(AddGroupCommand(*group, context, options, "disable",
                           "Let it issue no more; it still answers for what it issued",
                           [](Context& c, const CaOptions& o) { return SetDisabled(c, o, true); }));
  add_name(
      AddGroupCommand(*group, context, options, "enable", "Let it issue again",
                      [](Context& c, const CaOptions& o) { return SetDisabled(c, o, false); }));
  add_name(AddGroupCommand(*group, context, options, "rotate-ocsp-signer",
                           "Have a new delegated signer answer OCSP", RotateOcspSigner));
}

}  // namespace countersign::cli
