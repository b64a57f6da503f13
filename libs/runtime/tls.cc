#include "libs/runtime/tls.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>

#include <algorithm>
#include <utility>

#include "libs/base/file.h"
#include "libs/base/status_macros.h"

namespace countersign::runtime {
namespace {

// Refuses calls of peers that are authentic but not expected.
class CallerAllowList : public grpc::AuthMetadataProcessor {
 public:
  explicit CallerAllowList(std::vector<std::string> allowed) : allowed_(std::move(allowed)) {}

  bool IsBlocking() const override { return false; }

  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext* context,
                       OutputMetadata* consumed, OutputMetadata* response) override {
    // RFC 6125 section 6.4.4: the common name counts only without alternative names.
    auto names = context->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME);
    if (names.empty()) names = context->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
    for (const grpc::string_ref& name : names) {
      if (std::find(allowed_.begin(), allowed_.end(), std::string(name.data(), name.size())) !=
          allowed_.end()) {
        return grpc::Status::OK;
      }
    }
    return grpc::Status(grpc::StatusCode::PERMISSION_DENIED,
                        "the client certificate's name is not an allowed caller of this service");
  }

 private:
  const std::vector<std::string> allowed_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const ServerTls& tls) {
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key go together");
  }
  if (tls.cert_file.empty() && !tls.client_ca_file.empty()) {
    return absl::InvalidArgumentError("--tls-client-ca needs --tls-cert and --tls-key");
  }
  if (tls.client_ca_file.empty() && !tls.allowed_callers.empty()) {
    return absl::InvalidArgumentError(
        "--allow-caller needs --tls-client-ca: without it callers have no name");
  }
  if (tls.cert_file.empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions options(
      tls.client_ca_file.empty() ? GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE
                                 : GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.cert_chain, base::ReadFile(tls.cert_file));
  ASSIGN_OR_RETURN(pair.private_key, base::ReadFile(tls.key_file));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  if (!tls.client_ca_file.empty()) {
    ASSIGN_OR_RETURN(options.pem_root_certs, base::ReadFile(tls.client_ca_file));
  }
  std::shared_ptr<grpc::ServerCredentials> credentials = grpc::SslServerCredentials(options);
  if (!tls.allowed_callers.empty()) {
    credentials->SetAuthMetadataProcessor(std::make_shared<CallerAllowList>(tls.allowed_callers));
  }
  return credentials;
}

}  // namespace countersign::runtime
