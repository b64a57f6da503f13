// A pool over software cards, as the pool's tests use it.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_POOL_BENCH_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_POOL_BENCH_H_

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "libs/base/manual_clock.h"
#include "libs/base/mutex.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "libs/piv/applet.h"
#include "libs/testing/piv/card.h"
#include "services/yubikey-agent/card_pool.h"
#include "services/yubikey-agent/fake_readers.h"

namespace countersign::yubikey {

using countersign::testing::piv::Card;
using countersign::testing::piv::CardOptions;
using countersign::testing::piv::Fault;

inline constexpr char kFactoryPin[] = "123456";
inline constexpr char kFactoryPuk[] = "12345678";

crypto::SecretBytes Secret(const std::string& text);

// Fails the test case for what cannot be made.
std::unique_ptr<Card> MakeCard(uint32_t serial, piv::Version version = {5, 4, 3});

// Another program's work with a card: with the applet selected, the PIN verified and the management
// key known. Not through the pool.
void OnCard(Card* card, const std::function<void(piv::Applet&)>& act);
crypto::PublicKey GenerateOn(Card* card, piv::Slot slot, const piv::KeySettings& settings);
void ImportOn(Card* card, piv::Slot slot, const crypto::PrivateKey& key,
              const piv::KeySettings& settings);

// Holds back what it is asked to, until it is opened.
class Gate {
 public:
  // The hook that stops commands with this instruction before they reach a card.
  std::function<void(const FakeReaders::Sent&)> Hook(uint8_t instruction);
  // Returns when so many commands are held back at once; false when they do not come.
  bool WaitForHeld(int commands);
  void Open();

 private:
  base::Mutex mutex_;
  base::CondVar changed_;
  int held_ ABSL_GUARDED_BY(mutex_) = 0;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

class PoolBench {
 public:
  PoolBench();
  ~PoolBench();

  // The pool begins with the first use of it; options may be set before.
  CardPool& pool();
  CardPool::Options options;
  // Ends the pool; another begins at the next use.
  void StopPool();

  // Puts the card into "reader {serial}" and waits until the pool serves it.
  void Insert(Card* card);
  void Remove(Card* card);
  bool Has(uint32_t serial);

  std::future<absl::StatusOr<Signed>> Sign(
      const std::string& name, const std::string& digest,
      crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256,
      absl::Time deadline = absl::InfiniteFuture());
  absl::Status Unlock(uint32_t serial, const std::string& pin = kFactoryPin);
  absl::Status Lock(uint32_t serial);
  absl::Status Execute(uint32_t serial, CardPool::Needs needs, bool changes_card,
                       CardPool::Body body);
  // Calls `start` with a `done`, and waits for what that is given.
  static absl::Status Await(const std::function<void(CardPool::Done)>& start);

  base::ManualClock clock;
  FakeReaders readers;

 private:
  std::unique_ptr<CardPool> pool_;
};

std::string SlotName(const Card& card, const std::string& slot);
std::string ReasonOf(const absl::Status& status);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_POOL_BENCH_H_
