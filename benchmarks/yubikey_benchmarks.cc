// The YubiKey agent over simulated cards: what it adds to the card's own time, how cards add up,
// and what sub-keys and sessions do.
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "benchmarks/direct_card.h"
#include "benchmarks/yubikey_fixture.h"
#include "countersign/yubikey/v1/card_service.grpc.pb.h"
#include "countersign/yubikey/v1/key_service.grpc.pb.h"
#include "countersign/yubikey/v1/session_service.grpc.pb.h"
#include "countersign/yubikey/v1/sub_key_service.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/status.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::yubikey::v1;

// What a card's private-key operation takes here; the hundred milliseconds.
constexpr absl::Duration kCardTime = absl::Milliseconds(100);

std::string SlotName(int card, absl::string_view slot) {
  return absl::StrCat("cards/", kFirstSerial + static_cast<uint32_t>(card), "/slots/", slot);
}

std::string FreshDigest() {
  static std::atomic<uint64_t> counter{0};
  std::string digest(24, '\0');
  base::AppendU64(&digest, counter.fetch_add(1));
  return digest;
}

absl::Status Generate(const YubikeyFixture& agent, const std::string& slot, pb::Algorithm algorithm,
                      pb::PinPolicy pin_policy) {
  const auto stub = pb::CardService::NewStub(agent.channels()[0]);
  pb::GenerateKeyRequest request;
  request.set_name(slot);
  request.set_algorithm(algorithm);
  request.set_pin_policy(pin_policy);
  request.set_replace(true);
  pb::GenerateKeyResponse response;
  const auto context = agent.Context();
  return runtime::FromGrpcStatus(stub->GenerateKey(context.get(), request, &response));
}

// Latencies of `operation`, done one after the other for the environment's length.
struct Latencies {
  std::vector<double> ms;

  double At(double quantile) {
    std::sort(ms.begin(), ms.end());
    return ms[std::min(ms.size() - 1,
                       static_cast<size_t>(quantile * static_cast<double>(ms.size())))];
  }
};

absl::StatusOr<Latencies> InTurn(Environment& environment,
                                 const std::function<absl::Status()>& operation) {
  Latencies latencies;
  RETURN_IF_ERROR(operation());
  for (const absl::Time end = absl::Now() + environment.length(); absl::Now() < end;) {
    const absl::Time start = absl::Now();
    RETURN_IF_ERROR(operation());
    latencies.ms.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
  }
  return latencies;
}

// What is above the card's own time.
Result Above(std::string name, Latencies latencies, std::string note) {
  const double card = absl::ToDoubleMilliseconds(kCardTime);
  Result result;
  result.name = std::move(name);
  result.unit = "ms";
  result.value = latencies.At(0.5) - card;
  result.p50_ms = latencies.At(0.5) - card;
  result.p95_ms = latencies.At(0.95) - card;
  result.p99_ms = latencies.At(0.99) - card;
  result.note = absl::StrCat(std::move(note), "; above the card's own ", card,
                             " ms, with pcscd and "
                             "the virtual reader, over ",
                             latencies.ms.size(), " operations");
  return result;
}

absl::StatusOr<Result> Overhead(Environment& environment) {
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-overhead", 1, kCardTime));
  const std::string slot = SlotName(0, "9c");
  RETURN_IF_ERROR(Generate(*agent, slot, pb::ALGORITHM_ECDSA_P256_SHA256, pb::PIN_POLICY_ALWAYS));
  const auto stub = pb::KeyService::NewStub(agent->channels()[0]);
  ASSIGN_OR_RETURN(const Latencies latencies, InTurn(environment, [&] {
                     pb::SignRequest request;
                     request.set_name(slot);
                     request.set_digest(FreshDigest());
                     pb::SignResponse response;
                     const auto context = agent->Context();
                     return runtime::FromGrpcStatus(stub->Sign(context.get(), request, &response));
                   }));
  // The same by libykpiv itself, on the same card, without the agent.
  ASSIGN_OR_RETURN(const auto direct, DirectCard::Open(agent->socket()));
  ASSIGN_OR_RETURN(Latencies alone,
                   InTurn(environment, [&] { return direct->Sign(FreshDigest()); }));
  Result result = Above("yubikey-overhead-ms", latencies,
                        "P-256 signatures by a 9c key, each with its own VERIFY, through gRPC");
  const double card = absl::ToDoubleMilliseconds(kCardTime);
  const double libykpiv = alone.At(0.5) - card;
  absl::StrAppend(&result.note,
                  absl::StrFormat("; of these, libykpiv alone takes %.2f ms (p95 %.2f), "
                                  "and the rest is the agent's own: the value",
                                  libykpiv, alone.At(0.95) - card));
  result.value -= libykpiv;
  return result;
}

