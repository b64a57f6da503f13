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

// Ends a call whose reactor is at hand. Every unary handler ends by this or by one of the two
// below: they tell metrics and access log how the call went. (A handler that calls Finish itself is
// counted too, but more slowly, by an interceptor.) A failure returns the request id in its
// trailers.
void FinishCall(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
                const absl::Status& status);

// Ends the call at once with `status`. For handlers that neither block nor compute for long.
grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                      const absl::Status& status);

// Runs `function` on `executor`, off gRPC's threads, and ends the call with what it returns; the
// request and reply stay valid until then. A call that was cancelled, or whose deadline passed,
// while it was queued is ended without running it.
grpc::ServerUnaryReactor* RunUnary(grpc::CallbackServerContext* context, base::ThreadPool* executor,
                                   std::function<absl::Status()> function);

// The id that this call's log lines carry: the caller's x-request-id, or one made up when it sent
// none or an unusable one (a server of runtime::Main; else ""). Thread-safe.
std::string RequestId(const grpc::ServerContextBase& context);

// When the call ends; InfiniteFuture when the caller set no deadline.
absl::Time Deadline(const grpc::ServerContextBase& context);

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_CALL_H_
