#include "libs/crypto/algorithm.h"

#include <set>
#include <string>

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::crypto {
namespace {

using ::countersign::testing::StatusIs;

TEST_CASE("Each algorithm's names lead back to it, and no two share one") {
  std::set<std::string> names;
  for (Algorithm algorithm : kAllAlgorithms) {
    const std::string name(AlgorithmName(algorithm));
    INFO(name);
    CHECK(names.insert(name).second);
    REQUIRE(ParseAlgorithm(name).ok());
    CHECK(*ParseAlgorithm(name) == algorithm);
    if (CanSign(algorithm)) {
      REQUIRE(FromPkixKeyDetails(PkixKeyDetails(algorithm)).ok());
      CHECK(*FromPkixKeyDetails(PkixKeyDetails(algorithm)) == algorithm);
    }
  }
}

TEST_CASE("The names are those that files and requests use") {
  CHECK(AlgorithmName(Algorithm::kEcdsaP256Sha256) == "ecdsa-p256-sha256");
  CHECK(AlgorithmName(Algorithm::kRsaPkcs1_3072Sha256) == "rsa-pkcs1-3072-sha256");
  CHECK(AlgorithmName(Algorithm::kHpkeX25519) == "hpke-x25519");
  CHECK(PkixKeyDetails(Algorithm::kEcdsaP256Sha256) == "PKIX_ECDSA_P256_SHA_256");
  CHECK(PkixKeyDetails(Algorithm::kEcdsaP384Sha384) == "PKIX_ECDSA_P384_SHA_384");
  CHECK(PkixKeyDetails(Algorithm::kRsaPss4096Sha256) == "PKIX_RSA_PSS_4096_SHA256");
  CHECK(PkixKeyDetails(Algorithm::kRsaPkcs1_2048Sha256) == "PKIX_RSA_PKCS1V15_2048_SHA256");
  CHECK(PkixKeyDetails(Algorithm::kEd25519ph) == "PKIX_ED25519_PH");
}

TEST_CASE("What is signed is said for each algorithm") {
  CHECK(DigestFor(Algorithm::kEd25519) == DigestAlgorithm::kNone);
  CHECK(DigestFor(Algorithm::kEd25519ph) == DigestAlgorithm::kSha512);
  CHECK(DigestFor(Algorithm::kEcdsaP384Sha384) == DigestAlgorithm::kSha384);
  CHECK(DigestFor(Algorithm::kRsaPss2048Sha256) == DigestAlgorithm::kSha256);
  CHECK_FALSE(CanSign(Algorithm::kHpkeX25519));
  CHECK(PkixKeyDetails(Algorithm::kHpkeX25519).empty());
}

TEST_CASE("Unknown names are refused, with the known ones in the message") {
  REQUIRE_THAT(ParseAlgorithm("rsa"),
               StatusIs(absl::StatusCode::kInvalidArgument, "ecdsa-p256-sha256"));
  REQUIRE_THAT(ParseAlgorithm(""), StatusIs(absl::StatusCode::kInvalidArgument));
  REQUIRE_THAT(FromPkixKeyDetails("PKIX_ED448"), StatusIs(absl::StatusCode::kInvalidArgument));
  REQUIRE_THAT(FromPkixKeyDetails(""), StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::crypto
