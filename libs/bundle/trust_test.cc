#include "libs/bundle/trust.h"

#include <string>

#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/note/policy.h"
#include "libs/testing/matchers.h"
#include "nlohmann/json.hpp"

namespace countersign::bundle {
namespace {

using testing::RequireOk;
using testing::StatusIs;

std::string Golden() { return RequireOk(base::ReadFile("libs/bundle/testdata/golden.trust.json")); }

TEST_CASE("A trust file reads back as it was written") {
  const TrustPolicy trust = RequireOk(TrustPolicy::Parse(Golden()));
  CHECK(trust.signers().size() == 1);
  CHECK(trust.log_policy().witnesses().size() == 3);
  const std::string text = trust.Format();
  const TrustPolicy again = RequireOk(TrustPolicy::Parse(text));
  CHECK(again.Format() == text);
  CHECK(again.policy_text() == trust.policy_text());
  CHECK(again.FindSigner(trust.signers()[0].key.spki_der())->name == "golden");
  CHECK(again.FindSigner("another") == nullptr);
}

TEST_CASE("A trust file that says something unclear is refused with the place") {
  const struct {
    const char* from;
    const char* to;
    const char* message;
  } kCases[] = {
      {"trust.v1+json", "trust.v2+json", "this is not a trust file"},
      {"BEGIN PUBLIC KEY", "BEGIN PRIVATE KEY", "signers[0].publicKey"},
      {"\"golden\"", "\"\"", "a signer has no name"},
      {"\"golden\"", "7", "signers[0].name is not a string"},
      {"\"quorum two-of-three\"", "\"quorum three\"", "policy: "},
      {"\"quorum two-of-three\"", "7", "policy[5] is not a string"},
      {"\"log log.example", "\"# log.example", "names no log"},
      {"\"policy\"", "\"policies\"", "polic"},
  };
  for (const auto& item : kCases) {
    CAPTURE(item.to);
    const std::string text = absl::StrReplaceAll(Golden(), {{item.from, item.to}});
    REQUIRE(text != Golden());
    CHECK_THAT(TrustPolicy::Parse(text),
               StatusIs(absl::StatusCode::kInvalidArgument, item.message));
  }
  const TrustPolicy golden = RequireOk(TrustPolicy::Parse(Golden()));
  CHECK_THAT(TrustPolicy::Create(golden.policy_text(), {golden.signers()[0], golden.signers()[0]}),
             StatusIs(absl::StatusCode::kInvalidArgument, "is there twice"));
}

TEST_CASE("Sigstore's trusted root names the log, its key and its id") {
  const TrustPolicy trust = RequireOk(TrustPolicy::Parse(Golden()));
  const auto root = nlohmann::json::parse(trust.SigstoreTrustedRoot());
  CHECK(root["mediaType"] == "application/vnd.dev.sigstore.trustedroot+json;version=0.1");
  REQUIRE(root["tlogs"].size() == 1);
  const auto& log = root["tlogs"][0];
  CHECK(log["baseUrl"] == "https://log.example/golden");
  CHECK(log["hashAlgorithm"] == "SHA2_256");
  CHECK(log["publicKey"]["keyDetails"] == "PKIX_ED25519");
  const auto& key = trust.log_policy().logs()[0].key;
  CHECK(*base::Base64Decode(log["publicKey"]["rawBytes"].get<std::string>()) ==
        key.public_key().spki_der());
  CHECK(*base::Base64Decode(log["logId"]["keyId"].get<std::string>()) ==
        base::AsBytes(key.key_hash()));
  for (const char* empty : {"certificateAuthorities", "ctlogs", "timestampAuthorities"}) {
    CHECK(root[empty].empty());
  }
}

}  // namespace
}  // namespace countersign::bundle
