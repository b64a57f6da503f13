#include <memory>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "cli/cert_commands.h"
#include "cli/command_group.h"
#include "cli/durations.h"
#include "cli/yubikey_commands.h"
#include "cli/yubikey_names.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using Stub = pb::CardService::Stub;

struct CertOptions {
  SharedAgentOptions agent;
  std::string slot;
  std::string file;
  std::string out;
  std::string subject;
  std::optional<absl::Duration> lifetime;
  std::string management_key_file;
};

absl::Status Write(Context& context, const CertOptions& options) {
  pb::WriteCertificateRequest request;
  const FieldWiper wiper(request.mutable_management_key());
  ASSIGN_OR_RETURN(*request.mutable_name(), SlotResourceName(options.slot));
  ASSIGN_OR_RETURN(const std::string bytes, base::ReadFile(options.file));
  const absl::StatusOr<pki::Certificate> certificate = pki::ParseCertificateDerOrPem(bytes);
  if (!certificate.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(options.file, " holds no certificate: ", certificate.status().message()));
  }
  request.set_certificate(certificate->der);
  RETURN_IF_ERROR(ReadManagementKey(options.management_key_file, request.mutable_management_key()));
  pb::WriteCertificateResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_WRITE_CERTIFICATE,
                                &Stub::WriteCertificate, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowSlot(absl::StrCat("Wrote ", options.file, " onto the card"), response.slot(),
             &context.output);
  }
  return absl::OkStatus();
}

absl::Status Read(Context& context, const CertOptions& options) {
  pb::GetSlotRequest request;
  ASSIGN_OR_RETURN(*request.mutable_name(), SlotResourceName(options.slot));
  pb::GetSlotResponse response;
  RETURN_IF_ERROR(CallAgent(context, *options.agent, nullptr, &Stub::GetSlot, request, &response));
  const std::string& der = response.slot().certificate();
  if (der.empty()) {
    return absl::NotFoundError(absl::StrCat("there is no certificate in ", request.name()));
  }
  if (!options.out.empty()) {
    RETURN_IF_ERROR(base::WriteFileDurably(options.out, CertificatePem(der)));
  }
  if (context.json) {
    context.PrintJson(response);
  } else if (options.out.empty()) {
    context.output.out() << CertificatePem(der);
  } else {
    context.output.Headline(true, absl::StrCat("Wrote ", options.out));
  }
  return absl::OkStatus();
}

absl::Status Delete(Context& context, const CertOptions& options) {
  pb::DeleteCertificateRequest request;
  const FieldWiper wiper(request.mutable_management_key());
  ASSIGN_OR_RETURN(*request.mutable_name(), SlotResourceName(options.slot));
  RETURN_IF_ERROR(ReadManagementKey(options.management_key_file, request.mutable_management_key()));
  pb::DeleteCertificateResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_WRITE_CERTIFICATE,
                                &Stub::DeleteCertificate, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    context.output.Headline(true, absl::StrCat("Deleted the certificate in ", request.name()));
  }
  return absl::OkStatus();
}

absl::Status SelfSign(Context& context, const CertOptions& options) {
  pb::SelfSignCertificateRequest request;
  const FieldWiper wiper(request.mutable_management_key());
  ASSIGN_OR_RETURN(*request.mutable_name(), SlotResourceName(options.slot));
  request.set_subject(options.subject);
  if (options.lifetime.has_value()) ToProto(*options.lifetime, request.mutable_validity());
  RETURN_IF_ERROR(ReadManagementKey(options.management_key_file, request.mutable_management_key()));
  TellAboutTouch(context, *options.agent, request.name());
  pb::SelfSignCertificateResponse response;
  RETURN_IF_ERROR(CallInSession(context, *options.agent, pb::OPERATION_WRITE_CERTIFICATE,
                                &Stub::SelfSignCertificate, request, &response));
  if (context.json) {
    context.PrintJson(response);
  } else {
    ShowSlot("Wrote a self-signed certificate onto the card", response.slot(), &context.output);
  }
  return absl::OkStatus();
}

}  // namespace

void AddYubikeyCertCommands(CLI::App& group, Context& context, const SharedAgentOptions& agent) {
  CLI::App* cert = group.add_subcommand("cert", "Certificates in slots");
  cert->require_subcommand(1);
  const auto options = std::make_shared<CertOptions>();
  options->agent = agent;
  const auto add_slot = [&](CLI::App* command) {
    command->add_option("SLOT", options->slot, "SERIAL/SLOT")->required();
    return command;
  };
  const auto add_management_key = [&](CLI::App* command) {
    command->add_option("--management-key-file", options->management_key_file,
                        "File with the card's management key in hex, or - for standard input");
  };

  CLI::App* write = add_slot(AddGroupCommand(
      *cert, context, options, "write", "Write the certificate of a slot's key into it", Write));
  write->add_option("FILE", options->file, "The certificate, PEM or DER")->required();
  add_management_key(write);
  add_slot(AddGroupCommand(*cert, context, options, "read", "Print a slot's certificate", Read))
      ->add_option("-o,--out", options->out, "File to write instead, PEM");
  add_management_key(add_slot(
      AddGroupCommand(*cert, context, options, "delete", "Delete a slot's certificate", Delete)));
  CLI::App* self_sign = add_slot(AddGroupCommand(
      *cert, context, options, "self-sign",
      "Make an authority of a slot's key, which may certify sub-keys then", SelfSign));
  self_sign->add_option("--subject", options->subject, "Its name, \"CN=Release signing,O=Example\"")
      ->required();
  AddDurationOption(self_sign, "--lifetime", &options->lifetime,
                    "How long it is valid (default: 365d)");
  add_management_key(self_sign);
}

}  // namespace countersign::cli
