// The stream of WatchCards: the cards as they are, and again after each change.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_WATCH_CARDS_REACTOR_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_WATCH_CARDS_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <string>

#include "countersign/yubikey/v1/card_service.pb.h"
#include "libs/base/mutex.h"
#include "services/yubikey-agent/card_pool.h"

namespace countersign::yubikey {

// Owned by itself until the call is over. A slow reader gets the newest state, not every one.
class WatchCardsReactor final : public grpc::ServerWriteReactor<v1::WatchCardsResponse>,
                                public std::enable_shared_from_this<WatchCardsReactor> {
 public:
  // `pool` must outlive the call.
  static WatchCardsReactor* Start(CardPool* pool);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  explicit WatchCardsReactor(CardPool* pool) : pool_(pool) {}

  // Writes when there is something new and nothing is being written.
  void Tell();
  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  CardPool* const pool_;
  std::shared_ptr<WatchCardsReactor> self_;
  std::shared_ptr<void> watch_;

  // gRPC's Start… calls never call back on the calling thread's stack, so they are made with it
  // held; that makes one write at a time and one Finish at the end.
  base::Mutex mutex_;
  v1::WatchCardsResponse response_ ABSL_GUARDED_BY(mutex_);
  std::optional<std::string> told_ ABSL_GUARDED_BY(mutex_);
  bool changed_ ABSL_GUARDED_BY(mutex_) = true;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_WATCH_CARDS_REACTOR_H_
