#include "libs/runtime/observer.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/log.h"
#include "libs/runtime/call.h"
#include "libs/runtime/call_context.h"
#include "libs/runtime/metrics.h"
#include "libs/runtime/request_id.h"
#include "libs/runtime/status.h"

namespace countersign::runtime {

using grpc::experimental::InterceptionHookPoints;

// The handles of one method. Counters of failures are made when first needed, so that the
// exposition does not list 16 zeros a method. Thread-safe.
class MethodMetrics {
 public:
  MethodMetrics(std::string path, bool streams, AccessLog log, Metrics* metrics, Labels labels)
      : path_(std::move(path)),
        log_(log),
        metrics_(metrics),
        labels_(std::move(labels)),
        started_(metrics->AddCounter("grpc_server_started_total", "Calls that began.", labels_)),
        seconds_(metrics->AddHistogram("grpc_server_handling_seconds",
                                       "Duration of calls until they ended.", LatencyBounds(),
                                       labels_)),
        intercepted_(streams) {
    Handled(0);
  }

  void Started() { started_->Increment(); }

  void Ended(const grpc::ServerContextBase& context, std::chrono::steady_clock::time_point start,
             int code, const std::string& error) {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    Handled(code)->Increment();
    seconds_->Observe(seconds);
    if (log_ == AccessLog::kNone || (log_ == AccessLog::kErrors && code == 0)) return;
    base::Log(SeverityOf(code), "call",
              {{"grpc.method", path_},
               {"grpc.code", std::string(GrpcCodeName(code))},
               {"duration_ms", absl::StrFormat("%.3f", seconds * 1e3)},
               {"request_id", RequestId(context)},
               {"peer", context.peer()},
               {"error", error}});
  }

  // Whether calls need an interceptor, since their handler does not say how they ended.
  bool intercepted() const { return intercepted_.load(std::memory_order_relaxed); }
  void Intercept() { intercepted_.store(true, std::memory_order_relaxed); }

 private:
  static constexpr int kCodes = 17;

  Counter* Handled(int code) {
    if (code < 0 || code >= kCodes) code = grpc::StatusCode::UNKNOWN;
    Counter* counter = handled_[code].load(std::memory_order_acquire);
    if (counter == nullptr) {
      Labels labels = labels_;
      labels.emplace_back("grpc_code", std::string(GrpcCodeName(code)));
      // Two threads get the same handle.
      counter = metrics_->AddCounter("grpc_server_handled_total", "Calls that ended, by status.",
                                     std::move(labels));
      handled_[code].store(counter, std::memory_order_release);
    }
    return counter;
  }

  // The server's own faults are warnings; what a caller did wrong is not.
  static base::Severity SeverityOf(int code) {
    switch (code) {
      case grpc::StatusCode::UNKNOWN:
      case grpc::StatusCode::INTERNAL:
      case grpc::StatusCode::DATA_LOSS:
      case grpc::StatusCode::UNAVAILABLE:
      case grpc::StatusCode::DEADLINE_EXCEEDED:
        return base::Severity::kWarning;
      default:
        return base::Severity::kInfo;
    }
  }

  const std::string path_;
  const AccessLog log_;
  Metrics* const metrics_;
  const Labels labels_;
  Counter* const started_;
  Histogram* const seconds_;
  std::array<std::atomic<Counter*>, kCodes> handled_{};
  std::atomic<bool> intercepted_;
};

namespace {

// Makes the contexts of callback calls, and counts those whose handler said how they ended.
class ContextAllocator : public grpc::ContextAllocator {
 public:
  grpc::CallbackServerContext* NewCallbackServerContext() override { return new CallContext; }
  grpc::GenericCallbackServerContext* NewGenericCallbackServerContext() override {
    return new grpc::GenericCallbackServerContext;
  }

  void Release(grpc::CallbackServerContext* context) override {
    auto* const call = static_cast<CallContext*>(context);
    if (call->method != nullptr) {
      if (!call->reported) {
        // The first call of a handler that does not report; from now on an interceptor watches it.
        call->method->Intercept();
        call->code = grpc::StatusCode::UNKNOWN;
        call->error = "the handler did not say how it ended";
      }
      call->method->Ended(*call, call->start, call->code, call->error);
    }
    delete call;
  }
  void Release(grpc::GenericCallbackServerContext* context) override { delete context; }
};

// One call that needs watching. gRPC owns it and calls Intercept from one thread at a time.
class CallInterceptor : public grpc::experimental::Interceptor {
 public:
  CallInterceptor(grpc::ServerContextBase* context, MethodMetrics* method)
      : context_(context), method_(method), start_(std::chrono::steady_clock::now()) {}

  // A call that ends without a status being sent was cancelled or cut off.
  ~CallInterceptor() override {
    if (!ended_) method_->Ended(*context_, start_, grpc::StatusCode::CANCELLED, "cut off");
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      auto* const trailers = methods->GetSendTrailingMetadata();
      if (!status.ok() && trailers->find(kRequestIdHeader) == trailers->end()) {
        trailers->emplace(kRequestIdHeader, RequestId(*context_));
      }
      ended_ = true;
      method_->Ended(*context_, start_, status.error_code(), status.error_message());
    }
    methods->Proceed();
  }

 private:
  grpc::ServerContextBase* const context_;
  MethodMetrics* const method_;
  const std::chrono::steady_clock::time_point start_;
  bool ended_ = false;
};

// Asked once a call, before its handler runs.
class CallObserver : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallObserver(const std::vector<std::string>& services, AccessLog log, Metrics* metrics) {
    for (const std::string& name : services) {
      const auto* service =
          google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
      if (service == nullptr) continue;
      for (int i = 0; i < service->method_count(); ++i) {
        const auto* method = service->method(i);
        const std::string path = absl::StrCat("/", name, "/", method->name());
        methods_.emplace(
            path, std::make_unique<MethodMetrics>(
                      path, method->client_streaming() || method->server_streaming(), log, metrics,
                      Labels{{"grpc_type", TypeOf(*method)},
                             {"grpc_service", name},
                             {"grpc_method", method->name()}}));
      }
    }
  }

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    const auto found = methods_.find(absl::string_view(info->method()));
    if (found == methods_.end()) return nullptr;
    MethodMetrics* const method = found->second.get();
    method->Started();
    CallContext* const call =
        method->intercepted() ? nullptr : CallContext::From(info->server_context());
    if (call == nullptr) return new CallInterceptor(info->server_context(), method);
    call->start = std::chrono::steady_clock::now();
    call->method = method;
    return nullptr;
  }

 private:
  static std::string TypeOf(const google::protobuf::MethodDescriptor& method) {
    if (method.client_streaming()) {
      return method.server_streaming() ? "bidi_stream" : "client_stream";
    }
    return method.server_streaming() ? "server_stream" : "unary";
  }

  absl::flat_hash_map<std::string, std::unique_ptr<MethodMetrics>> methods_;
};

}  // namespace

void ObserveCalls(const std::vector<std::string>& services, AccessLog access_log, Metrics* metrics,
                  grpc::ServerBuilder* builder) {
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
  factories.push_back(std::make_unique<CallObserver>(services, access_log, metrics));
  builder->experimental().SetInterceptorCreators(std::move(factories));
  builder->SetContextAllocator(std::make_unique<ContextAllocator>());
}

}  // namespace countersign::runtime
