#include "libs/runtime/observer.h"

#include <google/protobuf/descriptor.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/support/server_interceptor.h>

#include <array>
#include <atomic>
#include <chrono>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "libs/base/log.h"
#include "libs/runtime/metrics.h"
#include "libs/runtime/request_id.h"
#include "libs/runtime/status.h"

namespace countersign::runtime {
namespace {

using grpc::experimental::InterceptionHookPoints;

constexpr int kCodes = 17;

// The handles of one method. Counters of failures are made when first needed, so that the
// exposition does not list 16 zeros a method.
class MethodMetrics {
 public:
  MethodMetrics(Metrics* metrics, Labels labels)
      : metrics_(metrics),
        labels_(std::move(labels)),
        started_(metrics->AddCounter("grpc_server_started_total",
                                     "Calls that began.", labels_)),
        seconds_(metrics->AddHistogram("grpc_server_handling_seconds",
                                       "Duration of calls until their status was sent.",
                                       LatencyBounds(), labels_)) {
    Handled(0);
  }

  Counter* started() { return started_; }
  Histogram* seconds() { return seconds_; }

  Counter* Handled(int code) {
    if (code < 0 || code >= kCodes) code = grpc::StatusCode::UNKNOWN;
    Counter* counter = handled_[code].load(std::memory_order_acquire);
    if (counter == nullptr) {
      Labels labels = labels_;
      labels.emplace_back("grpc_code", std::string(GrpcCodeName(code)));
      // Two threads get the same handle.
      counter = metrics_->AddCounter("grpc_server_handled_total",
                                     "Calls that ended, by status.", std::move(labels));
      handled_[code].store(counter, std::memory_order_release);
    }
    return counter;
  }

 private:
  Metrics* const metrics_;
  const Labels labels_;
  Counter* const started_;
  Histogram* const seconds_;
  std::array<std::atomic<Counter*>, kCodes> handled_{};
};

// One call. gRPC owns it and calls Intercept from one thread at a time.
class CallObserver : public grpc::experimental::Interceptor {
 public:
  CallObserver(grpc::experimental::ServerRpcInfo* info, MethodMetrics* metrics, AccessLog log)
      : info_(info), metrics_(metrics), log_(log), start_(std::chrono::steady_clock::now()) {
    metrics_->started()->Increment();
  }

  // A call that ends without a status being sent was cancelled or cut off.
  ~CallObserver() override {
    if (!ended_) metrics_->Handled(grpc::StatusCode::CANCELLED)->Increment();
  }

  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::POST_RECV_INITIAL_METADATA)) {
      TakeRequestId(methods->GetRecvInitialMetadata());
    }
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      // Sending it with every answer would cost 6 % of a small call.
      if (!status.ok()) methods->GetSendTrailingMetadata()->emplace(kRequestIdHeader, request_id_);
      End(status);
    }
    methods->Proceed();
  }

 private:
  void TakeRequestId(std::multimap<grpc::string_ref, grpc::string_ref>* metadata) {
    const auto found = metadata->find(kRequestIdHeader);
    if (found != metadata->end()) {
      const absl::string_view sent(found->second.data(), found->second.size());
      if (ValidRequestId(sent)) {
        request_id_ = std::string(sent);
        return;
      }
      metadata->erase(kRequestIdHeader);
    }
    request_id_ = NewRequestId();
    // The map refers to this object's string; both last as long as the call.
    metadata->emplace(kRequestIdHeader, request_id_);
  }

  void End(const grpc::Status& status) {
    ended_ = true;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    metrics_->Handled(status.error_code())->Increment();
    metrics_->seconds()->Observe(seconds);
    if (log_ == AccessLog::kNone || (log_ == AccessLog::kErrors && status.ok())) return;
    base::Log(SeverityOf(status), "call",
              {{"grpc.method", info_->method()},
               {"grpc.code", std::string(GrpcCodeName(status.error_code()))},
               {"duration_ms", absl::StrFormat("%.3f", seconds * 1e3)},
               {"request_id", request_id_},
               {"peer", info_->server_context()->peer()},
               {"error", status.error_message()}});
  }

  // The server's own faults are warnings; what a caller did wrong is not.
  static base::Severity SeverityOf(const grpc::Status& status) {
    switch (status.error_code()) {
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

  grpc::experimental::ServerRpcInfo* const info_;
  MethodMetrics* const metrics_;
  const AccessLog log_;
  const std::chrono::steady_clock::time_point start_;
  std::string request_id_;
  bool ended_ = false;
};

class CallObserverFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  CallObserverFactory(const std::vector<std::string>& services, AccessLog log, Metrics* metrics)
      : log_(log) {
    for (const std::string& name : services) {
      const auto* service =
          google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(name);
      if (service == nullptr) continue;
      for (int i = 0; i < service->method_count(); ++i) {
        const auto* method = service->method(i);
        methods_.emplace(
            absl::StrCat("/", name, "/", method->name()),
            std::make_unique<MethodMetrics>(
                metrics, Labels{{"grpc_type", TypeOf(*method)},
                                {"grpc_service", name},
                                {"grpc_method", method->name()}}));
      }
    }
  }

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    const auto found = methods_.find(absl::string_view(info->method()));
    if (found == methods_.end()) return nullptr;
    return new CallObserver(info, found->second.get(), log_);
  }

 private:
  static std::string TypeOf(const google::protobuf::MethodDescriptor& method) {
    if (method.client_streaming()) {
      return method.server_streaming() ? "bidi_stream" : "client_stream";
    }
    return method.server_streaming() ? "server_stream" : "unary";
  }

  const AccessLog log_;
  absl::flat_hash_map<std::string, std::unique_ptr<MethodMetrics>> methods_;
};

}  // namespace

std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> MakeCallObserver(
    const std::vector<std::string>& services, AccessLog access_log, Metrics* metrics) {
  return std::make_unique<CallObserverFactory>(services, access_log, metrics);
}

}  // namespace countersign::runtime
