// The agent's services over software cards, in the test's own process.
#ifndef COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SERVICE_BENCH_H_
#define COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SERVICE_BENCH_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "libs/base/thread_pool.h"
#include "libs/runtime/channel.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "services/yubikey-agent/card_service.h"
#include "services/yubikey-agent/key_service.h"
#include "services/yubikey-agent/pool_bench.h"
#include "services/yubikey-agent/sessions.h"

namespace countersign::yubikey {

// CardService and KeyService, which trust the software cards' attestations. The clock is the
// system's, since calls bring their deadlines by it.
class ServiceBench {
 public:
  struct Options {
    decltype(CardPool::Options::aliases) aliases;
    int queue_capacity = 256;
    decltype(CardService::Options::management_key) management_key;
  };
  ServiceBench() : ServiceBench(Options()) {}
  explicit ServiceBench(Options options);

  // A card that is in a reader.
  Card* Insert(uint32_t serial, piv::Version version = {5, 4, 3});
  // The token of a session for these names, opened from where `Call` calls from.
  std::string Open(uint32_t operations, std::vector<std::string> names);

  // Calls a method with `token`; an empty one means none.
  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> CallAs(const std::string& token, Stub* stub,
                                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*),
                                  const Request& request,
                                  absl::Duration timeout = absl::Seconds(120)) {
    const auto context = runtime::MakeContext(timeout);
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
    Response response;
    const absl::Status status =
        runtime::FromGrpcStatus((stub->*method)(context.get(), request, &response));
    if (!status.ok()) return status;
    return response;
  }
  // With a session for everything.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::CardService::Stub::*method)(grpc::ClientContext*,
                                                                              const Request&,
                                                                              Response*),
                                const Request& request) {
    return CallAs(everything, cards.get(), method, request);
  }
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::KeyService::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*),
                                const Request& request) {
    return CallAs(everything, keys.get(), method, request);
  }

  absl::StatusOr<v1::Slot> Generate(const std::string& slot, v1::Algorithm algorithm,
                                    v1::PinPolicy pin_policy = v1::PIN_POLICY_NEVER);
  absl::StatusOr<v1::Card> Unlock(uint32_t serial, const std::string& pin = kFactoryPin);

 private:
  // Used until the pool ends.
  std::vector<std::unique_ptr<Card>> inserted_;

 public:
  PoolBench bench;
  Sessions sessions{{}};

 private:
  base::ThreadPool executor_{2};
  std::unique_ptr<CardService> card_service_;
  std::unique_ptr<KeyService> key_service_;
  std::unique_ptr<testing::InProcessServer> server_;

 public:
  std::unique_ptr<v1::CardService::Stub> cards;
  std::unique_ptr<v1::KeyService::Stub> keys;
  std::string everything;
};

// The request of a method that takes little more than a name.
template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

// The field that the status says is to blame; empty when it says none.
std::string FieldOf(const absl::Status& status);

}  // namespace countersign::yubikey

#endif  // COUNTERSIGN_SERVICES_YUBIKEY_AGENT_SERVICE_BENCH_H_
