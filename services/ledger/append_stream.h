// The reactor of LedgerService.StreamAppendEntries.
#ifndef COUNTERSIGN_SERVICES_LEDGER_APPEND_STREAM_H_
#define COUNTERSIGN_SERVICES_LEDGER_APPEND_STREAM_H_

#include <deque>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "countersign/ledger/v1/ledger.grpc.pb.h"
#include "libs/base/mutex.h"

namespace countersign::ledger {

class LedgerService;

// Reads ahead, so that batches are sequenced while earlier ones are answered, but no further than
// kMaxInFlight of them: then the client is held back by the stream's flow control. Answers go out
// in the order of the requests. Deletes itself when the call has ended.
class AppendStream final : public grpc::ServerBidiReactor<v1::StreamAppendEntriesRequest,
                                                          v1::StreamAppendEntriesResponse> {
 public:
  static constexpr size_t kMaxInFlight = 16;

  AppendStream(LedgerService* service, absl::Time deadline);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override;

 private:
  struct Batch {
    v1::StreamAppendEntriesRequest request;  // the appended bytes live here
    v1::StreamAppendEntriesResponse response;
    absl::Status status;
    bool answered = false;
  };

  ~AppendStream() override = default;

  void Submit(const std::shared_ptr<Batch>& batch);
  // No more requests are taken.
  bool Ending() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Does `update` with the mutex held, then starts what can be started: a read, a write or the end.
  // The object may be gone after it, but for the span of a reaction (On…).
  void Proceed(absl::FunctionRef<void()> update);
  // Starts a read or a write, and returns whether it is time for Finish.
  bool Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  LedgerService* const service_;
  const absl::Time deadline_;

  base::Mutex mutex_;
  std::string log_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Batch>> in_flight_ ABSL_GUARDED_BY(mutex_);  // in request order
  std::shared_ptr<Batch> reading_ ABSL_GUARDED_BY(mutex_);
  // A batch is on its way to the log; the next is read when it has got there, so that entries take
  // their indexes in the order of the requests.
  bool submitting_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Batch> writing_ ABSL_GUARDED_BY(mutex_);
  size_t unanswered_ ABSL_GUARDED_BY(mutex_) = 0;  // batches whose callback is still to come
  bool half_closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;  // the client is gone
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace countersign::ledger

#endif  // COUNTERSIGN_SERVICES_LEDGER_APPEND_STREAM_H_
