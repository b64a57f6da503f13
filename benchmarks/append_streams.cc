#include "benchmarks/append_streams.h"

#include <grpcpp/grpcpp.h>

#include <deque>
#include <utility>

#include "libs/base/mutex.h"

namespace countersign::bench {

namespace pb = ::countersign::ledger::v1;

using Done = std::function<void(bool, const pb::StreamAppendEntriesResponse&)>;

class AppendStreams::Stream : public grpc::ClientBidiReactor<pb::StreamAppendEntriesRequest,
                                                             pb::StreamAppendEntriesResponse> {
 public:
  Stream(const std::shared_ptr<grpc::Channel>& channel, std::string log, pb::WaitLevel wait)
      : stub_(pb::LedgerService::NewStub(channel)), log_(std::move(log)), wait_(wait) {
    stub_->async()->StreamAppendEntries(&context_, this);
    // Writes come from Append, outside a reaction.
    AddHold();
    StartCall();
    StartRead(&response_);
  }

  ~Stream() override {
    base::MutexLock lock(&mutex_);
    ending_ = true;
    if (!writing_) End();
    while (!ended_) changed_.Wait(&mutex_);
  }

  void Append(std::string entry, Done done) {
    bool failed;
    {
      base::MutexLock lock(&mutex_);
      failed = failed_;
      if (!failed) {
        waiting_.push_back(std::move(entry));
        done_.push_back(std::move(done));
        if (!writing_) WriteNext();
      }
    }
    if (failed) done(false, {});
  }

 private:
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    request_.Clear();
    request_.set_log(log_);
    request_.set_wait(wait_);
    request_.add_entries(std::move(waiting_.front()));
    waiting_.pop_front();
    writing_ = true;
    StartWrite(&request_);
  }

  void End() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    StartWritesDone();
    RemoveHold();
  }

  void OnWriteDone(bool ok) override {
    base::MutexLock lock(&mutex_);
    writing_ = false;
    if (ok && !waiting_.empty()) return WriteNext();
    if (ending_) End();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Fail();
    Done done;
    {
      base::MutexLock lock(&mutex_);
      done = std::move(done_.front());
      done_.pop_front();
    }
    done(true, response_);
    StartRead(&response_);
  }

  // Nothing more is answered.
  void Fail() {
    std::deque<Done> left;
    {
      base::MutexLock lock(&mutex_);
      failed_ = true;
      left.swap(done_);
      waiting_.clear();
    }
    for (const Done& done : left) done(false, {});
  }

  void OnDone(const grpc::Status& status) override {
    base::MutexLock lock(&mutex_);
    ended_ = true;
    changed_.NotifyAll();
  }

  const std::unique_ptr<pb::LedgerService::Stub> stub_;
  const std::string log_;
  const pb::WaitLevel wait_;
  grpc::ClientContext context_;
  pb::StreamAppendEntriesRequest request_;    // of the write under way
  pb::StreamAppendEntriesResponse response_;  // of the read under way
  base::Mutex mutex_;
  base::CondVar changed_;
  std::deque<std::string> waiting_ ABSL_GUARDED_BY(mutex_);
  std::deque<Done> done_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

AppendStreams::AppendStreams(const std::vector<std::shared_ptr<grpc::Channel>>& channels,
                             int streams, std::string log, pb::WaitLevel wait) {
  for (int i = 0; i < streams; ++i) {
    streams_.push_back(
        std::make_unique<Stream>(channels[static_cast<size_t>(i) % channels.size()], log, wait));
  }
}

AppendStreams::~AppendStreams() = default;

void AppendStreams::Append(int which, std::string entry, Done done) {
  streams_[static_cast<size_t>(which) % streams_.size()]->Append(std::move(entry), std::move(done));
}

}  // namespace countersign::bench
