#include "services/gateway/health.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/status/statusor.h"
#include "libs/base/mutex.h"
#include "services/gateway/rpc_handler.h"

namespace countersign::gateway {
namespace {

constexpr char kCheck[] = "/grpc.health.v1.Health/Check";

// HealthCheckResponse{status: …}; Debian packages no generated code of it.
const char* StatusOf(const std::string& response) {
  if (response == std::string("\x08\x01", 2)) return "SERVING";
  if (response == std::string("\x08\x02", 2)) return "NOT_SERVING";
  return "UNKNOWN";
}

struct Round {
  explicit Round(std::vector<std::string> names) : backends(names.size()), missing(names.size()) {
    for (size_t i = 0; i < names.size(); ++i) backends[i]["name"] = std::move(names[i]);
  }

  http::Responder respond;
  base::Mutex mutex;
  std::vector<nlohmann::ordered_json> backends ABSL_GUARDED_BY(mutex);
  size_t missing ABSL_GUARDED_BY(mutex);
};

void Finish(Round* round) {
  nlohmann::ordered_json json;
  bool serving = true;
  for (const auto& backend : round->backends) serving = serving && backend["status"] == "SERVING";
  json["status"] = serving ? "SERVING" : "NOT_SERVING";
  json["backends"] = round->backends;
  http::Response response = http::MakeResponse(
      serving ? 200 : 503, "application/json",
      json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  http::SetNoStore(&response);
  round->respond(std::move(response));
}

}  // namespace

http::Handler MakeHealthHandler(std::vector<HealthTarget> targets, absl::Duration timeout) {
  return [targets = std::move(targets), timeout](http::Request request, http::Responder respond) {
    std::vector<std::string> names;
    for (const HealthTarget& target : targets) names.push_back(target.name);
    auto round = std::make_shared<Round>(std::move(names));
    round->respond = std::move(respond);
    if (targets.empty()) return Finish(round.get());
    for (size_t i = 0; i < targets.size(); ++i) {
      CallRpc(request, targets[i].channel, kCheck, "", timeout,
              [round, i, name = targets[i].name](absl::StatusOr<std::string> answer) {
                bool last;
                {
                  base::MutexLock lock(&round->mutex);
                  auto& backend = round->backends[i];
                  backend["status"] = answer.ok() ? StatusOf(*answer) : "UNREACHABLE";
                  if (!answer.ok()) {
                    backend["detail"] = std::string(ForClients(answer.status(), name).message());
                  }
                  last = --round->missing == 0;
                }
                if (last) Finish(round.get());
              });
    }
  };
}

}  // namespace countersign::gateway
