#include "cli/certificate_filter.h"

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "libs/base/status_macros.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;

// Hex as openssl prints it ("sha256 Fingerprint=AB:CD…", without the words) or as we do.
std::string PlainHex(absl::string_view text) {
  absl::ConsumePrefix(&text, "sha256:");
  return absl::StrReplaceAll(absl::AsciiStrToLower(text), {{":", ""}});
}

}  // namespace

void AddFilterOptions(CLI::App* command, FilterOptions* options) {
  AddDurationOption(command, "--expires-within", &options->expires_within,
                    "Those that expire from now on, within 30d, 12h, …");
  command->add_flag("--expired", options->expired, "Those that have expired");
  command->add_option("--owner", options->owner, "Those of this team");
  command->add_option("--environment", options->environment, "Those used here: production, …");
  command->add_option("--host", options->host,
                      "Those with this DNS name or address, as it stands in the certificate");
  command->add_option("--status", options->statuses, "Those in this status (repeatable)")
      ->check(CLI::IsMember(EnumNames(pb::CertificateStatus_descriptor())))
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--ca", options->authority, "Those that this authority issued");
  command->add_option("--fingerprint", options->fingerprint, "SHA-256 of the certificate, in hex");
  command->add_option("--key-fingerprint", options->key_fingerprint,
                      "SHA-256 of the public key (SubjectPublicKeyInfo), in hex");
  command->add_option("--serial", options->serial, "Serial number in hex");
}

absl::StatusOr<pb::CertificateFilter> MakeFilter(const Context& context,
                                                 const FilterOptions& options, absl::Time now) {
  pb::CertificateFilter filter;
  if (options.expires_within.has_value()) {
    // Both together: what has expired, and what soon will have.
    if (!options.expired) ToProto(now, filter.mutable_expires_from());
    ToProto(now + *options.expires_within, filter.mutable_expires_before());
  } else if (options.expired) {
    ToProto(now, filter.mutable_expires_before());
  }
  filter.set_owner_team(options.owner);
  filter.set_environment(options.environment);
  filter.set_host_name(absl::AsciiStrToLower(options.host));
  for (const std::string& name : options.statuses) {
    ASSIGN_OR_RETURN(const int status, ParseEnum(pb::CertificateStatus_descriptor(), name));
    filter.add_statuses(static_cast<pb::CertificateStatus>(status));
  }
  if (!options.authority.empty()) {
    filter.set_authority(context.ResourceName("authorities", options.authority));
  }
  filter.set_fingerprint_sha256(PlainHex(options.fingerprint));
  filter.set_key_fingerprint(PlainHex(options.key_fingerprint));
  filter.set_serial_number(PlainHex(options.serial));
  return filter;
}

absl::StatusOr<pb::CertificateFilter> MakeNarrowFilter(const Context& context,
                                                       const FilterOptions& options,
                                                       absl::Time now) {
  ASSIGN_OR_RETURN(pb::CertificateFilter filter, MakeFilter(context, options, now));
  if (filter.ByteSizeLong() == 0) {
    return absl::InvalidArgumentError(
        "say which certificates: --ca, --owner, --environment, --host, --expires-within, …");
  }
  return filter;
}

}  // namespace countersign::cli
