// A stream that answers a resource as it is and at each change, until it is done.
#ifndef COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_WATCH_REACTOR_H_
#define COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_WATCH_REACTOR_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "libs/base/mutex.h"
#include "libs/runtime/status.h"
#include "services/sign/certificates/watches.h"

namespace countersign::sign {

// Owned by itself until the call is over. A slow reader gets the newest state, not every one.
template <typename Resource, typename Response>
class WatchReactor final : public grpc::ServerWriteReactor<Response>,
                           public std::enable_shared_from_this<WatchReactor<Resource, Response>> {
 public:
  using Set = std::function<void(const Resource&, Response*)>;
  using IsDone = std::function<bool(const Resource&)>;

  // `watches` must outlive the call.
  static WatchReactor* Start(Watches<Resource>* watches, const ResourceId& name, Set set,
                             IsDone is_done) {
    auto reactor = std::shared_ptr<WatchReactor>(
        new WatchReactor(watches, std::move(set), std::move(is_done)));
    reactor->self_ = reactor;
    const std::weak_ptr<WatchReactor> weak = reactor;
    reactor->id_ = watches->Add(name, [weak](const absl::StatusOr<Resource>& resource) {
      if (const auto self = weak.lock()) self->Tell(resource);
    });
    return reactor.get();
  }

  // A stream that fails at once.
  static WatchReactor* Fail(const absl::Status& status) {
    auto reactor = std::shared_ptr<WatchReactor>(new WatchReactor(nullptr, nullptr, nullptr));
    reactor->self_ = reactor;
    reactor->Tell(status);
    return reactor.get();
  }

  void OnWriteDone(bool ok) override {
    base::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) end_ = absl::CancelledError("the stream is broken");
    Next();
  }

  void OnCancel() override {
    base::MutexLock lock(&mutex_);
    end_ = absl::CancelledError("the call was cancelled");
    Next();
  }

  void OnDone() override {
    if (watches_ != nullptr) watches_->Remove(id_);
    const std::shared_ptr<WatchReactor> last = std::move(self_);
  }

 private:
  WatchReactor(Watches<Resource>* watches, Set set, IsDone is_done)
      : watches_(watches), set_(std::move(set)), is_done_(std::move(is_done)) {}

  void Tell(const absl::StatusOr<Resource>& resource) {
    base::MutexLock lock(&mutex_);
    if (end_.has_value()) return;
    if (!resource.ok()) {
      end_ = resource.status();
    } else {
      std::string bytes = resource->SerializeAsString();
      if (bytes == told_) return;
      told_ = std::move(bytes);
      next_ = *resource;
      if (is_done_(*resource)) end_ = absl::OkStatus();
    }
    Next();
  }

  void Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (writing_ || finished_) return;
    if (next_.has_value() && (!end_.has_value() || end_->ok())) {
      response_.Clear();
      set_(*next_, &response_);
      next_.reset();
      writing_ = true;
      this->StartWrite(&response_);
    } else if (end_.has_value()) {
      finished_ = true;
      this->Finish(runtime::ToGrpcStatus(*end_));
    }
  }

  Watches<Resource>* const watches_;
  const Set set_;
  const IsDone is_done_;
  uint64_t id_ = 0;
  std::shared_ptr<WatchReactor> self_;

  // gRPC's Start… calls never call back on the calling thread's stack, so they are made with it
  // held; that makes one write at a time and one Finish at the end.
  base::Mutex mutex_;
  Response response_ ABSL_GUARDED_BY(mutex_);
  std::optional<Resource> next_ ABSL_GUARDED_BY(mutex_);
  std::string told_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace countersign::sign

#endif  // COUNTERSIGN_SERVICES_SIGN_CERTIFICATES_WATCH_REACTOR_H_
