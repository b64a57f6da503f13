#include "services/yubikey-agent/watch_cards_reactor.h"

#include <utility>
#include <vector>

#include "services/yubikey-agent/conversions.h"

namespace countersign::yubikey {

WatchCardsReactor* WatchCardsReactor::Start(CardPool* pool) {
  auto reactor = std::shared_ptr<WatchCardsReactor>(new WatchCardsReactor(pool));
  reactor->self_ = reactor;
  const std::weak_ptr<WatchCardsReactor> weak = reactor;
  reactor->watch_ = pool->Watch([weak] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    {
      base::MutexLock lock(&self->mutex_);
      self->changed_ = true;
    }
    self->Tell();
  });
  reactor->Tell();
  return reactor.get();
}

void WatchCardsReactor::Tell() {
  base::MutexLock lock(&mutex_);
  if (!changed_ || writing_ || finished_) return;
  changed_ = false;
  response_.Clear();
  for (const CardInfo& card : pool_->Cards()) *response_.add_cards() = ToProto(card);
  std::string bytes = response_.SerializeAsString();
  if (bytes == told_) return;
  told_ = std::move(bytes);
  writing_ = true;
  StartWrite(&response_);
}

void WatchCardsReactor::OnWriteDone(bool ok) {
  {
    base::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) return End();
  }
  Tell();
}

void WatchCardsReactor::OnCancel() {
  base::MutexLock lock(&mutex_);
  End();
}

void WatchCardsReactor::End() {
  if (finished_) return;
  finished_ = true;
  Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the caller is gone"));
}

void WatchCardsReactor::OnDone() {
  watch_.reset();
  const std::shared_ptr<WatchCardsReactor> last = std::move(self_);
}

}  // namespace countersign::yubikey
