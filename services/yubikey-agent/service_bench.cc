#include "services/yubikey-agent/service_bench.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "google/rpc/error_details.pb.h"
#include "libs/testing/matchers.h"

namespace countersign::yubikey {

ServiceBench::ServiceBench(Options options) {
  bench.options.clock = base::Clock::System();
  bench.options.aliases = std::move(options.aliases);
  bench.options.queue_capacity = options.queue_capacity;
  CardService::Options service;
  service.pool = &bench.pool();
  service.sessions = &sessions;
  service.executor = &executor_;
  service.management_key = std::move(options.management_key);
  service.attestation_roots = {Card::AttestationRoot()};
  card_service_ = std::make_unique<CardService>(std::move(service));
  key_service_ = std::make_unique<KeyService>(&bench.pool(), &sessions);
  server_ = std::make_unique<testing::InProcessServer>(
      std::vector<grpc::Service*>{card_service_.get(), key_service_.get()});
  cards = v1::CardService::NewStub(server_->channel());
  keys = v1::KeyService::NewStub(server_->channel());
  everything = Open(~0u, {"*"});
}

Card* ServiceBench::Insert(uint32_t serial, piv::Version version) {
  inserted_.push_back(MakeCard(serial, version));
  bench.Insert(inserted_.back().get());
  return inserted_.back().get();
}

std::string ServiceBench::Open(uint32_t operations, std::vector<std::string> names) {
  auto scope = std::make_shared<Scope>();
  scope->operations = operations;
  std::sort(names.begin(), names.end());
  scope->names = std::move(names);
  const absl::Time now = absl::Now();
  return sessions.Open({.caller = "test",
                        .transport = "host:ipv4:127.0.0.1",
                        .scope = std::move(scope),
                        .create_time = now,
                        .expire_time = now + absl::Hours(1)});
}

absl::StatusOr<v1::Slot> ServiceBench::Generate(const std::string& slot, v1::Algorithm algorithm,
                                                v1::PinPolicy pin_policy) {
  auto request = Named<v1::GenerateKeyRequest>(slot);
  request.set_algorithm(algorithm);
  request.set_pin_policy(pin_policy);
  const auto response = Call(&v1::CardService::Stub::GenerateKey, request);
  if (!response.ok()) return response.status();
  return response->slot();
}

absl::StatusOr<v1::Card> ServiceBench::Unlock(uint32_t serial, const std::string& pin) {
  auto request = Named<v1::UnlockCardRequest>("cards/" + std::to_string(serial));
  request.set_pin(pin);
  const auto response = Call(&v1::CardService::Stub::UnlockCard, request);
  if (!response.ok()) return response.status();
  return response->card();
}

std::string FieldOf(const absl::Status& status) {
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  google::rpc::BadRequest details;
  if (!payload.has_value() || !details.ParseFromString(std::string(*payload)) ||
      details.field_violations_size() != 1) {
    return "";
  }
  return details.field_violations(0).field();
}

}  // namespace countersign::yubikey
