#include <unistd.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/authority_settings.h"
#include "cli/ca_commands.h"
#include "cli/cert_commands.h"
#include "cli/command_group.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "cli/sign_client.h"
#include "countersign/sign/v1/authority_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/random.h"
#include "libs/pki/pem.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::AuthorityService::Stub;

struct FileOptions {
  std::string name;
  std::string file;
  std::string passphrase_file;
  SettingsOptions settings;
  std::string subject_ca;
  std::string certificate_file;
  std::optional<absl::Duration> lifetime;
  std::string format = "pem";
  bool include_key = false;
  std::string out;
  int shard = 0;
  bool publish = false;
  bool pem = false;
};

// The first line of the file, or of standard input for "-"; empty when none was named.
absl::StatusOr<std::string> ReadPassphrase(const FileOptions& options) {
  if (options.passphrase_file.empty()) return std::string();
  std::string text;
  if (options.passphrase_file == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>());
  } else {
    ASSIGN_OR_RETURN(text, base::ReadFile(options.passphrase_file));
  }
  return text.substr(0, text.find_first_of("\r\n"));
}

// Writes `data` to --out, or as it is to standard output.
absl::Status Write(Context& context, const FileOptions& options, const std::string& data,
                   uint32_t mode) {
  if (options.out.empty()) {
    context.output.out() << data;
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(base::WriteFileDurably(options.out, data, mode));
  context.output.Headline(true, absl::StrCat("Wrote ", options.out));
  return absl::OkStatus();
}

absl::Status Import(Context& context, const FileOptions& options) {
  pb::ImportAuthorityRequest request;
  request.set_parent(context.TenantName());
  request.set_authority_id(options.name);
  request.set_request_id(crypto::RandomUuid());
  ASSIGN_OR_RETURN(std::string bytes, base::ReadFile(options.file));
  if (absl::StrContains(bytes, "-----BEGIN ")) {
    request.set_pem(std::move(bytes));
  } else {
    request.set_pkcs12(std::move(bytes));
  }
  ASSIGN_OR_RETURN(*request.mutable_passphrase(), ReadPassphrase(options));
  ApplySettings(context, options.settings, context.ResourceName("authorities", options.name),
                request.mutable_settings());
  pb::ImportAuthorityResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::ImportAuthority, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowAuthority(absl::StrCat("Imported authority ", options.name), response.authority(),
                  &context.output);
  }
  return absl::OkStatus();
}

absl::Status Export(Context& context, const FileOptions& options) {
  pb::ExportAuthorityRequest request;
  request.set_name(context.ResourceName("authorities", options.name));
  const bool pkcs12 = options.format == "pkcs12";
  request.set_format(pkcs12 ? pb::EXPORT_FORMAT_PKCS12 : pb::EXPORT_FORMAT_PEM);
  request.set_include_key(options.include_key);
  ASSIGN_OR_RETURN(*request.mutable_passphrase(), ReadPassphrase(options));
  if (pkcs12 && options.out.empty() && isatty(STDOUT_FILENO) == 1) {
    return absl::InvalidArgumentError("PKCS#12 is not for terminals: name a file by --out");
  }
  pb::ExportAuthorityResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::ExportAuthority, request, &response));
  if (context.json) {
    context.PrintJson(response);
    if (options.out.empty()) return absl::OkStatus();
    return base::WriteFileDurably(options.out, response.data(), options.include_key ? 0600 : 0644);
  }
  return Write(context, options, response.data(), options.include_key ? 0600 : 0644);
}

absl::Status CrossSign(Context& context, const FileOptions& options) {
  if (options.subject_ca.empty() == options.certificate_file.empty()) {
    return absl::InvalidArgumentError(
        "name one of: --subject-ca, an authority here; --certificate, another's certificate");
  }
  pb::CrossSignAuthorityRequest request;
  request.set_name(context.ResourceName("authorities", options.name));
  request.set_request_id(crypto::RandomUuid());
  if (!options.subject_ca.empty()) {
    request.set_authority(context.ResourceName("authorities", options.subject_ca));
  } else {
    ASSIGN_OR_RETURN(*request.mutable_certificate(), base::ReadFile(options.certificate_file));
  }
  if (options.lifetime.has_value()) {
    ToProto(absl::Now() + *options.lifetime, request.mutable_not_after());
  }
  pb::CrossSignAuthorityResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::CrossSignAuthority, request, &response));
  const pb::Certificate& certificate = response.certificate();
  if (!options.out.empty()) {
    RETURN_IF_ERROR(base::WriteFileDurably(options.out, CertificatePem(certificate.der())));
  }
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  if (options.out.empty()) {
    context.output.out() << CertificatePem(certificate.der());
    return absl::OkStatus();
  }
  context.output.Headline(true, absl::StrCat("Cross-signed: ", certificate.subject()));
  ShowCertificate(certificate, absl::Now(), &context.output);
  context.output.Field("File", options.out);
  return absl::OkStatus();
}

