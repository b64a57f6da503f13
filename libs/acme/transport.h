// How ACME requests travel.
#ifndef COUNTERSIGN_LIBS_ACME_TRANSPORT_H_
#define COUNTERSIGN_LIBS_ACME_TRANSPORT_H_

#include "absl/status/statusor.h"
#include "libs/http/client.h"
#include "libs/http/message.h"

namespace countersign::acme {

// Thread-safe; blocks.
class Transport {
 public:
  virtual ~Transport() = default;

  // Any HTTP status is an answer, not an error.
  virtual absl::StatusOr<http::Response> Send(const http::ClientRequest& request) = 0;
};

}  // namespace countersign::acme

#endif  // COUNTERSIGN_LIBS_ACME_TRANSPORT_H_
