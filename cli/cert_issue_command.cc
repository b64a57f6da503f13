#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/cert_commands.h"
#include "cli/certificate_request.h"
#include "cli/command_group.h"
#include "cli/durations.h"
#include "cli/names.h"
#include "cli/output_files.h"
#include "cli/sign_client.h"
#include "countersign/sign/v1/certificate_service.grpc.pb.h"
#include "libs/base/status_macros.h"
#include "libs/pki/certificate.h"
#include "libs/pki/pem.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using Stub = pb::CertificateService::Stub;

struct IssueOptions {
  RequestOptions request;
  std::string ledger = "none";
  std::string out;
  std::string chain;
};

// What was issued must be what was asked for, by who says so.
absl::Status CheckIssued(const pb::IssueCertificateResponse& response, const std::string& spki) {
  const auto wrong = [](absl::string_view what) {
    return absl::DataLossError(
        absl::StrCat("the service answered ", what, ", nothing was written"));
  };
  absl::StatusOr<pki::Certificate> certificate =
      pki::ParseCertificate(response.certificate().der());
  if (!certificate.ok()) return wrong("something that is no certificate");
  if (certificate->spki_der != spki) return wrong("a certificate for another key");
  for (const std::string& der : response.issuers()) {
    absl::StatusOr<pki::Certificate> issuer = pki::ParseCertificate(der);
    if (!issuer.ok() || !certificate->CheckIssuedBy(*issuer).ok()) {
      return wrong("a chain that does not hold");
    }
    certificate = std::move(issuer);
  }
  return absl::OkStatus();
}

absl::Status Issue(Context& context, const IssueOptions& options) {
  ASSIGN_OR_RETURN(PreparedRequest prepared, PrepareRequest(context, options.request));
  pb::LedgerWait ledger = pb::LEDGER_WAIT_NONE;
  pb::LedgerWait_Parse(absl::StrCat("LEDGER_WAIT_", absl::AsciiStrToUpper(options.ledger)),
                       &ledger);
  prepared.request.set_ledger(ledger);
  pb::IssueCertificateResponse response;
  absl::Status status = CallSign(context, &Stub::IssueCertificate, prepared.request, &response);
  if (status.ok()) status = CheckIssued(response, prepared.spki_der);
  if (!status.ok()) return DropNewKey(prepared, status);

  const std::string stem = OutputStem(options.request);
  const std::string certificate_file =
      options.out.empty() ? absl::StrCat(stem, ".cert.pem") : options.out;
  const std::string chain_file =
      options.chain.empty() ? absl::StrCat(stem, ".chain.pem") : options.chain;
  const pb::Certificate& certificate = response.certificate();
  status = WriteFilesDurably(
      {{certificate_file, CertificatePem(certificate.der())},
       {chain_file,
        ChainPem(certificate.der(), {response.issuers().begin(), response.issuers().end()})}});
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrCat(status.message(),
                                     "; the certificate is issued all the same: countersign cert ",
                                     "export ", LastPart(certificate.name())));
  }
  if (context.json) {
    auto root = nlohmann::ordered_json::parse(context.ToJson(response));
    root["files"] = {{"certificate", certificate_file}, {"chain", chain_file}};
    if (!prepared.new_key_file.empty()) root["files"]["key"] = prepared.new_key_file;
    context.output.out() << root.dump(2) << "\n";
    return absl::OkStatus();
  }
  Output& output = context.output;
  output.Headline(true, absl::StrCat("Issued certificate ", LastPart(certificate.name())));
  ShowCertificate(certificate, absl::Now(), &output);
  if (response.has_ledger_proof()) {
    output.Field("Log", absl::StrCat(response.ledger_proof().log_origin(), ", entry ",
                                     response.ledger_proof().index()));
  }
  if (!prepared.new_key_file.empty()) output.Field("Key file", prepared.new_key_file);
  output.Field("File", certificate_file);
  output.Field("Chain", absl::StrCat(chain_file, ", for servers: without the root"));
  return absl::OkStatus();
}

}  // namespace

void AddCertIssueCommand(CLI::App& group, Context& context) {
  const auto options = std::make_shared<IssueOptions>();
  CLI::App* command =
      AddGroupCommand(group, context, options, "issue", "Issue a certificate", Issue);
  AddRequestOptions(command, &options->request);
  command->add_option("--ca", options->request.authority, "The authority that issues it")
      ->required();
  command->add_option("--ledger", options->ledger, "How far to wait for the transparency log")
      ->check(CLI::IsMember({"none", "sequenced", "integrated", "cosigned"}))
      ->capture_default_str();
  command->add_option("--log", options->request.log,
                      "The log to enter it in; the authority's when not given");
  command->add_option("--out", options->out,
                      "The certificate's file, PEM (default: CSR's or key's name and .cert.pem)");
  command->add_option("--chain", options->chain,
                      "Certificate and intermediates, PEM (default: the same and .chain.pem)");
}

}  // namespace countersign::cli
