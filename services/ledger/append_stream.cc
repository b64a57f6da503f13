#include "services/ledger/append_stream.h"

#include <utility>
#include <vector>

#include "libs/runtime/status.h"
#include "services/ledger/ledger_service.h"
#include "services/ledger/proto_conversions.h"

namespace countersign::ledger {

AppendStream::AppendStream(LedgerService* service, absl::Time deadline)
    : service_(service), deadline_(deadline) {
  Proceed([] {});
}

void AppendStream::OnReadDone(bool ok) {
  std::shared_ptr<Batch> batch;
  {
    base::MutexLock lock(&mutex_);
    batch = std::move(reading_);
    reading_ = nullptr;
    if (!ok) {
      half_closed_ = true;
      batch = nullptr;
    } else if (Ending()) {
      // The client sent it before it learnt that the stream has failed: it is not appended.
      batch = nullptr;
    } else {
      if (!batch->request.log().empty()) log_ = batch->request.log();
      batch->request.set_log(log_);
      in_flight_.push_back(batch);
      ++unanswered_;
      submitting_ = true;
    }
  }
  if (batch != nullptr) Submit(batch);
  Proceed([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { submitting_ = false; });
}

void AppendStream::Submit(const std::shared_ptr<Batch>& batch) {
  service_->Append(
      batch->request.log(), {batch->request.entries().begin(), batch->request.entries().end()},
      batch->request.wait(), deadline_,
      [this, batch](const Log* log, absl::StatusOr<Ledger::Appended> appended) {
        batch->status = appended.status();
        if (appended.ok()) {
          batch->status = FillAppended(*log->ledger, *appended, batch->response.mutable_entries(),
                                       batch->response.mutable_checkpoint());
        }
        Proceed([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
          batch->answered = true;
          --unanswered_;
        });
      });
}

void AppendStream::OnWriteDone(bool ok) {
  Proceed([&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    writing_ = nullptr;
    if (!ok) broken_ = true;
  });
}

bool AppendStream::Ending() const { return half_closed_ || broken_ || !status_.ok(); }

void AppendStream::Proceed(absl::FunctionRef<void()> update) {
  absl::Status status;
  {
    base::MutexLock lock(&mutex_);
    update();
    if (!Advance()) return;
    status = status_;
  }
  // Outside the mutex and last, because OnDone may delete this object before Finish returns.
  Finish(runtime::ToGrpcStatus(status));
}

bool AppendStream::Advance() {
  if (finished_) return false;
  if (writing_ == nullptr && status_.ok() && !broken_ && !in_flight_.empty() &&
      in_flight_.front()->answered) {
    writing_ = std::move(in_flight_.front());
    in_flight_.pop_front();
    if (writing_->status.ok()) {
      StartWrite(&writing_->response);
    } else {
      status_ = writing_->status;
      writing_ = nullptr;
    }
  }
  if (!Ending() && !submitting_ && reading_ == nullptr && in_flight_.size() < kMaxInFlight) {
    reading_ = std::make_shared<Batch>();
    StartRead(&reading_->request);
  }
  // A read under way when the stream fails ends by itself once Finish is called, so it is no reason
  // to wait; answers still to come are, because their callbacks use this object.
  const bool drained = status_.ok() && !broken_ ? in_flight_.empty() : true;
  finished_ = Ending() && drained && unanswered_ == 0 && writing_ == nullptr;
  return finished_;
}

void AppendStream::OnDone() { delete this; }

}  // namespace countersign::ledger
