#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/bundle/trust.h"
#include "libs/bundle/verify.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace bundle = countersign::bundle;

namespace {

// A log whose private key nobody has, so nothing made here can verify.
constexpr char kPolicy[] =
    "log example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k\nquorum none\n";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bundle::TrustPolicy trust = bundle::TrustPolicy::Create(kPolicy, {}).value();
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const bundle::ArtifactDigest artifact = bundle::DigestOf("The golden artifact.\n");
  const auto as_bundle = bundle::VerifyBundle(input, artifact, trust);
  Holds(as_bundle.ok() && !as_bundle->verified, "a bundle of nobody trusted does not verify");
  Holds(!as_bundle->detail.empty(), "a refusal has a reason");
  const auto as_proof = bundle::VerifyTlogProof(input, artifact, trust);
  Holds(as_proof.ok() && !as_proof->verified, "a proof of nobody trusted does not verify");
  Holds(!as_proof->detail.empty(), "a refusal has a reason");
  return 0;
}
