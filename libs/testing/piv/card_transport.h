// A software card without reader and pcscd in between.
#ifndef COUNTERSIGN_LIBS_TESTING_PIV_CARD_TRANSPORT_H_
#define COUNTERSIGN_LIBS_TESTING_PIV_CARD_TRANSPORT_H_

#include <string>

#include "libs/piv/transport.h"
#include "libs/testing/piv/card.h"

namespace countersign::testing::piv {

// Splits commands and joins responses as a reader's driver does. Nobody else is there, so that
// transactions are nothing. Used by one thread at a time.
class CardTransport final : public countersign::piv::Transport {
 public:
  // `card` must outlive it.
  explicit CardTransport(Card* card) : card_(card) {}

  absl::StatusOr<countersign::piv::Response> Transmit(
      const countersign::piv::Command& command) override;
  absl::Status BeginTransaction() override { return absl::OkStatus(); }
  void EndTransaction() override {}

 private:
  Card* const card_;
};

}  // namespace countersign::testing::piv

#endif  // COUNTERSIGN_LIBS_TESTING_PIV_CARD_TRANSPORT_H_
