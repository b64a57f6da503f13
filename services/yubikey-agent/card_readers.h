// Where cards come from.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_READERS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_READERS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "libs/piv/transport.h"

namespace countersign::yubikey {

// A seam: PC/SC in production, cards in memory in tests. Thread-safe.
class CardReaders {
 public:
  // A card in a reader; `insertion` tells one insertion from the next.
  struct Present {
    std::string reader;
    uint64_t insertion = 0;

    friend bool operator==(const Present& a, const Present& b) {
      return a.reader == b.reader && a.insertion == b.insertion;
    }
  };

  virtual ~CardReaders() = default;

  // Waits until what is present differs from `known`, or Interrupt is called, and returns what is
  // present now. Never fails: while the PC/SC daemon is away nothing is present. One caller at a
  // time.
  virtual std::vector<Present> WaitForChange(const std::vector<Present>& known) = 0;
  // Makes the WaitForChange in progress, or the next one, return at once.
  virtual void Interrupt() = 0;

  // Opens the card in a reader. Unavailable when it is gone or another program has it for itself.
  virtual absl::StatusOr<std::unique_ptr<piv::Transport>> Connect(const std::string& reader) = 0;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_CARD_READERS_H_
