#include "services/sign/stream_sign_reactor.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/runtime/error_details.h"
#include "services/sign/errors.h"
#include "services/sign/jobs.h"

namespace countersign::sign {
namespace {

// Nothing more is read while this many requests, or bytes of them, are unanswered.
constexpr size_t kMaxUnanswered = 1024;
constexpr size_t kMaxUnansweredBytes = 16 << 20;

void SetError(const absl::Status& status, v1::StreamSignResponse* response) {
  v1::ItemError* error = response->mutable_error();
  error->set_code(static_cast<int32_t>(status.code()));
  error->set_message(std::string(status.message()));
  error->set_reason(runtime::ReasonOf(status).value_or(""));
}

// Owned by itself until the call is over, and by the requests that are being signed: a signer's
// thread may still hold the lock when gRPC says that the call is over.
class StreamSignReactor final
    : public grpc::ServerBidiReactor<v1::StreamSignRequest, v1::StreamSignResponse>,
      public std::enable_shared_from_this<StreamSignReactor> {
 public:
  StreamSignReactor(Signing* signing, grpc::CallbackServerContext* context)
      : signing_(signing), context_(context), next_(std::make_unique<Item>()) {}

  void Start() {
    self_ = shared_from_this();
    StartRead(&next_->request);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      base::MutexLock lock(&mutex_);
      reading_ = false;
      FinishIfOver();
      return;
    }
    std::shared_ptr<Item> item = std::move(next_);
    next_ = std::make_unique<Item>();
    {
      base::MutexLock lock(&mutex_);
      ++unanswered_;
      unanswered_bytes_ += item->request.ByteSizeLong();
    }
    Sign(std::move(item));
    base::MutexLock lock(&mutex_);
    paused_ = Full();
    if (!paused_) StartRead(&next_->request);
  }

  void OnWriteDone(bool ok) override {
    base::MutexLock lock(&mutex_);
    broken_ = broken_ || !ok;
    Settle(*std::exchange(writing_, nullptr));
    WriteNext();
  }

  void OnDone() override { const std::shared_ptr<StreamSignReactor> last = std::move(self_); }

 private:
  struct Item {
    v1::StreamSignRequest request;
    v1::StreamSignResponse response;
  };

  void Sign(std::shared_ptr<Item> item) {
    item->response.set_correlation_id(item->request.correlation_id());
    if (!item->request.name().empty()) name_ = item->request.name();
    absl::StatusOr<SigningJob> job =
        name_.empty() ? FieldError("name", "the first request of a stream names the key")
                      : MakeJob(item->request, name_, context_);
    if (!job.ok()) {
      SetError(job.status(), &item->response);
      return Answer(std::move(item));
    }
    signing_->Sign(*std::move(job), [self = shared_from_this(), item = std::move(item)](
                                        absl::StatusOr<std::vector<v1::Signature>> signatures) {
      if (signatures.ok()) {
        item->response.mutable_signature()->Swap(&signatures->front());
      } else {
        SetError(signatures.status(), &item->response);
      }
      self->Answer(item);
    });
  }

  void Answer(std::shared_ptr<Item> item) {
    base::MutexLock lock(&mutex_);
    answers_.push_back(std::move(item));
    if (writing_ == nullptr) WriteNext();
  }

  bool Full() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return unanswered_ >= kMaxUnanswered || unanswered_bytes_ >= kMaxUnansweredBytes;
  }

  // `item` has its answer, or will get none.
  void Settle(const Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    --unanswered_;
    unanswered_bytes_ -= item.request.ByteSizeLong();
  }

  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (broken_) {
      for (const std::shared_ptr<Item>& item : answers_) Settle(*item);
      answers_.clear();
    }
    if (!answers_.empty()) {
      writing_ = std::move(answers_.front());
      answers_.pop_front();
      grpc::WriteOptions options;
      // More follows at once: let gRPC send them together.
      if (!answers_.empty()) options.set_buffer_hint();
      StartWrite(&writing_->response, options);
    }
    if (paused_ && !Full()) {
      paused_ = false;
      StartRead(&next_->request);
    }
    FinishIfOver();
  }

  // Over: nothing more to read, to sign or to write. A call that was cancelled gets there too, for
  // its reads and writes fail.
  void FinishIfOver() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!reading_ && unanswered_ == 0) Finish(grpc::Status::OK);
  }

  Signing* const signing_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<StreamSignReactor> self_;
  // Of the reading side, which is never entered twice at once.
  std::unique_ptr<Item> next_;
  std::string name_;

  // Guards the writing side. gRPC's Start… calls never call back on the calling thread's stack, so
  // they are made with it held; that makes one write at a time and one Finish at the end.
  base::Mutex mutex_;
  std::deque<std::shared_ptr<Item>> answers_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Item> writing_ ABSL_GUARDED_BY(mutex_);
  // Requests read whose answer is not yet written, and their size.
  size_t unanswered_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t unanswered_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool reading_ ABSL_GUARDED_BY(mutex_) = true;
  bool paused_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerBidiReactor<v1::StreamSignRequest, v1::StreamSignResponse>* StartStreamSign(
    Signing* signing, grpc::CallbackServerContext* context) {
  const auto reactor = std::make_shared<StreamSignReactor>(signing, context);
  reactor->Start();
  return reactor.get();
}

}  // namespace countersign::sign
