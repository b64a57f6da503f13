#include "services/yubikey-agent/pool_bench.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/log.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/card_transport.h"

namespace countersign::yubikey {

using countersign::testing::Eventually;
using countersign::testing::RequireOk;

namespace {

constexpr char kManagementKey[] = "\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10\1\2\3\4\5\6\7\10";

std::string ReaderOf(const Card& card) { return absl::StrCat("reader ", card.serial()); }

}  // namespace

crypto::SecretBytes Secret(const std::string& text) {
  return crypto::SecretBytes(absl::string_view(text));
}

std::unique_ptr<Card> MakeCard(uint32_t serial, piv::Version version) {
  CardOptions options;
  options.serial = serial;
  options.version = version;
  return RequireOk(Card::Create(options));
}

void OnCard(Card* card, const std::function<void(piv::Applet&)>& act) {
  countersign::testing::piv::CardTransport transport(card);
  piv::Applet applet(&transport);
  RequireOk(applet.Select());
  RequireOk(applet.AuthenticateManagement(Secret(std::string(kManagementKey, 24))));
  act(applet);
  card->Reset();
}

crypto::PublicKey GenerateOn(Card* card, piv::Slot slot, const piv::KeySettings& settings) {
  absl::StatusOr<crypto::PublicKey> key = absl::UnknownError("");
  OnCard(card, [&](piv::Applet& applet) { key = applet.GenerateKey(slot, settings); });
  return RequireOk(std::move(key));
}

void ImportOn(Card* card, piv::Slot slot, const crypto::PrivateKey& key,
              const piv::KeySettings& settings) {
  OnCard(card, [&](piv::Applet& applet) {
    RequireOk(applet.ImportKey(slot, RequireOk(key.ToPkcs8()), settings));
  });
}

std::function<void(const FakeReaders::Sent&)> Gate::Hook(uint8_t instruction) {
  return [this, instruction](const FakeReaders::Sent& sent) {
    if (sent.instruction != instruction) return;
    base::MutexLock lock(&mutex_);
    ++held_;
    changed_.NotifyAll();
    changed_.Wait(&mutex_, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return open_; });
    --held_;
  };
}

bool Gate::WaitForHeld(int commands) {
  return Eventually([&] {
    base::MutexLock lock(&mutex_);
    return held_ == commands;
  });
}

void Gate::Open() {
  base::MutexLock lock(&mutex_);
  open_ = true;
  changed_.NotifyAll();
}

PoolBench::PoolBench() : clock(absl::FromUnixSeconds(1'800'000'000)) {
  base::SetLogSeverity(base::Severity::kWarning);
  options.readers = &readers;
  options.clock = &clock;
}

PoolBench::~PoolBench() = default;

CardPool& PoolBench::pool() {
  if (pool_ == nullptr) pool_ = std::make_unique<CardPool>(options);
  return *pool_;
}

void PoolBench::StopPool() { pool_.reset(); }

void PoolBench::Insert(Card* card) {
  pool();
  readers.Insert(ReaderOf(*card), card);
  REQUIRE(Eventually([&] { return Has(card->serial()); }));
}

void PoolBench::Remove(Card* card) {
  readers.Remove(ReaderOf(*card));
  REQUIRE(Eventually([&] { return !Has(card->serial()); }));
}

bool PoolBench::Has(uint32_t serial) { return pool().Card(serial).ok(); }

std::future<absl::StatusOr<Signed>> PoolBench::Sign(const std::string& name,
                                                    const std::string& digest,
                                                    crypto::Algorithm algorithm,
                                                    absl::Time deadline) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<Signed>>>();
  auto future = promise->get_future();
  pool().Sign(name, algorithm, digest, deadline,
              [promise](absl::StatusOr<Signed> result) { promise->set_value(std::move(result)); });
  return future;
}

absl::Status PoolBench::Await(const std::function<void(CardPool::Done)>& start) {
  auto promise = std::make_shared<std::promise<absl::Status>>();
  start([promise](absl::Status status) { promise->set_value(std::move(status)); });
  return promise->get_future().get();
}

absl::Status PoolBench::Unlock(uint32_t serial, const std::string& pin) {
  return Await([&](CardPool::Done done) {
    pool().Unlock(serial, Secret(pin), absl::InfiniteFuture(), std::move(done));
  });
}

absl::Status PoolBench::Lock(uint32_t serial) {
  return Await(
      [&](CardPool::Done done) { pool().Lock(serial, absl::InfiniteFuture(), std::move(done)); });
}

absl::Status PoolBench::Execute(uint32_t serial, CardPool::Needs needs, bool changes_card,
                                CardPool::Body body) {
  return Await([&](CardPool::Done done) {
    pool().Execute(serial, "test", std::move(needs), changes_card, absl::InfiniteFuture(),
                   std::move(body), std::move(done));
  });
}

std::string SlotName(const Card& card, const std::string& slot) {
  return absl::StrCat("cards/", card.serial(), "/slots/", slot);
}

std::string ReasonOf(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

}  // namespace countersign::yubikey
