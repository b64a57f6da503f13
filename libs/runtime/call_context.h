// The server context of the calls that runtime::Main serves: it remembers how a call went.
#ifndef COUNTERSIGN_LIBS_RUNTIME_CALL_CONTEXT_H_
#define COUNTERSIGN_LIBS_RUNTIME_CALL_CONTEXT_H_

#include <grpcpp/server_context.h>

#include <chrono>
#include <mutex>
#include <string>

namespace countersign::runtime {

class MethodMetrics;

// Written by the call's handler before it finishes the call, read after that.
class CallContext : public grpc::CallbackServerContext {
 public:
  // Null when `context` is not of this type: another server's, or not of the callback API.
  static CallContext* From(grpc::ServerContextBase* context) {
    return dynamic_cast<CallContext*>(context);
  }

  // The caller's x-request-id when it is valid, else one made up at the first use. Thread-safe.
  const std::string& request_id() const;

  // Set when the call is counted at its release, by the fields below.
  MethodMetrics* method = nullptr;
  std::chrono::steady_clock::time_point start;
  bool reported = false;  // by FinishCall
  int code = 0;
  std::string error;

 private:
  mutable std::once_flag request_id_once_;
  mutable std::string request_id_;
};

}  // namespace countersign::runtime

#endif  // COUNTERSIGN_LIBS_RUNTIME_CALL_CONTEXT_H_
