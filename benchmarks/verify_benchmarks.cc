#include "absl/strings/str_cat.h"
#include "benchmarks/benchmarks.h"
#include "benchmarks/calls.h"
#include "countersign/verify/v1/verify.grpc.pb.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/private_key.h"

namespace countersign::bench {
namespace {

namespace pb = ::countersign::verify::v1;

constexpr int kBatch = 256;

// Checks of `kBatch` different, valid P-256 signatures by one key.
absl::StatusOr<std::vector<pb::SignatureCheck>> MakeChecks() {
  ASSIGN_OR_RETURN(const crypto::PrivateKey key,
                   crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  std::vector<pb::SignatureCheck> checks(kBatch);
  for (size_t i = 0; i < checks.size(); ++i) {
    std::string digest(24, '\0');
    base::AppendU64(&digest, i);
    ASSIGN_OR_RETURN(std::string signature, key.SignDigest(digest));
    checks[i].set_spki(key.public_key().spki_der());
    checks[i].set_algorithm(pb::ALGORITHM_ECDSA_P256_SHA256);
    checks[i].set_digest(digest);
    checks[i].set_signature(std::move(signature));
  }
  return checks;
}

absl::StatusOr<Result> VerifyUnary(Environment& environment) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels("verify"));
  ASSIGN_OR_RETURN(const std::vector<pb::SignatureCheck> checks, MakeChecks());
  const LoadResult load =
      RunCalls<pb::VerifyService, pb::VerifySignatureRequest, pb::VerifySignatureResponse>(
          {.in_flight = 64, .length = environment.length()}, channels,
          [](auto* async, auto... arguments) { async->VerifySignature(arguments...); },
          [&](int slot, pb::VerifySignatureRequest* request) {
            *request->mutable_check() = checks[static_cast<size_t>(slot)];
          },
          [](const pb::VerifySignatureResponse& response) {
            return response.verdict().verified();
          });
  Result result = FromLoad("verify-unary", "ops/s", load);
  result.baseline = "grpc-echo";
  ASSIGN_OR_RETURN(result.baseline_value, environment.EchoRate());
  result.note = "P-256, the cache of verified signatures off";
  return result;
}

absl::StatusOr<Result> VerifyBatch(Environment& environment) {
  ASSIGN_OR_RETURN(const auto channels, environment.Channels("verify"));
  ASSIGN_OR_RETURN(const std::vector<pb::SignatureCheck> checks, MakeChecks());
  const LoadResult load = RunCalls<pb::VerifyService, pb::BatchVerifySignaturesRequest,
                                   pb::BatchVerifySignaturesResponse>(
      {.in_flight = 8, .length = environment.length()}, channels,
      [](auto* async, auto... arguments) { async->BatchVerifySignatures(arguments...); },
      [&](int, pb::BatchVerifySignaturesRequest* request) {
        if (request->checks_size() != 0) return;
        for (const pb::SignatureCheck& check : checks) *request->add_checks() = check;
      },
      [](const pb::BatchVerifySignaturesResponse& response) {
        for (const pb::SignatureResult& result : response.results()) {
          if (!result.verdict().verified()) return false;
        }
        return response.results_size() == kBatch;
      });
  Result result = FromLoad("verify-batch", "ops/s", load, kBatch);
  result.baseline = "p256-verify";
  ASSIGN_OR_RETURN(result.baseline_value, environment.VerifyRate());
  result.note =
      absl::StrCat("batches of ", kBatch, ", 8 in flight, cache off; latencies are a batch's");
  return result;
}

}  // namespace

std::vector<Benchmark> VerifyBenchmarks() {
  return {{"verify-unary", "one P-256 verification a call, 64 in flight", VerifyUnary},
          {"verify-batch", "P-256 verifications in batches of 256", VerifyBatch}};
}

}  // namespace countersign::bench
