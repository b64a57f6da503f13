#include "libs/runtime/call.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <utility>

#include "libs/base/thread_pool.h"
#include "libs/runtime/call_context.h"
#include "libs/runtime/request_id.h"
#include "libs/runtime/status.h"

namespace countersign::runtime {

void FinishCall(grpc::CallbackServerContext* context, grpc::ServerUnaryReactor* reactor,
                const absl::Status& status) {
  grpc::Status mapped = ToGrpcStatus(status);
  if (CallContext* const call = CallContext::From(context); call != nullptr) {
    call->reported = true;
    call->code = mapped.error_code();
    if (!mapped.ok()) {
      call->error = mapped.error_message();
      call->AddTrailingMetadata(kRequestIdHeader, call->request_id());
    }
  }
  reactor->Finish(std::move(mapped));
}

grpc::ServerUnaryReactor* FinishUnary(grpc::CallbackServerContext* context,
                                      const absl::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  FinishCall(context, reactor, status);
  return reactor;
}

grpc::ServerUnaryReactor* RunUnary(grpc::CallbackServerContext* context, base::ThreadPool* executor,
                                   std::function<absl::Status()> function) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  executor->Schedule([context, reactor, function = std::move(function)]() mutable {
    absl::Status status;
    if (context->IsCancelled()) {
      status = absl::CancelledError("the caller gave up while the call was queued");
    } else if (context->deadline() < std::chrono::system_clock::now()) {
      status = absl::DeadlineExceededError("the deadline passed while the call was queued");
    } else {
      status = function();
    }
    // What the function captured must not outlive the call: Finish lets the server go away.
    function = nullptr;
    FinishCall(context, reactor, status);
  });
  return reactor;
}

std::string RequestId(const grpc::ServerContextBase& context) {
  if (const auto* call = dynamic_cast<const CallContext*>(&context); call != nullptr) {
    return call->request_id();
  }
  const auto& metadata = context.client_metadata();
  const auto found = metadata.find(kRequestIdHeader);
  if (found == metadata.end()) return "";
  return std::string(found->second.data(), found->second.size());
}

absl::Time Deadline(const grpc::ServerContextBase& context) {
  const auto deadline = context.deadline();
  if (deadline == std::chrono::system_clock::time_point::max()) return absl::InfiniteFuture();
  return absl::FromChrono(deadline);
}

}  // namespace countersign::runtime
