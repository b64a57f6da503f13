#include "services/ledger/append_stream.h"

#include <utility>
#include <vector>

#include "libs/runtime/status.h"
#include "services/ledger/ledger_service.h"
#include "services/ledger/proto_conversions.h"

namespace countersign::ledger {

AppendStream::AppendStream(LedgerService* service, absl::Time deadline)
    : service_(service), deadline_(deadline) {
  base::MutexLock lock(&mutex_);
  Advance();
}

void AppendStream::OnReadDone(bool ok) {
  std::shared_ptr<Batch> batch;
  {
    base::MutexLock lock(&mutex_);
    batch = std::move(reading_);
    reading_ = nullptr;
    if (!ok) {
      half_closed_ = true;
      Advance();
      return;
    }
    if (!batch->request.log().empty()) log_ = batch->request.log();
    batch->request.set_log(log_);
    in_flight_.push_back(batch);
    ++unanswered_;
  }
  Submit(batch);
  base::MutexLock lock(&mutex_);
  Advance();
}

void AppendStream::Submit(const std::shared_ptr<Batch>& batch) {
  service_->Append(
      batch->request.log(), {batch->request.entries().begin(), batch->request.entries().end()},
      batch->request.wait(), deadline_,
      [this, batch](const LedgerService::Log* log, absl::StatusOr<Ledger::Appended> appended) {
        batch->status = appended.status();
        if (appended.ok()) {
          batch->status =
              FillAppendedBatch(*log->ledger, *appended, batch->response.mutable_entries(),
                                batch->response.mutable_checkpoint());
        }
        base::MutexLock lock(&mutex_);
        batch->answered = true;
        --unanswered_;
        Advance();
      });
}

void AppendStream::OnWriteDone(bool ok) {
  base::MutexLock lock(&mutex_);
  writing_ = nullptr;
  if (!ok) broken_ = true;
  Advance();
}

void AppendStream::Advance() {
  if (finished_) return;
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
  const bool ending = half_closed_ || broken_ || !status_.ok();
  if (!ending && reading_ == nullptr && in_flight_.size() < kMaxInFlight) {
    reading_ = std::make_shared<Batch>();
    StartRead(&reading_->request);
  }
  // A read under way when the stream fails ends by itself once Finish is called, so it is no reason
  // to wait; answers still to come are, because their callbacks use this object.
  const bool drained = status_.ok() && !broken_ ? in_flight_.empty() : true;
  if (ending && drained && unanswered_ == 0 && writing_ == nullptr) {
    finished_ = true;
    Finish(runtime::ToGrpcStatus(status_));
  }
}

void AppendStream::OnDone() { delete this; }

}  // namespace countersign::ledger
