// Helpers for handlers of gRPC's callback API.
//
//   grpc::ServerUnaryReactor* Rotate(grpc::CallbackServerContext* context,
//                                    const pb::RotateRequest* request, pb::Key* reply) override {
//     return runtime::RunUnary(context, executor_, [=, this]() -> absl::Status {
//       ASSIGN_OR_RETURN(Key key, keys_->Rotate(request->name()));
//       *reply = ToProto(key);
//       return absl::OkStatus();
//     });
//   }
#ifndef COUNTERSIGN_LIBS_RUNTIME_CALL_H_
#define COUNTERSIGN_LIBS_RUNTIME_CALL_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace grpc {
class CallbackServerContext;
class ServerContextBase;
class ServerUnaryReactor;
}  // namespace grpc

namespace countersign::base {
class ThreadPool;
}

namespace countersign::runtime {

// Ends the call at once with `status`. For handlers that neither block nor compute for long.
grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                      const absl::Status& status);

// Runs `function` on `executor`, off gRPC's threads, and ends the call with what it returns; the
// request and reply stay valid until then. A call that was cancelled, or whose deadline passed,
// while it was queued is ended without running it.
grpc::ServerUnaryReactor* RunUnary(grpc::CallbackServerContext* context, base::ThreadPool* executor,
                                   std::function<absl::Status()> function);

// The id that this call's log lines carry: the caller's x-request-id, or the one made for it when
// it came without (servers of runtime::Main only; else "").
std::string RequestId(const grpc::ServerContextBase& context);

// When the call ends; InfiniteFuture when the caller set no deadline.
absl::Time Deadline(const grpc::ServerContextBase& context);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_CALL_H_