absl::Status Crl(Context& context, const FileOptions& options) {
  pb::GetCrlRequest request;
  request.set_name(context.ResourceName("authorities", options.name));
  request.set_shard(options.shard);
  if (options.publish) {
    pb::PublishCrlsRequest publish;
    publish.set_name(request.name());
    pb::PublishCrlsResponse published;
    RETURN_IF_ERROR(CallSign(context, &Stub::PublishCrls, publish, &published));
  }
  pb::GetCrlResponse response;
  RETURN_IF_ERROR(CallSign(context, &Stub::GetCrl, request, &response));
  const std::string pem = pki::FormatPem("X509 CRL", response.der());
  if (!options.out.empty()) {
    RETURN_IF_ERROR(base::WriteFileDurably(options.out, options.pem ? pem : response.der()));
  }
  if (context.json) {
    context.PrintJson(response);
    return absl::OkStatus();
  }
  if (options.out.empty() && options.pem) {
    context.output.out() << pem;
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Field("CRL", absl::StrCat(request.name(), ", shard ", request.shard()), Tone::kStrong);
  output.Field("Number", absl::StrCat(response.number()));
  output.Field("Revoked",
               Count(static_cast<uint64_t>(response.entries()), "certificate", "certificates"));
  output.Field("Signed", TimeText(response.this_update()));
  output.Field("Next", absl::StrCat(TimeText(response.next_update()), ", ",
                                    Distance(FromProto(response.next_update()), absl::Now())));
  if (!options.out.empty()) output.Field("File", options.out);
  return absl::OkStatus();
}

}  // namespace

void AddCaFileCommands(CLI::App& group, Context& context) {
  const auto options = std::make_shared<FileOptions>();
  const auto add_name = [&](CLI::App* command) {
    command->add_option("CA", options->name, "Authority: its short or its full resource name")
        ->required();
  };
  const auto add_passphrase = [&](CLI::App* command) {
    command->add_option("--passphrase-file", options->passphrase_file,
                        "File whose first line is the PKCS#12's passphrase; - for standard input");
  };

  CLI::App* import = AddGroupCommand(group, context, options, "import",
                                     "Take over an authority with its key", Import);
  import->add_option("NAME", options->name, "Its id: 1 to 63 of a-z, 0-9 and '-'")->required();
  import
      ->add_option("FILE", options->file,
                   "PEM (key in PKCS#8, certificate, its issuers') or PKCS#12")
      ->required();
  add_passphrase(import);
  AddSettingsOptions(import, &options->settings);

  CLI::App* exported = AddGroupCommand(group, context, options, "export",
                                       "Write its certificates, and its key when allowed", Export);
  add_name(exported);
  exported->add_option("--format", options->format, "How")
      ->check(CLI::IsMember({"pem", "pkcs12"}))
      ->capture_default_str();
  exported->add_flag("--include-key", options->include_key,
                     "With the private key (the service must allow it)");
  add_passphrase(exported);
  exported->add_option("--out", options->out, "File to write; standard output when not given");

  CLI::App* cross = AddGroupCommand(group, context, options, "cross-sign",
                                    "Certify another authority's name and key", CrossSign);
  add_name(cross);
  cross->add_option("--subject-ca", options->subject_ca, "The authority here that is certified");
  cross->add_option("--certificate", options->certificate_file,
                    "Or another's certificate, PEM or DER");
  AddDurationOption(cross, "--lifetime", &options->lifetime,
                    "How long (default: with the earlier of both)");
  cross->add_option("--out", options->out, "File to write; standard output when not given");

  CLI::App* crl = AddGroupCommand(group, context, options, "crl",
                                  "Show or write the newest revocation list", Crl);
  add_name(crl);
  crl->add_option("--shard", options->shard, "Its number")->check(CLI::NonNegativeNumber);
  crl->add_flag("--publish", options->publish, "Sign all of them anew first");
  crl->add_option("--out", options->out, "File to write, DER");
  crl->add_flag("--pem", options->pem, "PEM instead of DER; without --out to standard output");
}

}  // namespace countersign::cli
