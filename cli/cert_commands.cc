#include "cli/cert_commands.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/certificate_filter.h"
#include "cli/command_group.h"
#include "cli/commands.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/pki/certificate.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::CertificateService::Stub;

constexpr int kPageSize = 1000;
constexpr int kImportBatch = 1000;

struct CertOptions {
  std::string name;
  std::vector<std::string> files;
  FilterOptions filter;
  uint64_t limit = 100;
  bool pem = false;
  bool chain = false;
  std::string out;
  std::string reason;
  std::string owner;
  std::string environment;
  bool set_owner = false;
  bool set_environment = false;
  std::string status;
  bool yes = false;
};

// The resource name of a full or short name, a serial number, or of the certificate in a file.
absl::StatusOr<std::string> ResolveName(const Context& context, const std::string& given) {
  if (access(given.c_str(), R_OK) == 0) {
    ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(given));
    absl::StatusOr<pki::Certificate> certificate = pki::ParseCertificateDerOrPem(bytes);
    if (!certificate.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat(given, " holds no certificate: ", certificate.status().message()));
    }
    return context.ResourceName("certificates", certificate->SerialHex());
  }
  return context.ResourceName("certificates", given);
}

absl::Status Find(Context& context, const CertOptions& options) {
  const absl::Time now = absl::Now();
  pb::ListCertificatesRequest request;
  request.set_parent(context.TenantName());
  ASSIGN_OR_RETURN(*request.mutable_filter(), MakeFilter(context, options.filter, now));
  request.set_include_der(options.pem);
  pb::ListCertificatesResponse all;
  const uint64_t limit = options.limit == 0 ? UINT64_MAX : options.limit;
  uint64_t found = 0;
  do {
    request.set_page_size(static_cast<int>(std::min<uint64_t>(limit - found, kPageSize)));
    pb::ListCertificatesResponse page;
    RETURN_IF_ERROR(CallSign(context, &Stub::ListCertificates, request, &page));
    for (pb::Certificate& certificate : *page.mutable_certificates()) {
      *all.add_certificates() = std::move(certificate);
    }
    found = static_cast<uint64_t>(all.certificates_size());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && found < limit);
  all.set_next_page_token(request.page_token());
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  if (options.pem) {
    for (const pb::Certificate& certificate : all.certificates()) {
      context.output.out() << CertificatePem(certificate.der());
    }
    return absl::OkStatus();
  }
  if (all.certificates().empty()) {
    context.output.Line("No certificate is found.");
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {
      {"CERTIFICATE", "FOR", "OWNER", "ENVIRONMENT", "STATUS", "EXPIRES", "LEFT"}};
  const auto dash = [](const std::string& text) { return text.empty() ? "-" : text; };
  for (const pb::Certificate& certificate : all.certificates()) {
    std::string names = certificate.subject();
    if (!certificate.host_names().empty()) {
      names = certificate.host_names(0);
      if (certificate.host_names_size() > 1) {
        absl::StrAppend(&names, " +", certificate.host_names_size() - 1);
      }
    }
    const absl::Time not_after = FromProto(certificate.not_after());
    rows.push_back({LastPart(certificate.name()), dash(names), dash(certificate.owner_team()),
                    dash(certificate.environment()),
                    EnumText(pb::CertificateStatus_descriptor(), certificate.status()),
                    absl::FormatTime("%Y-%m-%d %H:%M", not_after, absl::UTCTimeZone()),
                    not_after < now ? "expired" : DurationText(not_after - now)});
  }
  context.output.Table(rows);
  if (!all.next_page_token().empty()) {
    context.output.err() << "There are more than these " << found
                         << ": narrow the search, or show more by --limit N (0: all)\n";
  }
  return absl::OkStatus();
}

absl::StatusOr<pb::GetCertificateResponse> Fetch(Context& context, const std::string& given) {
  pb::GetCertificateRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), ResolveName(context, given));
  pb::GetCertificateResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::GetCertificate, request, &response));
  return response;
}

absl::Status Get(Context& context, const CertOptions& options) {
  ASSIGN_OR_RETURN(const pb::GetCertificateResponse response, Fetch(context, options.name));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  context.output.Field("Certificate", response.certificate().name(), Tone::kStrong);
  ShowCertificate(response.certificate(), absl::Now(), &context.output);
  return absl::OkStatus();
}

absl::Status Export(Context& context, const CertOptions& options) {
  ASSIGN_OR_RETURN(const pb::GetCertificateResponse response, Fetch(context, options.name));
  const std::string& der = response.certificate().der();
  const std::string pem =
      options.chain ? ChainPem(der, {response.issuers().begin(), response.issuers().end()})
                    : CertificatePem(der);
  if (options.out.empty()) {
    if (context.json) {
      context.PrintJson(response);
    } else {
      context.output.out() << pem;
    }
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(base::WriteFileDurably(options.out, pem));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(true, absl::StrCat("Wrote ", options.out));
  }
  return absl::OkStatus();
}

