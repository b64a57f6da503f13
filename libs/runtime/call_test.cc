#include "libs/runtime/call.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "countersign/runtime/test/v1/echo.grpc.pb.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/echo_service.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"

namespace countersign::runtime {
namespace {

using countersign::testing::InProcessServer;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

// Echo is answered by the executor; before it does so, it counts.
class QueuedService : public test::v1::EchoService::CallbackService {
 public:
  explicit QueuedService(base::ThreadPool* executor) : executor_(executor) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const test::v1::EchoRequest* request,
                                 test::v1::EchoResponse* response) override {
    deadline_ns = absl::ToUnixNanos(Deadline(*context));
    return RunUnary(context, executor_, [this, request, response]() -> absl::Status {
      ++ran;
      if (request->message().empty()) return absl::InvalidArgumentError("message is empty");
      response->set_message(request->message());
      return absl::OkStatus();
    });
  }

  std::atomic<int> ran{0};
  std::atomic<int64_t> deadline_ns{0};  // of the last call, as the server sees it; in Unix time

 private:
  base::ThreadPool* const executor_;
};

absl::Status CallEcho(InProcessServer* server, const std::string& message, absl::Duration timeout,
                      test::v1::EchoResponse* response) {
  const auto context = MakeContext(timeout);
  test::v1::EchoRequest request;
  request.set_message(message);
  return FromGrpcStatus(
      test::v1::EchoService::NewStub(server->channel())->Echo(context.get(), request, response));
}

TEST_CASE("a call is answered with what its function on the executor returns") {
  base::ThreadPool executor(1);
  QueuedService service(&executor);
  InProcessServer server(&service);
  test::v1::EchoResponse response;
  CHECK_THAT(CallEcho(&server, "hello", absl::Seconds(30), &response), IsOk());
  CHECK(response.message() == "hello");
  CHECK_THAT(CallEcho(&server, "", absl::Seconds(30), &response),
             StatusIs(absl::StatusCode::kInvalidArgument, "message is empty"));
  CHECK(service.ran == 2);
}

TEST_CASE("a call whose deadline passes in the queue is not run") {
  auto executor = std::make_unique<base::ThreadPool>(1);
  QueuedService service(executor.get());
  InProcessServer server(&service);
  std::promise<void> release;
  executor->Schedule([&] { release.get_future().wait(); });
  test::v1::EchoResponse response;
  CHECK_THAT(CallEcho(&server, "hello", absl::Milliseconds(20), &response),
             StatusIs(absl::StatusCode::kDeadlineExceeded));
  // The server's deadline may be a little later than the client's.
  while (absl::ToUnixNanos(absl::Now()) <= service.deadline_ns) std::this_thread::yield();
  release.set_value();
  server.Stop();  // Waits for the queued call, too.
  CHECK(service.ran == 0);
}

TEST_CASE("a call made for another one inherits its request id, trace and deadline") {
  base::ThreadPool executor(1);
  EchoService back(&executor);
  InProcessServer back_server(&back);

  // Passes each call on.
  class Front : public test::v1::EchoService::CallbackService {
   public:
    explicit Front(std::shared_ptr<grpc::Channel> next)
        : next_(test::v1::EchoService::NewStub(next)) {}
    grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                   const test::v1::EchoRequest* request,
                                   test::v1::EchoResponse* response) override {
      auto* reactor = context->DefaultReactor();
      auto next = std::shared_ptr<grpc::ClientContext>(MakeContext(*context, absl::Hours(1)));
      next_->async()->Echo(next.get(), request, response, [reactor, next](grpc::Status status) {
        reactor->Finish(std::move(status));
      });
      return reactor;
    }

   private:
    std::unique_ptr<test::v1::EchoService::Stub> next_;
  };
  Front front(back_server.channel());
  InProcessServer front_server(&front);

  const auto context = MakeContext(absl::Seconds(50), "req-1");
  context->AddMetadata("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  test::v1::EchoResponse response;
  RequireOk(FromGrpcStatus(
      test::v1::EchoService::NewStub(front_server.channel())->Echo(context.get(), {}, &response)));
  CHECK(response.request_id() == "req-1");
  CHECK(response.traceparent() == "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  CHECK(response.deadline_ms() > 0);
  // On its way a deadline is rounded up.
  CHECK(response.deadline_ms() < 60'000);
}

}  // namespace
}  // namespace countersign::runtime
