#include "libs/runtime/channel.h"

#include <grpcpp/grpcpp.h>

#include <atomic>

#include "catch2/catch.hpp"
#include "countersign/runtime/test/v1/echo.grpc.pb.h"
#include "libs/runtime/call.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"

namespace countersign::runtime {
namespace {

using countersign::testing::InProcessServer;
using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;

// Fails its first calls.
class Flaky : public test::v1::EchoService::CallbackService {
 public:
  Flaky(int failures, absl::Status failure) : failures_(failures), failure_(std::move(failure)) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const test::v1::EchoRequest* request,
                                 test::v1::EchoResponse* response) override {
    return FinishUnary(context, ++calls <= failures_ ? failure_ : absl::OkStatus());
  }

  std::atomic<int> calls{0};

 private:
  const int failures_;
  const absl::Status failure_;
};

absl::Status CallEcho(const std::string& address) {
  const auto channel = RequireOk(MakeChannel(address));
  const auto context = MakeContext(absl::Seconds(60));
  test::v1::EchoResponse response;
  return FromGrpcStatus(
      test::v1::EchoService::NewStub(channel)->Echo(context.get(), {}, &response));
}

TEST_CASE("UNAVAILABLE is tried again") {
  Flaky service(2, absl::UnavailableError("starting"));
  InProcessServer server(&service);
  CHECK_THAT(CallEcho(server.address()), IsOk());
  CHECK(service.calls == 3);
}

TEST_CASE("a fourth UNAVAILABLE is the answer") {
  Flaky service(100, absl::UnavailableError("down"));
  InProcessServer server(&service);
  CHECK_THAT(CallEcho(server.address()), StatusIs(absl::StatusCode::kUnavailable, "down"));
  CHECK(service.calls == 4);
}

TEST_CASE("other failures are not tried again") {
  Flaky service(1, absl::InternalError("broken"));
  InProcessServer server(&service);
  CHECK_THAT(CallEcho(server.address()), StatusIs(absl::StatusCode::kInternal, "broken"));
  CHECK(service.calls == 1);
}

TEST_CASE("a service that is not there fails at once, not at the deadline") {
  Flaky service(0, absl::OkStatus());
  InProcessServer server(&service);
  const std::string address = server.address();
  server.Stop();
  CHECK_THAT(CallEcho(address), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_CASE("a channel that cannot be secured as asked is refused") {
  CHECK_THAT(MakeChannel(""), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(MakeChannel("127.0.0.1:1", {.ca_file = "/no/such/file"}),
             StatusIs(absl::StatusCode::kNotFound, "/no/such/file"));
  CHECK_THAT(MakeChannel("127.0.0.1:1", {.cert_file = "/no/such/file"}),
             StatusIs(absl::StatusCode::kInvalidArgument, "needs its key"));
}

}  // namespace
}  // namespace countersign::runtime
