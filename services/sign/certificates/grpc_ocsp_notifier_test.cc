#include "services/sign/certificates/grpc_ocsp_notifier.h"

#include <grpcpp/grpcpp.h>

#include <map>
#include <thread>

#include "catch2/catch.hpp"
#include "countersign/ocsp/v1/ocsp.grpc.pb.h"
#include "libs/base/manual_clock.h"
#include "libs/testing/eventually.h"
#include "libs/testing/in_process_server.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::Eventually;
using ::countersign::testing::InProcessServer;

// A responder whose answers can be held back, or be failures.
class FakeResponder : public ocsp::v1::OcspService::Service {
 public:
  grpc::Status Refresh(grpc::ServerContext* context, const ocsp::v1::RefreshRequest* request,
                       ocsp::v1::RefreshResponse* response) override {
    base::MutexLock lock(&mutex_);
    asked_.push_back(request->change_number());
    changed_.NotifyAll();
    while (held_ && !context->IsCancelled()) {
      changed_.WaitFor(&mutex_, absl::Milliseconds(5), [this] { return !held_; });
    }
    if (failing_) return grpc::Status(grpc::StatusCode::INTERNAL, "no");
    response->set_change_number(request->change_number());
    return grpc::Status::OK;
  }

  void Hold(bool held) {
    base::MutexLock lock(&mutex_);
    held_ = held;
    changed_.NotifyAll();
  }
  void Fail(bool failing) {
    base::MutexLock lock(&mutex_);
    failing_ = failing;
  }
  std::vector<int64_t> asked() const {
    base::MutexLock lock(&mutex_);
    return asked_;
  }

 private:
  mutable base::Mutex mutex_;
  base::CondVar changed_;
  std::vector<int64_t> asked_ ABSL_GUARDED_BY(mutex_);
  bool held_ ABSL_GUARDED_BY(mutex_) = false;
  bool failing_ ABSL_GUARDED_BY(mutex_) = false;
};

struct Fixture {
  FakeResponder one;
  FakeResponder two;
  InProcessServer server_one{&one};
  InProcessServer server_two{&two};
  base::ManualClock clock{absl::FromUnixSeconds(1700000000)};
};

TEST_CASE("Who waits has every responder told") {
  Fixture f;
  GrpcOcspNotifier notifier({f.server_one.channel(), f.server_two.channel()},
                            {.call_timeout = absl::Seconds(60), .clock = &f.clock});
  CHECK(notifier.NotifyAndWait(7, absl::Seconds(60)));
  CHECK(f.one.asked() == std::vector<int64_t>{7});
  CHECK(f.two.asked() == std::vector<int64_t>{7});
  // Told already.
  CHECK(notifier.NotifyAndWait(6, absl::Seconds(60)));
  CHECK(f.one.asked().size() == 1);
}

TEST_CASE("While one call is under way newer numbers gather, and the newest is told after it") {
  Fixture f;
  GrpcOcspNotifier notifier({f.server_one.channel()},
                            {.call_timeout = absl::Seconds(60), .clock = &f.clock});
  f.one.Hold(true);
  notifier.Notify(1);
  REQUIRE(Eventually([&] { return f.one.asked().size() == 1; }));
  for (int64_t number = 2; number <= 100; ++number) notifier.Notify(number);
  std::thread waiting([&] { CHECK(notifier.NotifyAndWait(101, absl::Seconds(60))); });
  notifier.Notify(50);
  f.one.Hold(false);
  waiting.join();
  const std::vector<int64_t> asked = f.one.asked();
  CHECK(asked.front() == 1);
  CHECK(asked.back() == 101);
  CHECK(asked.size() <= 3);
}

TEST_CASE("A responder that is down is left alone for a while, and keeps nobody waiting") {
  Fixture f;
  GrpcOcspNotifier notifier({f.server_one.channel(), f.server_two.channel()},
                            {.call_timeout = absl::Seconds(60), .clock = &f.clock});
  f.one.Fail(true);
  CHECK_FALSE(notifier.NotifyAndWait(1, absl::Seconds(60)));
  CHECK(f.two.asked() == std::vector<int64_t>{1});
  // Not asked again within the pause; the other one is.
  CHECK_FALSE(notifier.NotifyAndWait(2, absl::Seconds(60)));
  CHECK(f.one.asked() == std::vector<int64_t>{1});
  CHECK(f.two.asked() == std::vector<int64_t>{1, 2});
  f.clock.Advance(absl::Milliseconds(100));
  CHECK_FALSE(notifier.NotifyAndWait(3, absl::Seconds(60)));
  CHECK(f.one.asked() == std::vector<int64_t>{1, 3});
  // The pause has doubled.
  f.clock.Advance(absl::Milliseconds(150));
  CHECK_FALSE(notifier.NotifyAndWait(4, absl::Seconds(60)));
  CHECK(f.one.asked().size() == 2);
  f.one.Fail(false);
  f.clock.Advance(absl::Milliseconds(50));
  CHECK(notifier.NotifyAndWait(5, absl::Seconds(60)));
  CHECK(f.one.asked() == std::vector<int64_t>{1, 3, 5});
}

TEST_CASE("The wait ends in time though a responder hangs, and so does the notifier") {
  Fixture f;
  f.one.Hold(true);
  {
    GrpcOcspNotifier notifier({f.server_one.channel(), f.server_two.channel()},
                              {.call_timeout = absl::Seconds(600), .clock = &f.clock});
    CHECK_FALSE(notifier.NotifyAndWait(1, absl::Milliseconds(20)));
    REQUIRE(Eventually([&] { return f.one.asked().size() == 1; }));
  }
  f.one.Hold(false);
}

TEST_CASE("Nobody to tell is told at once") {
  GrpcOcspNotifier notifier({});
  notifier.Notify(1);
  CHECK(notifier.NotifyAndWait(2, absl::Seconds(60)));
}

}  // namespace
}  // namespace countersign::sign