absl::Status Import(Context& context, const CertOptions& options) {
  pb::ImportCertificatesRequest request;
  request.set_parent(context.TenantName());
  request.set_owner_team(options.owner);
  request.set_environment(options.environment);
  pb::ImportCertificatesResponse all;
  for (size_t i = 0; i < options.files.size(); ++i) {
    ASSIGN_OR_RETURN(*request.add_certificates(), base::ReadFile(options.files[i]));
    if (request.certificates_size() < kImportBatch && i + 1 < options.files.size()) continue;
    pb::ImportCertificatesResponse response;
    RETURN_IF_ERROR(CallSign(context, &Stub::ImportCertificates, request, &response));
    for (pb::Certificate& certificate : *response.mutable_certificates()) {
      *all.add_certificates() = std::move(certificate);
    }
    request.clear_certificates();
  }
  if (context.json) {
    context.PrintJson(all);
    return absl::OkStatus();
  }
  context.output.Headline(
      true, absl::StrCat("Tracking ", Count(static_cast<uint64_t>(all.certificates_size()),
                                            "certificate", "certificates")));
  for (const pb::Certificate& certificate : all.certificates()) {
    context.output.Field("",
                         absl::StrCat(LastPart(certificate.name()), "  ", certificate.subject()));
  }
  return absl::OkStatus();
}

absl::Status Update(Context& context, const CertOptions& options) {
  pb::BulkUpdateCertificatesRequest request;
  request.set_parent(context.TenantName());
  ASSIGN_OR_RETURN(*request.mutable_filter(),
                   MakeNarrowFilter(context, options.filter, absl::Now()));
  if (options.set_owner) request.set_owner_team(options.owner);
  if (options.set_environment) request.set_environment(options.environment);
  if (!options.status.empty()) {
    ASSIGN_OR_RETURN(const int status,
                     ParseEnum(pb::CertificateStatus_descriptor(), options.status));
    request.set_status(static_cast<pb::CertificateStatus>(status));
  } else if (!options.set_owner && !options.set_environment) {
    return absl::InvalidArgumentError(
        "say what to change: --set-owner, --set-environment, --set-status");
  }
  pb::BulkUpdateCertificatesResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::BulkUpdateCertificates, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(
        true, absl::StrCat("Changed ", Count(static_cast<uint64_t>(response.updated()),
                                             "certificate", "certificates")));
  }
  return absl::OkStatus();
}

absl::Status Confirm(Context& context, const CertOptions& options, const std::string& what) {
  if (options.yes) return absl::OkStatus();
  std::string answer;
  if (isatty(STDIN_FILENO) == 1) {
    context.output.err() << Printable(what) << "? Type yes: " << std::flush;
    std::getline(std::cin, answer);
  }
  if (answer == "yes") return absl::OkStatus();
  return absl::FailedPreconditionError("nothing was revoked; confirm with --yes");
}

// Every certificate of a key, a fingerprint or an owner.
absl::Status RevokeMany(Context& context, const CertOptions& options) {
  ASSIGN_OR_RETURN(const pb::CertificateFilter filter,
                   MakeFilter(context, options.filter, absl::Now()));
  pb::BatchRevokeCertificatesRequest request;
  request.set_parent(context.TenantName());
  request.set_reason(ParseReason(options.reason));
  request.set_request_id(crypto::RandomUuid());
  std::string what;
  if (!filter.fingerprint_sha256().empty()) {
    request.set_fingerprint_sha256(filter.fingerprint_sha256());
    what = absl::StrCat("of fingerprint ", filter.fingerprint_sha256());
  } else if (!filter.key_fingerprint().empty()) {
    request.set_key_fingerprint(filter.key_fingerprint());
    what = absl::StrCat("of the key ", filter.key_fingerprint());
  } else {
    request.set_owner_team(filter.owner_team());
    what = absl::StrCat("of ", filter.owner_team());
  }
  RETURN_IF_ERROR(Confirm(context, options, absl::StrCat("Revoke every certificate ", what)));
  pb::BatchRevokeCertificatesResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::BatchRevokeCertificates, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  context.output.Headline(
      true, absl::StrCat("Revoked ", Count(static_cast<uint64_t>(response.names_size()),
                                           "certificate", "certificates")));
  for (const std::string& name : response.names()) context.output.Field("", LastPart(name));
  return absl::OkStatus();
}

