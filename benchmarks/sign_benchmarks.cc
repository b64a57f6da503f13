#include <atomic>

#include "absl/strings/str_cat.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "countersign/sign/v1/sign.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/runtime/status.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::sign::v1;

constexpr int kBatch = 256;

// A digest that was not signed before.
std::string FreshDigest() {
  static std::atomic<uint64_t> counter{0};
  std::string digest(24, '\0');
  base::AppendU64(&digest, counter.fetch_add(1));
  return digest;
}

absl::StatusOr<std::string> CreateKey(const std::shared_ptr<grpc::Channel>& channel) {
  const auto stub = pb::SignService::NewStub(channel);
  grpc::ClientContext context;
  pb::CreateKeyRequest request;
  request.set_parent("tenants/default");
  request.mutable_key()->set_algorithm(pb::ALGORITHM_ECDSA_P256_SHA256);
  pb::CreateKeyResponse response;
  RETURN_IF_ERROR(runtime::FromGrpcStatus(stub->CreateKey(&context, request, &response)));
  return response.key().name();
}

absl::StatusOr<LoadResult> SignLoad(Environment& environment, const std::string& service,
                                    pb::LedgerWait wait, int in_flight) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels(service));
  ASSIGN_OR_RETURN(const std::string key, CreateKey(channels[0]));
  return RunCalls<pb::SignService, pb::SignRequest, pb::SignResponse>(
      {.in_flight = in_flight, .length = environment.length()}, channels,
      [](auto* async, auto... arguments) { async->Sign(arguments...); },
      [&](int, pb::SignRequest* request) {
        request->set_name(key);
        request->set_digest(FreshDigest());
        request->set_ledger(wait);
      },
      [&](const pb::SignResponse& response) {
        return !response.signature().signature().empty() &&
               (wait == pb::LEDGER_WAIT_NONE ||
                !response.signature().ledger_proof().checkpoint().empty());
      });
}

absl::StatusOr<Result> SignUnary(Environment& environment) {
  ASSIGN_OR_RETURN(const LoadResult load, SignLoad(environment, "sign", pb::LEDGER_WAIT_NONE, 64));
  Result result = FromLoad("sign-unary", "ops/s", load);
  result.baseline = "grpc-echo";
  ASSIGN_OR_RETURN(result.baseline_value, environment.EchoRate());
  return result;
}

absl::StatusOr<Result> SignBatch(Environment& environment) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels("sign"));
  ASSIGN_OR_RETURN(const std::string key, CreateKey(channels[0]));
  const LoadResult load = RunCalls<pb::SignService, pb::BatchSignRequest, pb::BatchSignResponse>(
      {.in_flight = 8, .length = environment.length()}, channels,
      [](auto* async, auto... arguments) { async->BatchSign(arguments...); },
      [&](int, pb::BatchSignRequest* request) {
        request->Clear();
        request->set_name(key);
        request->set_ledger(pb::LEDGER_WAIT_NONE);
        for (int i = 0; i < kBatch; ++i) request->add_items()->set_digest(FreshDigest());
      },
      [](const pb::BatchSignResponse& response) { return response.signatures_size() == kBatch; });
  Result result = FromLoad("sign-batch", "ops/s", load, kBatch);
  result.baseline = "p256-sign";
  ASSIGN_OR_RETURN(result.baseline_value, environment.SignRate());
  result.note = absl::StrCat("batches of ", kBatch, ", 8 in flight; latencies are a batch's");
  return result;
}

absl::StatusOr<Result> Attest(Environment& environment) {
  ASSIGN_OR_RETURN(const LoadResult load,
                   SignLoad(environment, "suite", pb::LEDGER_WAIT_COSIGNED, 64));
  Result result = FromLoad("attest", "ops/s", load);
  result.baseline = "grpc-echo";
  ASSIGN_OR_RETURN(result.baseline_value, environment.EchoRate());
  result.note = "signed, logged durably and cosigned by a quorum of three witnesses, 64 in flight";
  return result;
}

}  // namespace

std::vector<Benchmark> SignBenchmarks() {
  return {{"sign-unary", "one P-256 signature a call, 64 in flight", SignUnary},
          {"sign-batch", "P-256 signatures in batches of 256", SignBatch},
          {"attest", "sign with the ledger: durable, with the proof, cosigned", Attest}};
}

}  // namespace countersign::bench
