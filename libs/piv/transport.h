// The way to a card.
#ifndef COUNTERSIGN_LIBS_PIV_TRANSPORT_H_
#define COUNTERSIGN_LIBS_PIV_TRANSPORT_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/piv/apdu.h"

namespace countersign::piv {

// Used by one thread at a time.
class Transport {
 public:
  virtual ~Transport() = default;

  // Sends a whole command and returns the whole response: chaining and GET RESPONSE (61xx) are
  // below it. Any status word is a response. Unavailable when the card is gone or was reset; after
  // it the transport is of no use until it is opened again.
  virtual absl::StatusOr<Response> Transmit(const Command& command) = 0;

  // Keeps other programs away from the card until EndTransaction. Unavailable as above, Aborted
  // when another program reset the card since the last transaction: what was selected and verified
  // is forgotten then, and the transaction has begun.
  virtual absl::Status BeginTransaction() = 0;
  virtual void EndTransaction() = 0;
};

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_TRANSPORT_H_