absl::StatusOr<LoadResult> SignLoad(Environment& environment, const YubikeyFixture& agent,
                                    const std::string& key, int in_flight) {
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    pb::SignRequest request;
    pb::SignResponse response;
  };
  const auto stub = pb::KeyService::NewStub(agent.channels()[0]);
  std::vector<Call> calls(static_cast<size_t>(in_flight));
  return RunLoad({.in_flight = in_flight,
                  .warm_up = absl::Seconds(1),
                  .length = std::max(environment.length(), absl::Seconds(4))},
                 [&](int at, std::function<void(bool)> done) {
                   Call& call = calls[static_cast<size_t>(at)];
                   call.context = agent.Context();
                   call.request.set_name(key);
                   call.request.set_digest(FreshDigest());
                   stub->async()->Sign(
                       call.context.get(), &call.request, &call.response,
                       [done = std::move(done)](const grpc::Status& status) { done(status.ok()); });
                 });
}

absl::StatusOr<Result> PoolOfFour(Environment& environment) {
  constexpr int kCards = 4;
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-pool", kCards, kCardTime));
  for (int card = 0; card < kCards; ++card) {
    RETURN_IF_ERROR(Generate(*agent, SlotName(card, "9e"), pb::ALGORITHM_ECDSA_P256_SHA256,
                             pb::PIN_POLICY_NEVER));
  }
  ASSIGN_OR_RETURN(const LoadResult one, SignLoad(environment, *agent, SlotName(0, "9e"), 4));
  ASSIGN_OR_RETURN(const LoadResult four, SignLoad(environment, *agent, "keys/pool", 4 * kCards));
  Result result = FromLoad("yubikey-pool-4", "ops/s", four);
  result.failures += one.failures;
  result.baseline = "4 x one card";
  result.baseline_value = kCards * one.PerSecond();
  result.note = absl::StrCat("an alias over four cards of 100 ms, 16 in flight; one card ",
                             absl::StrFormat("%.2f", one.PerSecond()), "/s with 4 in flight");
  return result;
}

absl::StatusOr<std::string> MakeSubKey(const YubikeyFixture& agent) {
  const std::string slot = SlotName(0, "9c");
  RETURN_IF_ERROR(Generate(agent, slot, pb::ALGORITHM_ECDSA_P256_SHA256, pb::PIN_POLICY_ALWAYS));
  const auto cards = pb::CardService::NewStub(agent.channels()[0]);
  pb::SelfSignCertificateRequest certificate;
  certificate.set_name(slot);
  certificate.set_subject("CN=Benchmark");
  pb::SelfSignCertificateResponse certified;
  const auto first = agent.Context();
  RETURN_IF_ERROR(
      runtime::FromGrpcStatus(cards->SelfSignCertificate(first.get(), certificate, &certified)));
  const auto stub = pb::SubKeyService::NewStub(agent.channels()[0]);
  pb::CreateSubKeyRequest request;
  request.mutable_sub_key()->set_card_key(slot);
  request.mutable_sub_key()->set_algorithm(pb::ALGORITHM_ECDSA_P256_SHA256);
  pb::CreateSubKeyResponse response;
  const auto second = agent.Context();
  RETURN_IF_ERROR(runtime::FromGrpcStatus(stub->CreateSubKey(second.get(), request, &response)));
  return response.sub_key().name();
}

// `Request` with the sub-key's signature wanted, over the fixture's channels.
template <typename Request, typename Response, typename Method>
LoadResult SubKeyLoad(Environment& environment, const YubikeyFixture& agent, int in_flight,
                      Method method, const std::function<void(Request*)>& fill,
                      const std::function<bool(const Response&)>& check) {
  std::vector<std::unique_ptr<pb::SubKeyService::Stub>> stubs;
  for (const auto& channel : agent.channels()) stubs.push_back(pb::SubKeyService::NewStub(channel));
  struct Call {
    std::unique_ptr<grpc::ClientContext> context;
    Request request;
    Response response;
  };
  std::vector<Call> calls(static_cast<size_t>(in_flight));
  return RunLoad({.in_flight = in_flight, .length = environment.length()},
                 [&](int at, std::function<void(bool)> done) {
                   Call& call = calls[static_cast<size_t>(at)];
                   call.context = agent.Context();
                   call.request.Clear();
                   fill(&call.request);
                   call.response.Clear();
                   auto* async = stubs[static_cast<size_t>(at) % stubs.size()]->async();
                   method(async, call.context.get(), &call.request, &call.response,
                          [&call, &check, done = std::move(done)](const grpc::Status& status) {
                            done(status.ok() && check(call.response));
                          });
                 });
}

