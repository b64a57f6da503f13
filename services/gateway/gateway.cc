#include "services/gateway/gateway.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "libs/base/log.h"
#include "libs/base/status_macros.h"
#include "libs/http/router.h"
#include "libs/runtime/metrics.h"
#include "libs/runtime/request_id.h"
#include "services/gateway/health.h"
#include "services/gateway/routes.h"
#include "services/gateway/rpc_handler.h"

namespace countersign::gateway {
namespace {

constexpr char kRoot[] = "/api/v1";

}  // namespace

Gateway::Gateway() = default;

Gateway::~Gateway() {
  base::MutexLock lock(&watch_->mutex);
  watch_->metrics = nullptr;
}

absl::StatusOr<std::unique_ptr<Gateway>> Gateway::Create(GatewayOptions options) {
  std::unique_ptr<Gateway> gateway(new Gateway);
  {
    base::MutexLock lock(&gateway->watch_->mutex);
    gateway->watch_->metrics = options.metrics;
  }
  const auto channel_of = [&](Backend backend) {
    switch (backend) {
      case Backend::kSign:
        return options.sign;
      case Backend::kVerify:
        return options.verify;
      case Backend::kLedger:
        return options.ledger;
      case Backend::kOcsp:
        break;
    }
    return options.ocsp;
  };
  http::Router router;
  for (const RpcRoute& route : RpcRoutes()) {
    const auto channel = channel_of(BackendOf(route.service));
    if (channel == nullptr) continue;
    ASSIGN_OR_RETURN(http::Handler handler, MakeRpcHandler(route, channel, options.call_timeout));
    RETURN_IF_ERROR(
        router.Add(route.method, absl::StrCat(kRoot, route.pattern), std::move(handler)));
  }
  std::vector<HealthTarget> targets;
  for (Backend backend : {Backend::kSign, Backend::kVerify, Backend::kLedger, Backend::kOcsp}) {
    const auto channel = channel_of(backend);
    if (channel != nullptr) targets.push_back({std::string(BackendName(backend)), channel});
  }
  RETURN_IF_ERROR(router.Add("GET", absl::StrCat(kRoot, "/health"),
                             MakeHealthHandler(std::move(targets), options.health_timeout)));
  if (!options.ledger_http.empty()) {
    RETURN_IF_ERROR(
        AddLedgerRoutes(options.ledger_http, &gateway->client_, options.call_timeout, &router));
  }
  if (!options.ocsp_http.empty()) {
    RETURN_IF_ERROR(
        AddOcspRoutes(options.ocsp_http, &gateway->client_, options.call_timeout, &router));
  }
  if (!options.sign_http.empty()) {
    RETURN_IF_ERROR(
        AddAcmeRoutes(options.sign_http, &gateway->client_, options.call_timeout, &router));
  }
  RETURN_IF_ERROR(
      AddWitnessRoutes(options.witnesses, &gateway->client_, options.call_timeout, &router));
  gateway->route_ = router.AsHandler();
  return gateway;
}

void Gateway::Handle(http::Request request, http::Responder respond) const {
  std::string request_id(request.headers.Get(kRequestIdField));
  if (!runtime::ValidRequestId(request_id)) request_id = runtime::NewRequestId();
  request.headers.Set(kRequestIdField, request_id);
  auto answer = [respond = std::move(respond), request_id = std::move(request_id),
                 method = request.head ? std::string("HEAD") : request.method,
                 path = std::string(request.path()), start = absl::Now(),
                 watch = watch_](http::Response response) {
    response.headers.Set(kRequestIdField, request_id);
    const absl::Duration took = absl::Now() - start;
    {
      base::MutexLock lock(&watch->mutex);
      if (watch->metrics != nullptr) {
        watch->metrics
            ->AddCounter("countersign_gateway_requests_total", "HTTP requests answered, by status",
                         {{"code", absl::StrCat(response.status)}})
            ->Increment();
        watch->metrics
            ->AddHistogram("countersign_gateway_request_seconds",
                           "Time from an HTTP request to its answer", runtime::LatencyBounds())
            ->Observe(absl::ToDoubleSeconds(took));
      }
    }
    base::Log(response.status >= 500 ? base::Severity::kWarning : base::Severity::kDebug,
              "http request",
              {{"method", method},
               {"path", path},
               {"status", absl::StrCat(response.status)},
               {"duration_ms", absl::StrCat(absl::ToDoubleMilliseconds(took))},
               {"request_id", request_id}});
    respond(std::move(response));
  };
  route_(std::move(request), std::move(answer));
}

}  // namespace countersign::gateway
