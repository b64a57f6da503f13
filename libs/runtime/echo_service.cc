#include "libs/runtime/echo_service.h"

#include <fcntl.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/call.h"
#include "libs/runtime/error_details.h"

namespace countersign::runtime {

void EchoService::BeginDrain() {
  base::MutexLock lock(&mutex_);
  draining_ = true;
  changed_.NotifyAll();
}

grpc::ServerUnaryReactor* EchoService::Echo(grpc::CallbackServerContext* context,
                                            const test::v1::EchoRequest* request,
                                            test::v1::EchoResponse* response) {
  response->set_message(request->message());
  response->set_request_id(RequestId(*context));
  const auto trace = context->client_metadata().find("traceparent");
  if (trace != context->client_metadata().end()) {
    response->set_traceparent(trace->second.data(), trace->second.size());
  }
  const absl::Time deadline = Deadline(*context);
  response->set_deadline_ms(
      deadline == absl::InfiniteFuture() ? -1 : absl::ToInt64Milliseconds(deadline - absl::Now()));
  return FinishUnary(context, absl::OkStatus());
}

grpc::ServerUnaryReactor* EchoService::Fail(grpc::CallbackServerContext* context,
                                            const test::v1::FailRequest* request,
                                            test::v1::FailResponse* response) {
  absl::Status status(static_cast<absl::StatusCode>(request->code()), request->message());
  if (!request->reason().empty()) status = AttachReason(status, request->reason());
  if (request->retry_after_ms() > 0) {
    status = AttachRetryAfter(status, absl::Milliseconds(request->retry_after_ms()));
  }
  return FinishUnary(context, status);
}

grpc::ServerUnaryReactor* EchoService::Hold(grpc::CallbackServerContext* context,
                                            const test::v1::HoldRequest* request,
                                            test::v1::HoldResponse* response) {
  return RunUnary(context, executor_, [this, request] {
    {
      base::MutexLock lock(&mutex_);
      ++held_;
      changed_.NotifyAll();
      if (request->pipe().empty()) {
        changed_.Wait(&mutex_, [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return draining_; });
        return absl::OkStatus();
      }
    }
    const int fd = open(request->pipe().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return absl::NotFoundError("no such pipe");
    close(fd);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* EchoService::EchoDirectly(grpc::CallbackServerContext* context,
                                                    const test::v1::EchoRequest* request,
                                                    test::v1::EchoResponse* response) {
  auto* reactor = context->DefaultReactor();
  response->set_message(request->message());
  reactor->Finish(request->message().empty()
                      ? grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "empty")
                      : grpc::Status::OK);
  return reactor;
}

grpc::ServerBidiReactor<test::v1::EchoRequest, test::v1::EchoResponse>* EchoService::EchoStream(
    grpc::CallbackServerContext* context) {
  class Reactor : public grpc::ServerBidiReactor<test::v1::EchoRequest, test::v1::EchoResponse> {
   public:
    Reactor() { StartRead(&request_); }
    void OnReadDone(bool ok) override {
      if (!ok) return Finish(grpc::Status::OK);
      if (request_.message().empty()) {
        return Finish(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "empty"));
      }
      response_.set_message(request_.message());
      StartWrite(&response_);
    }
    void OnWriteDone(bool ok) override { StartRead(&request_); }
    void OnDone() override { delete this; }

   private:
    test::v1::EchoRequest request_;
    test::v1::EchoResponse response_;
  };
  return new Reactor;
}

grpc::ServerUnaryReactor* EchoService::AwaitHold(grpc::CallbackServerContext* context,
                                                 const test::v1::AwaitHoldRequest* request,
                                                 test::v1::AwaitHoldResponse* response) {
  return RunUnary(context, executor_, [this, request] {
    base::MutexLock lock(&mutex_);
    changed_.Wait(&mutex_, [this, request]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return held_ >= request->count();
    });
    return absl::OkStatus();
  });
}

}  // namespace countersign::runtime