absl::StatusOr<Result> SubKeySign(Environment& environment) {
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-subkey", 1, kCardTime));
  ASSIGN_OR_RETURN(const std::string key, MakeSubKey(*agent));
  using Request = pb::SubKeyServiceSignRequest;
  using Response = pb::SubKeyServiceSignResponse;
  const LoadResult load = SubKeyLoad<Request, Response>(
      environment, *agent, 64, [](auto* async, auto... arguments) { async->Sign(arguments...); },
      [&](Request* request) {
        request->set_name(key);
        request->set_digest(FreshDigest());
      },
      [](const Response& response) { return !response.signature().empty(); });
  Result result = FromLoad("yubikey-subkey-sign", "ops/s", load);
  result.baseline = "grpc-echo";
  ASSIGN_OR_RETURN(result.baseline_value, environment.EchoRate());
  result.note =
      "one P-256 signature a call, 64 in flight, the token checked each time; the card "
      "takes 100 ms and was used once";
  return result;
}

absl::StatusOr<Result> SubKeyBatch(Environment& environment) {
  constexpr int kBatch = 256;
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-subkey-batch", 1, kCardTime));
  ASSIGN_OR_RETURN(const std::string key, MakeSubKey(*agent));
  using Request = pb::SubKeyServiceBatchSignRequest;
  using Response = pb::SubKeyServiceBatchSignResponse;
  const LoadResult load = SubKeyLoad<Request, Response>(
      environment, *agent, 8,
      [](auto* async, auto... arguments) { async->BatchSign(arguments...); },
      [&](Request* request) {
        request->set_name(key);
        for (int i = 0; i < kBatch; ++i) request->add_digests(FreshDigest());
      },
      [](const Response& response) { return response.signatures_size() == kBatch; });
  Result result = FromLoad("yubikey-subkey-sign-batch", "ops/s", load, kBatch);
  result.baseline = "p256-sign";
  ASSIGN_OR_RETURN(result.baseline_value, environment.SignRate());
  result.note = absl::StrCat("batches of ", kBatch, ", 8 in flight; latencies are a batch's");
  return result;
}

absl::StatusOr<std::string> OpenSession(pb::SessionService::Stub& stub,
                                        const YubikeyFixture& agent) {
  pb::OpenSessionRequest request;
  request.set_caller("admin");
  request.mutable_api_key()->set_api_key(agent.api_key());
  pb::OpenSessionResponse response;
  grpc::ClientContext context;
  RETURN_IF_ERROR(runtime::FromGrpcStatus(stub.OpenSession(&context, request, &response)));
  return response.token();
}

absl::StatusOr<Result> SessionOpen(Environment& environment) {
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-session", 1, kCardTime));
  const auto stub = pb::SessionService::NewStub(agent->channels()[0]);
  ASSIGN_OR_RETURN(Latencies latencies,
                   InTurn(environment, [&] { return OpenSession(*stub, *agent).status(); }));
  Result result;
  result.name = "yubikey-session-open";
  result.unit = "ms";
  result.value = latencies.At(0.5);
  result.p50_ms = latencies.At(0.5);
  result.p95_ms = latencies.At(0.95);
  result.p99_ms = latencies.At(0.99);
  result.note =
      absl::StrCat(latencies.ms.size(), " sessions, one after the other; no card is asked");
  return result;
}

