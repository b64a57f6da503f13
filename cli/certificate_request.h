// What a certificate is asked for with: the options that `cert issue` and `queue add` share.
#ifndef COUNTERSIGN_CLI_CERTIFICATE_REQUEST_H_
#define COUNTERSIGN_CLI_CERTIFICATE_REQUEST_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/context.h"
#include "countersign/sign/v1/certificate_service.pb.h"

namespace CLI {
class App;
}

namespace countersign::cli {

struct RequestOptions {
  std::string csr_file;
  std::string new_key_file;
  std::string key_file;
  std::string authority;
  std::string profile;
  std::vector<std::string> dns, ip, email, uri;
  std::string subject;
  std::optional<absl::Duration> lifetime;
  std::string owner;
  std::string environment;
  std::vector<std::string> labels;
  std::string log;
  std::string replaces;
};

// `options` must outlive the parser and the command.
void AddRequestOptions(CLI::App* command, RequestOptions* options);

struct PreparedRequest {
  // Without `parent` when no authority was given.
  sign::v1::IssueCertificateRequest request;
  std::string spki_der;      // of the key that the certificate shall be for
  std::string new_key_file;  // made here; empty when none was
};

// Reads the certification request, or makes one: for the key in a file, or for a new P-256 key,
// which is written first (PKCS#8 PEM, mode 0600), so that no certificate is ever without its key.
// InvalidArgument for options that do not fit together or a file that is not what it should be;
// AlreadyExists when the new key's file is there.
absl::StatusOr<PreparedRequest> PrepareRequest(const Context& context,
                                               const RequestOptions& options);

// What to answer when the call failed: `status`, once the new key is gone; or, when the certificate
// may have been issued all the same, `status` with a word about the key, which stays.
absl::Status DropNewKey(const PreparedRequest& prepared, const absl::Status& status);

// "server" of "server.csr", "server.csr.pem", "server.key" or "server".
std::string OutputStem(const RequestOptions& options);

}  // namespace countersign::cli

#endif  // COUNTERSIGN_CLI_CERTIFICATE_REQUEST_H_
