#include "services/gateway/problems.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "libs/http/problem.h"
#include "libs/runtime/error_details.h"
#include "services/gateway/transcoder.h"

namespace countersign::gateway {
namespace {

int StatusOf(const absl::Status& status) {
  if (IsUnsupportedMediaType(status)) return 415;
  // The service is at its limit, not the client.
  if (runtime::ReasonOf(status) == "QUEUE_FULL") return 503;
  return http::HttpStatusFor(status.code());
}

}  // namespace

http::Response ToProblem(const absl::Status& status, absl::string_view request_id) {
  http::Problem problem;
  problem.status = StatusOf(status);
  problem.detail = std::string(status.message());
  problem.code = std::string(http::CodeName(status.code()));
  problem.request_id = std::string(request_id);

  nlohmann::ordered_json extensions = nlohmann::ordered_json::object();
  if (const auto reason = runtime::ReasonOf(status)) extensions["reason"] = *reason;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  google::rpc::BadRequest bad_request;
  if (payload.has_value() && bad_request.ParseFromString(std::string(*payload))) {
    for (const auto& violation : bad_request.field_violations()) {
      extensions["fieldViolations"].push_back(
          {{"field", violation.field()}, {"description", violation.description()}});
    }
  }
  std::optional<int64_t> wait;
  if (const auto delay = runtime::RetryAfterOf(status)) {
    wait = std::max<int64_t>(1, absl::ToInt64Seconds(absl::Ceil(*delay, absl::Seconds(1))));
    extensions["retryAfterSeconds"] = *wait;
  }
  if (!extensions.empty()) {
    problem.extensions_json =
        extensions.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  }
  http::Response response = http::ProblemResponse(problem);
  if (wait.has_value()) response.headers.Set("Retry-After", absl::StrCat(*wait));
  return response;
}

}  // namespace countersign::gateway
