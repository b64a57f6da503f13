// The suite's HTTP door: JSON over the gRPC services, and the public protocols as bytes.
#ifndef COUNTERSIGN_SERVICES_GATEWAY_GATEWAY_H_
#define COUNTERSIGN_SERVICES_GATEWAY_GATEWAY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/mutex.h"
#include "libs/http/client.h"
#include "libs/http/message.h"
#include "services/gateway/raw_proxy.h"

namespace grpc {
class Channel;
}

namespace countersign::runtime {
class Metrics;
}

namespace countersign::gateway {

struct GatewayOptions {
  // Null: its routes do not exist.
  std::shared_ptr<grpc::Channel> sign;
  std::shared_ptr<grpc::Channel> verify;
  std::shared_ptr<grpc::Channel> ledger;
  std::shared_ptr<grpc::Channel> ocsp;
  // Where the ledger serves its tiles, ocsp its responses, sign its CRLs and certificates; empty
  // for none.
  std::string ledger_http;
  std::string ocsp_http;
  std::string sign_http;
  std::vector<NamedUrl> witnesses;
  // The longest that a backend may take.
  absl::Duration call_timeout = absl::Seconds(25);
  absl::Duration health_timeout = absl::Seconds(2);
  // Outlives the gateway; may be null.
  runtime::Metrics* metrics = nullptr;
};

// Thread-safe.
class Gateway {
 public:
  // InvalidArgument for an address that cannot be understood.
  static absl::StatusOr<std::unique_ptr<Gateway>> Create(GatewayOptions options);
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // Every answer carries X-Request-Id: the client's when it is 1 to 128 letters, digits and "-_.:",
  // else a new one. Answers may be given after the Gateway is gone, but it must not be called then.
  void Handle(http::Request request, http::Responder respond) const;

 private:
  // What answers that come after the Gateway is gone may still touch.
  struct Watch {
    base::Mutex mutex;
    runtime::Metrics* metrics ABSL_GUARDED_BY(mutex) = nullptr;  // null once the Gateway is gone
  };

  Gateway();

  const std::shared_ptr<Watch> watch_ = std::make_shared<Watch>();
  http::Handler route_;
  http::Client client_;  // first to go: it ends what is under way
};

}  // namespace countersign::gateway

#endif  // COUNTERSIGN_SERVICES_GATEWAY_GATEWAY_H_
