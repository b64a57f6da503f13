// HTTPS by libcurl.
#ifndef COUNTERSIGN_LIBS_ACME_HTTPS_TRANSPORT_H_
#define COUNTERSIGN_LIBS_ACME_HTTPS_TRANSPORT_H_

#include <string>

#include "libs/acme/transport.h"

namespace countersign::acme {

// Thread-safe. The server's certificate and name are always checked; redirects are not followed.
// Send fails with InvalidArgument for a URL that is not https, Unavailable when the server cannot
// be reached or breaks off, DeadlineExceeded, FailedPrecondition when its certificate does not
// check out, ResourceExhausted for an answer of more than a MiB.
class HttpsTransport final : public Transport {
 public:
  struct Options {
    // The roots to check against, PEM; empty: the system's.
    std::string ca_pem;
    std::string user_agent = "countersign";
  };

  explicit HttpsTransport(Options options);

  absl::StatusOr<http::Response> Send(const http::ClientRequest& request) override;

 private:
  const Options options_;
};

}  // namespace countersign::acme

#endif  // COUNTERSIGN_LIBS_ACME_HTTPS_TRANSPORT_H_