// Ten thousand sessions open at once, each of which is then used; and what they cost.
absl::StatusOr<Result> SessionMany(Environment& environment) {
  constexpr int kSessions = 10'000;
  constexpr int kInFlight = 100;
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-sessions", 1, absl::ZeroDuration()));
  ASSIGN_OR_RETURN(const double before, agent->ResidentBytes());
  std::vector<std::unique_ptr<pb::SessionService::Stub>> stubs;
  for (const auto& channel : agent->channels()) {
    stubs.push_back(pb::SessionService::NewStub(channel));
  }
  std::vector<std::string> tokens(kSessions);
  std::vector<double> ms(kSessions);
  std::atomic<int> next{0};
  std::atomic<uint64_t> failures{0};
  const absl::Time start = absl::Now();
  std::vector<std::thread> threads;
  for (int i = 0; i < kInFlight; ++i) {
    threads.emplace_back([&, i] {
      for (int at = next++; at < kSessions; at = next++) {
        const absl::Time begun = absl::Now();
        absl::StatusOr<std::string> token =
            OpenSession(*stubs[static_cast<size_t>(i) % stubs.size()], *agent);
        ms[static_cast<size_t>(at)] = absl::ToDoubleMilliseconds(absl::Now() - begun);
        if (token.ok()) {
          tokens[static_cast<size_t>(at)] = *std::move(token);
        } else {
          ++failures;
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  // Each is good still: the first was not given up for the last.
  for (const std::string& token : tokens) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
    pb::GetSessionResponse response;
    if (!stubs[0]->GetSession(&context, {}, &response).ok()) ++failures;
  }
  ASSIGN_OR_RETURN(const double after, agent->ResidentBytes());
  Latencies latencies{std::move(ms)};
  Result result;
  result.name = "yubikey-session-many";
  result.unit = "sessions/s";
  result.value = kSessions / seconds;
  result.p50_ms = latencies.At(0.5);
  result.p95_ms = latencies.At(0.95);
  result.p99_ms = latencies.At(0.99);
  result.failures = failures;
  result.note = absl::StrFormat(
      "%d sessions opened by 100 callers at once, then each used; the agent's resident memory went "
      "from %.1f to %.1f MB",
      kSessions, before / 1e6, after / 1e6);
  return result;
}

absl::StatusOr<Result> KeyGeneration(Environment& environment) {
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-keygen", 1, kCardTime));
  ASSIGN_OR_RETURN(const Latencies latencies, InTurn(environment, [&] {
                     return Generate(*agent, SlotName(0, "9a"), pb::ALGORITHM_ECDSA_P256_SHA256,
                                     pb::PIN_POLICY_ONCE);
                   }));
  return Above("yubikey-keygen", latencies,
               "P-256 keys made in a slot, with the management key's authentication and the slot "
               "read anew");
}

absl::StatusOr<Result> Decryption(Environment& environment) {
  ASSIGN_OR_RETURN(const auto agent,
                   YubikeyFixture::Start(environment, "yubikey-decrypt", 1, kCardTime));
  const std::string slot = SlotName(0, "9d");
  RETURN_IF_ERROR(Generate(*agent, slot, pb::ALGORITHM_ECDSA_P256_SHA256, pb::PIN_POLICY_ONCE));
  const auto keys = pb::KeyService::NewStub(agent->channels()[0]);
  pb::GetKeyRequest get;
  get.set_name(slot);
  pb::GetKeyResponse key;
  grpc::ClientContext context;
  RETURN_IF_ERROR(runtime::FromGrpcStatus(keys->GetKey(&context, get, &key)));
  ASSIGN_OR_RETURN(const Latencies latencies, InTurn(environment, [&] {
                     pb::AgreeRequest request;
                     request.set_name(slot);
                     request.set_peer_spki(key.key().spki());
                     pb::AgreeResponse response;
                     const auto call = agent->Context();
                     return runtime::FromGrpcStatus(keys->Agree(call.get(), request, &response));
                   }));
  return Above("yubikey-decrypt", latencies, "ECDH on P-256 by a 9d key, through gRPC");
}

}  // namespace

std::vector<Benchmark> YubikeyBenchmarks() {
  return {
      {"yubikey-overhead-ms", "what the agent adds to a card's signature", Overhead},
      {"yubikey-pool-4", "four cards against four times one", PoolOfFour},
      {"yubikey-subkey-sign", "one sub-key signature a call, behind a card of 100 ms", SubKeySign},
      {"yubikey-subkey-sign-batch", "sub-key signatures in batches of 256", SubKeyBatch},
      {"yubikey-session-open", "a session opened", SessionOpen},
      {"yubikey-session-many", "10,000 sessions open and used", SessionMany},
      {"yubikey-keygen", "a key made on a card", KeyGeneration},
      {"yubikey-decrypt", "a secret agreed on a card", Decryption}};
}

}  // namespace countersign::bench
