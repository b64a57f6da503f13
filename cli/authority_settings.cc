#include "cli/authority_settings.h"

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/durations.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;

// Empty words clear a list: `--ocsp-url ""`.
void Assign(const std::vector<std::string>& values,
            google::protobuf::RepeatedPtrField<std::string>* field) {
  field->Clear();
  for (const std::string& value : values) {
    if (!value.empty()) *field->Add() = value;
  }
}

void AddList(CLI::App* command, const char* name, std::optional<std::vector<std::string>>* values,
             const std::string& help) {
  command
      ->add_option_function<std::vector<std::string>>(
          name, [values](const std::vector<std::string>& given) { *values = given; }, help)
      ->type_name("TEXT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void AddText(CLI::App* command, const char* name, std::optional<std::string>* value,
             const std::string& help) {
  command
      ->add_option_function<std::string>(
          name, [value](const std::string& given) { *value = given; }, help)
      ->type_name("TEXT");
}

void AddSwitch(CLI::App* command, const std::string& name, std::optional<bool>* value,
               const std::string& help) {
  command->add_flag_function(
      absl::StrCat("--", name, ",!--no-", name), [value](int64_t count) { *value = count > 0; },
      help);
}

}  // namespace

void AddSettingsOptions(CLI::App* command, SettingsOptions* options) {
  AddText(
      command, "--public-url", &options->public_url,
      "Where the world finds the gateway: makes the OCSP, issuer and CRL URLs that are not given");
  AddList(command, "--ocsp-url", &options->ocsp_urls,
          "OCSP URL put into what it issues (repeatable; \"\" for none)");
  AddList(command, "--issuer-url", &options->issuer_urls,
          "URL of its certificate put into what it issues (repeatable; \"\" for none)");
  AddText(command, "--crl-url", &options->crl_url,
          "CRL URL put into what it issues; {shard} in it is the shard's number");
  command
      ->add_option_function<int>(
          "--crl-shards", [options](const int& given) { options->crl_shards = given; },
          "Number of CRLs that share the revocations; fixed once a certificate is issued")
      ->check(CLI::Range(1, 1024));
  AddDurationOption(command, "--crl-lifetime", &options->crl_lifetime, "Life of a CRL (7d)");
  AddDurationOption(command, "--ocsp-lifetime", &options->ocsp_lifetime,
                    "Life of an OCSP response (4d)");
  AddDurationOption(command, "--ocsp-max-age", &options->ocsp_max_age,
                    "How long caches may keep an OCSP response (1h)");
  AddSwitch(command, "ocsp-nonces", &options->ocsp_nonces,
            "Answer OCSP nonces, by signing each answer (RFC 9654)");
  AddSwitch(command, "ocsp-signed-unknown", &options->ocsp_signed_unknown,
            "Answer a signed unknown, not unauthorized, for a serial that was never issued");
  AddList(command, "--permit", &options->permitted,
          "Name constraint: example.com, 10.0.0.0/8, @example.com, uri:.example.com (repeatable)");
  AddList(command, "--exclude", &options->excluded, "Excluded names, as --permit (repeatable)");
  AddText(command, "--log", &options->log, "Log that its issuances are entered in when asked for");
}

bool AnyGiven(const SettingsOptions& options) {
  return options.public_url || options.ocsp_urls || options.issuer_urls || options.crl_url ||
         options.crl_shards || options.crl_lifetime || options.ocsp_lifetime ||
         options.ocsp_max_age || options.ocsp_nonces || options.ocsp_signed_unknown ||
         options.permitted || options.excluded || options.log;
}

void ApplySettings(const Context& context, const SettingsOptions& options, absl::string_view name,
                   pb::AuthoritySettings* settings) {
  if (options.crl_shards) settings->set_crl_shards(*options.crl_shards);
  if (options.public_url) {
    absl::string_view url = *options.public_url;
    absl::ConsumeSuffix(&url, "/");
    Assign({absl::StrCat(url, "/ocsp")}, settings->mutable_ocsp_urls());
    // What services/ocsp serves: /issuer/TENANT/AUTHORITY.der, /crl/TENANT/AUTHORITY/SHARD.crl.
    const std::string place = absl::StrReplaceAll(name, {{"tenants/", ""}, {"/authorities/", "/"}});
    Assign({absl::StrCat(url, "/issuer/", place, ".der")}, settings->mutable_issuer_urls());
    settings->set_crl_url(absl::StrCat(url, "/crl/", place, "/{shard}.crl"));
  }
  if (options.ocsp_urls) Assign(*options.ocsp_urls, settings->mutable_ocsp_urls());
  if (options.issuer_urls) Assign(*options.issuer_urls, settings->mutable_issuer_urls());
  if (options.crl_url) settings->set_crl_url(*options.crl_url);
  if (options.crl_lifetime) ToProto(*options.crl_lifetime, settings->mutable_crl_lifetime());
  if (options.ocsp_lifetime) ToProto(*options.ocsp_lifetime, settings->mutable_ocsp_lifetime());
  if (options.ocsp_max_age) ToProto(*options.ocsp_max_age, settings->mutable_ocsp_max_age());
  if (options.ocsp_nonces) settings->set_ocsp_nonces(*options.ocsp_nonces);
  if (options.ocsp_signed_unknown) settings->set_ocsp_signed_unknown(*options.ocsp_signed_unknown);
  if (options.permitted) Assign(*options.permitted, settings->mutable_permitted_names());
  if (options.excluded) Assign(*options.excluded, settings->mutable_excluded_names());
  if (options.log) {
    settings->set_log(options.log->empty() ? "" : context.ResourceName("logs", *options.log));
  }
}

}  // namespace countersign::cli
