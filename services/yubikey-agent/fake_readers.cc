#include "services/yubikey-agent/fake_readers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/piv/piv.h"
#include "libs/testing/piv/card_transport.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::piv::Card;

// Who is in a transaction with which card, and how often each was reset by a stranger.
struct Transactions {
  base::Mutex mutex;
  base::CondVar ended;
  std::map<const Card*, bool> busy;
  std::map<const Card*, int> resets;
};

Transactions& AllTransactions() {
  static Transactions& transactions = *new Transactions;
  return transactions;
}

int BeginWith(const Card* card) {
  Transactions& all = AllTransactions();
  base::MutexLock lock(&all.mutex);
  all.ended.Wait(&all.mutex, [&] { return !all.busy[card]; });
  all.busy[card] = true;
  return all.resets[card];
}

void EndWith(const Card* card) {
  Transactions& all = AllTransactions();
  base::MutexLock lock(&all.mutex);
  all.busy[card] = false;
  all.ended.NotifyAll();
}

}  // namespace

class FakeReaders::Connection final : public piv::Transport {
 public:
  Connection(FakeReaders* readers, std::string reader, uint64_t insertion, Card* card)
      : readers_(readers),
        reader_(std::move(reader)),
        insertion_(insertion),
        card_(card),
        transport_(card) {
    Transactions& all = AllTransactions();
    base::MutexLock lock(&all.mutex);
    resets_ = all.resets[card];
  }

  absl::StatusOr<piv::Response> Transmit(const piv::Command& command) override {
    if (!readers_->IsIn(reader_, insertion_)) return Gone();
    const Sent sent = {card_->serial(), command.ins, command.p1, command.p2, command.data.size()};
    std::function<void(const Sent&)> hook;
    {
      base::MutexLock lock(&readers_->mutex_);
      readers_->sent_.push_back(sent);
      hook = readers_->hook_;
    }
    if (hook) hook(sent);
    if (!readers_->IsIn(reader_, insertion_)) return Gone();
    auto response = transport_.Transmit(command);
    if (!response.ok()) {
      readers_->Remove(reader_);
      return Gone();
    }
    if (!readers_->IsIn(reader_, insertion_)) return Gone();
    return response;
  }

  absl::Status BeginTransaction() override {
    const int resets = BeginWith(card_);
    if (!readers_->IsIn(reader_, insertion_)) {
      EndWith(card_);
      return Gone();
    }
    if (std::exchange(resets_, resets) != resets) return absl::AbortedError("the card was reset");
    return absl::OkStatus();
  }
  void EndTransaction() override { EndWith(card_); }

 private:
  absl::Status Gone() const {
    return absl::UnavailableError(absl::StrCat("no card is in ", reader_));
  }

  FakeReaders* const readers_;
  const std::string reader_;
  const uint64_t insertion_;
  Card* const card_;
  int resets_ = 0;
  countersign::testing::piv::CardTransport transport_;
};

FakeReaders::~FakeReaders() = default;

void FakeReaders::Insert(const std::string& reader, Card* card) {
  card->Reset();
  base::MutexLock lock(&mutex_);
  readers_[reader] = {card, next_insertion_++};
  changed_.NotifyAll();
}

void FakeReaders::Remove(const std::string& reader) {
  base::MutexLock lock(&mutex_);
  readers_.erase(reader);
  changed_.NotifyAll();
}

void FakeReaders::Meanwhile(Card* card, const std::function<void()>& act) {
  BeginWith(card);
  act();
  EndWith(card);
}

void FakeReaders::ResetCard(Card* card) {
  Meanwhile(card, [card] {
    card->Reset();
    Transactions& all = AllTransactions();
    base::MutexLock lock(&all.mutex);
    ++all.resets[card];
  });
}

void FakeReaders::SetHook(std::function<void(const Sent&)> hook) {
  base::MutexLock lock(&mutex_);
  hook_ = std::move(hook);
}

std::vector<FakeReaders::Sent> FakeReaders::sent() const {
  base::MutexLock lock(&mutex_);
  return sent_;
}

int FakeReaders::PinsSent(uint32_t serial) const {
  int pins = 0;
  for (const Sent& sent : this->sent()) {
    if (sent.serial == serial && sent.instruction == piv::kVerify && sent.data_bytes > 0) ++pins;
  }
  return pins;
}

bool FakeReaders::IsIn(const std::string& reader, uint64_t insertion) const {
  base::MutexLock lock(&mutex_);
  const auto found = readers_.find(reader);
  return found != readers_.end() && found->second.insertion == insertion;
}

std::vector<CardReaders::Present> FakeReaders::PresentNow() const {
  std::vector<Present> present;
  for (const auto& [reader, in] : readers_) present.push_back({reader, in.insertion});
  return present;
}

std::vector<CardReaders::Present> FakeReaders::WaitForChange(const std::vector<Present>& known) {
  base::MutexLock lock(&mutex_);
  changed_.Wait(&mutex_, [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return interrupted_ || PresentNow() != known;
  });
  interrupted_ = false;
  return PresentNow();
}

void FakeReaders::Interrupt() {
  base::MutexLock lock(&mutex_);
  interrupted_ = true;
  changed_.NotifyAll();
}

absl::StatusOr<std::unique_ptr<piv::Transport>> FakeReaders::Connect(const std::string& reader) {
  base::MutexLock lock(&mutex_);
  const auto found = readers_.find(reader);
  if (found == readers_.end()) {
    return absl::UnavailableError(absl::StrCat("no card is in ", reader));
  }
  return std::make_unique<Connection>(this, reader, found->second.insertion, found->second.card);
}

}  // namespace countersign::yubikey
