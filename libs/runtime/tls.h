// Server credentials: plain, TLS, or mTLS with an allow-list of callers.
#ifndef COUNTERSIGN_LIBS_RUNTIME_TLS_H_
#define COUNTERSIGN_LIBS_RUNTIME_TLS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace grpc {
class ServerCredentials;
}

namespace countersign::runtime {

// Paths of PEM files; all empty is plain text.
struct ServerTls {
  std::string cert_file;
  std::string key_file;
  // Given: a client must show a certificate that chains to it.
  std::string client_ca_file;
  // With client_ca_file: a subject alternative name, or the common name when the certificate has no
  // alternative name, must be one of these; else PERMISSION_DENIED. Empty: every such client may.
  std::vector<std::string> allowed_callers;
};

// InvalidArgument for flags that do not go together, else what reading a file gave.
absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> MakeServerCredentials(
    const ServerTls& tls);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_TLS_H_
