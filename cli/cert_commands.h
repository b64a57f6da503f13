// What the certificate commands share, and those of `cert` that stand in files of their own.
#ifndef COUNTERSIGN_CLI_CERT_COMMANDS_H_
#define COUNTERSIGN_CLI_CERT_COMMANDS_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cli/context.h"
#include "countersign/sign/v1/certificates.pb.h"

namespace CLI {
class App;
}

namespace countersign::cli {

void AddCertIssueCommand(CLI::App& group, Context& context);
void AddCertRenewCommand(CLI::App& group, Context& context);

// One PEM block.
std::string CertificatePem(absl::string_view der);
// The certificate and its issuers without a self-signed one at the end: what a server sends.
std::string ChainPem(absl::string_view der, const std::vector<std::string>& issuers);

// The certificate's fields, those that say something.
void ShowCertificate(const sign::v1::Certificate& certificate, absl::Time now, Output* output);

// "in 12 d 3 h" or "2 d ago".
std::string Distance(absl::Time time, absl::Time now);

// "key-compromise"; "unspecified" also for none.
std::string ReasonText(sign::v1::RevocationReason reason);
std::vector<std::string> ReasonNames();
// Inverse of ReasonText; REVOCATION_REASON_UNSPECIFIED for an empty or unknown one.
sign::v1::RevocationReason ParseReason(const std::string& text);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_CERT_COMMANDS_H_