absl::Status Revoke(Context& context, const CertOptions& options) {
  const int selectors =
      (options.name.empty() ? 0 : 1) + (options.filter.fingerprint.empty() ? 0 : 1) +
      (options.filter.key_fingerprint.empty() ? 0 : 1) + (options.filter.owner.empty() ? 0 : 1);
  if (selectors != 1) {
    return absl::InvalidArgumentError(
        "name one of: a certificate, --fingerprint, --key-fingerprint, --owner");
  }
  if (options.name.empty()) return RevokeMany(context, options);
  pb::RevokeCertificateRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), ResolveName(context, options.name));
  request.set_reason(ParseReason(options.reason));
  request.set_request_id(crypto::RandomUuid());
  pb::RevokeCertificateResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::RevokeCertificate, request, &response));
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  const pb::Certificate& certificate = response.certificate();
  const bool held = certificate.status() == pb::CERTIFICATE_STATUS_ON_HOLD;
  context.output.Headline(
      true, absl::StrCat(held ? "On hold: " : "Revoked ", LastPart(certificate.name())));
  ShowCertificate(certificate, absl::Now(), &context.output);
  return absl::OkStatus();
}

absl::Status Release(Context& context, const CertOptions& options) {
  pb::ReleaseCertificateRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), ResolveName(context, options.name));
  request.set_request_id(crypto::RandomUuid());
  pb::ReleaseCertificateResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::ReleaseCertificate, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(true,
                            absl::StrCat("Released ", LastPart(response.certificate().name())));
  }
  return absl::OkStatus();
}

void AddRevokeCommand(CLI::App& group, Context& context,
                      const std::shared_ptr<CertOptions>& options) {
  CLI::App* revoke = AddGroupCommand(group, context, options, "revoke",
                                     "Revoke a certificate, or all of a key or an owner", Revoke);
  revoke->add_option("CERTIFICATE", options->name,
                     "Its serial number in hex, resource name, or a file with it");
  revoke->add_option("--reason", options->reason, "Why (RFC 5280)")
      ->check(CLI::IsMember(ReasonNames()));
  revoke->add_option("--fingerprint", options->filter.fingerprint,
                     "Instead: the certificate of this SHA-256, in hex");
  revoke->add_option("--key-fingerprint", options->filter.key_fingerprint,
                     "Instead: every certificate of the key of this SHA-256, in hex");
  revoke->add_option("--owner", options->filter.owner, "Instead: every certificate of this team");
  revoke->add_flag("--yes", options->yes, "Do not ask before revoking many");
}

}  // namespace

void AddCertCommands(CLI::App& app, Context& context) {
  CLI::App* group = app.add_subcommand("cert", "Issue, find, renew and revoke certificates");
  group->require_subcommand(1);
  const auto options = std::make_shared<CertOptions>();
  const auto add_name = [&](CLI::App* command) {
    command
        ->add_option("CERTIFICATE", options->name,
                     "Its serial number in hex, resource name, or a file with it")
        ->required();
  };
  AddCertIssueCommand(*group, context);

  CLI::App* find = AddGroupCommand(*group, context, options, "find",
                                   "Find certificates, those that expire first coming first", Find);
  AddFilterOptions(find, &options->filter);
  find->add_option("--limit", options->limit, "The most to show; 0 for all")->capture_default_str();
  find->add_flag("--pem", options->pem, "Print the certificates themselves");

  add_name(AddGroupCommand(*group, context, options, "get", "Show a certificate", Get));
  AddCertRenewCommand(*group, context);
  AddRevokeCommand(*group, context, options);
  add_name(
      AddGroupCommand(*group, context, options, "release", "End a certificate's hold", Release));

  CLI::App* exported =
      AddGroupCommand(*group, context, options, "export", "Print a certificate as PEM", Export);
  add_name(exported);
  exported->add_flag("--chain", options->chain, "With its intermediates, as servers need it");
  exported->add_option("--out", options->out, "Write a file instead");

  CLI::App* import = AddGroupCommand(*group, context, options, "import",
                                     "Track other authorities' certificates", Import);
  import->add_option("FILE", options->files, "Certificates, PEM (any number) or DER")->required();
  import->add_option("--owner", options->owner, "The team that answers for them");
  import->add_option("--environment", options->environment, "Where they are used");

  CLI::App* update = AddGroupCommand(*group, context, options, "update",
                                     "Change owner, environment or status of many", Update);
  AddFilterOptions(update, &options->filter);
  const auto add_change = [&](const char* name, std::string* value, bool* given, const char* help) {
    update->add_option_function<std::string>(
        name,
        [value, given](const std::string& text) {
          *value = text;
          *given = true;
        },
        help);
  };
  add_change("--set-owner", &options->owner, &options->set_owner, "New owner; \"\" for none");
  add_change("--set-environment", &options->environment, &options->set_environment,
             "New environment; \"\" for none");
  update->add_option("--set-status", options->status, "New status")
      ->check(CLI::IsMember({"active", "replaced", "retired"}));
}

}  // namespace countersign::cli
