// Software cards in readers that are not there, for tests of what is above PC/SC.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_FAKE_READERS_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_FAKE_READERS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/testing/piv/card.h"
#include "services/yubikey-agent/card_readers.h"

namespace countersign::yubikey {

// Thread-safe. A card that a fault pulls leaves its reader, as far as connections know at once, and
// for those that wait for changes as well.
class FakeReaders final : public CardReaders {
 public:
  using Card = countersign::testing::piv::Card;
  // What a card was sent, in order.
  struct Sent {
    uint32_t serial = 0;
    uint8_t instruction = 0;
    uint8_t p1 = 0;
    uint8_t p2 = 0;
    size_t data_bytes = 0;
  };

  ~FakeReaders() override;

  // `card` must outlive this object. Powers it on. The same card may be in two readers, and in
  // those of another object: transactions hold for the card.
  void Insert(const std::string& reader, Card* card);
  void Remove(const std::string& reader);
  // What another program does to the card in between.
  void Meanwhile(Card* card, const std::function<void()>& act);
  // Another program's reset of the card.
  void ResetCard(Card* card);

  // Called before each command, on the thread that sends it; it may block.
  void SetHook(std::function<void(const Sent&)> hook);
  std::vector<Sent> sent() const;
  // How often a PIN was sent to the card.
  int PinsSent(uint32_t serial) const;

  std::vector<Present> WaitForChange(const std::vector<Present>& known) override;
  void Interrupt() override;
  absl::StatusOr<std::unique_ptr<piv::Transport>> Connect(const std::string& reader) override;

 private:
  class Connection;
  struct InReader {
    Card* card = nullptr;
    uint64_t insertion = 0;
  };

  bool IsIn(const std::string& reader, uint64_t insertion) const;
  std::vector<Present> PresentNow() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::map<std::string, InReader> readers_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_insertion_ ABSL_GUARDED_BY(mutex_) = 1;
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void(const Sent&)> hook_ ABSL_GUARDED_BY(mutex_);
  std::vector<Sent> sent_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_FAKE_READERS_H_
