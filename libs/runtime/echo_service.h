// The service behind the tests of libs/runtime.
#ifndef COUNTERSIGN_LIBS_RUNTIME_ECHO_SERVICE_H_
#define COUNTERSIGN_LIBS_RUNTIME_ECHO_SERVICE_H_

#include <string>

#include "countersign/runtime/test/v1/echo.grpc.pb.h"
#include "libs/base/mutex.h"

namespace countersign::base {
class ThreadPool;
}

namespace countersign::runtime {

// Thread-safe. `executor` must outlive it.
class EchoService : public test::v1::EchoService::CallbackService {
 public:
  explicit EchoService(base::ThreadPool* executor) : executor_(executor) {}

  // Lets calls of Hold without a pipe end.
  void BeginDrain();

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context,
                                 const test::v1::EchoRequest* request,
                                 test::v1::EchoResponse* response) override;
  grpc::ServerUnaryReactor* Fail(grpc::CallbackServerContext* context,
                                 const test::v1::FailRequest* request,
                                 test::v1::FailResponse* response) override;
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context,
                                 const test::v1::HoldRequest* request,
                                 test::v1::HoldResponse* response) override;
  grpc::ServerUnaryReactor* EchoDirectly(grpc::CallbackServerContext* context,
                                         const test::v1::EchoRequest* request,
                                         test::v1::EchoResponse* response) override;
  grpc::ServerBidiReactor<test::v1::EchoRequest, test::v1::EchoResponse>* EchoStream(
      grpc::CallbackServerContext* context) override;
  grpc::ServerUnaryReactor* AwaitHold(grpc::CallbackServerContext* context,
                                      const test::v1::AwaitHoldRequest* request,
                                      test::v1::AwaitHoldResponse* response) override;

 private:
  base::ThreadPool* const executor_;
  base::Mutex mutex_;
  base::CondVar changed_;
  int held_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_ECHO_SERVICE_H_
