#include "libs/runtime/main.h"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "libs/base/clock.h"
#include "libs/base/file.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/trust.h"
#include "libs/runtime/metrics.h"
#include "services/verify/attestations.h"
#include "services/verify/verifier.h"
#include "services/verify/verify_service.h"

namespace countersign::verify {
namespace {

void ExportCaches(const Verifier* verifier, runtime::Metrics* metrics) {
  const auto add = [&](const char* cache, const char* result,
                       uint64_t Verifier::CacheStats::*count) {
    metrics->AddCounterFunction("countersign_verify_cache_lookups_total",
                                "Look-ups in the verifier's caches.",
                                [=] { return static_cast<double>(verifier->cache_stats().*count); },
                                {{"cache", cache}, {"result", result}});
  };
  add("signature", "hit", &Verifier::CacheStats::signature_hits);
  add("signature", "miss", &Verifier::CacheStats::signature_misses);
  add("key", "hit", &Verifier::CacheStats::key_hits);
  add("key", "miss", &Verifier::CacheStats::key_misses);
  add("trust", "hit", &Verifier::CacheStats::trust_hits);
  add("trust", "miss", &Verifier::CacheStats::trust_misses);
}

absl::StatusOr<Attestations> OpenAttestations(const std::string& roots_path) {
  std::vector<std::string> roots;
  if (!roots_path.empty()) {
    ASSIGN_OR_RETURN(const std::string pem, base::ReadFile(roots_path));
    absl::StatusOr<std::vector<std::string>> parsed = piv::ParseAttestationRoots(pem);
    if (!parsed.ok()) {
      return absl::Status(parsed.status().code(),
                          roots_path + ": " + std::string(parsed.status().message()));
    }
    roots = *std::move(parsed);
  }
  return Attestations::Create(std::move(roots), base::Clock::System());
}

}  // namespace
}  // namespace countersign::verify

int main(int argc, char** argv) {
  using namespace countersign;  // NOLINT
  runtime::Main main(
      {.name = "verify",
       .description =
           "Verifies signatures, Sigstore bundles, tlog-proofs and YubiKey attestations.",
       .listen = "127.0.0.1:7102",
       .admin_listen = "127.0.0.1:7202"});
  std::string trust_path;
  std::string roots_path;
  int64_t cache_entries = 1 << 18;
  int64_t max_waiting = 1000;
  main.AddString("--trust", &trust_path,
                 "trust file (countersign trust export) for calls that bring none");
  main.AddString("--attestation-roots", &roots_path,
                 "PEM file with the roots of attestations for calls that bring none");
  main.AddInt("--signature-cache", &cache_entries, "verified signatures to remember; 0: none");
  main.AddInt("--max-waiting", &max_waiting, "batches and bundles at once, the rest is refused");
  return main.Run(argc, argv, [&](runtime::Server& server) -> absl::Status {
    if (cache_entries < 0 || max_waiting < 1 || max_waiting > 1'000'000) {
      return absl::InvalidArgumentError("--signature-cache or --max-waiting is out of range");
    }
    verify::VerifierOptions options{
        .pool = server.executor(), .signature_cache_entries = static_cast<uint64_t>(cache_entries)};
    if (!trust_path.empty()) {
      ASSIGN_OR_RETURN(const std::string json, base::ReadFile(trust_path));
      absl::StatusOr<bundle::TrustPolicy> trust = bundle::TrustPolicy::Parse(json);
      if (!trust.ok()) {
        return absl::Status(trust.status().code(),
                            trust_path + ": " + std::string(trust.status().message()));
      }
      options.trust = std::make_shared<const bundle::TrustPolicy>(*std::move(trust));
    }
    auto* verifier = server.Own(std::make_unique<verify::Verifier>(options));
    verify::ExportCaches(verifier, server.metrics());
    ASSIGN_OR_RETURN(verify::Attestations attestations, verify::OpenAttestations(roots_path));
    auto* judge = server.Own(std::make_unique<verify::Attestations>(std::move(attestations)));
    auto* service = server.Own(std::make_unique<verify::VerifyService>(
        verifier, judge, server.executor(), static_cast<int>(max_waiting)));
    server.AddService(service, "countersign.verify.v1.VerifyService");
    return absl::OkStatus();
  });
}
