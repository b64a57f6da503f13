#include "libs/crypto/hpke.h"

#include "catch2/catch.hpp"
#include "libs/testing/matchers.h"

namespace countersign::crypto {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

TEST_CASE("What HPKE seals to a key the key opens") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kHpkeX25519));
  for (const std::string& text : {std::string(), std::string("hello"), std::string(100000, 'x')}) {
    const HpkeCiphertext sealed = RequireOk(HpkeSeal(key.public_key(), "info", "aad", text));
    CHECK(sealed.enc.size() == 32);
    CHECK(sealed.ciphertext.size() == text.size() + 16);
    CHECK(RequireOk(HpkeOpen(key, sealed.enc, "info", "aad", sealed.ciphertext)) == text);
  }
}

TEST_CASE("Changed parts of an HPKE message are noticed") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kHpkeX25519));
  const PrivateKey other = RequireOk(PrivateKey::Generate(Algorithm::kHpkeX25519));
  const HpkeCiphertext sealed = RequireOk(HpkeSeal(key.public_key(), "info", "aad", "hello"));
  const auto refused = StatusIs(absl::StatusCode::kInvalidArgument, "does not decrypt");
  CHECK_THAT(HpkeOpen(other, sealed.enc, "info", "aad", sealed.ciphertext), refused);
  CHECK_THAT(HpkeOpen(key, sealed.enc, "inf0", "aad", sealed.ciphertext), refused);
  CHECK_THAT(HpkeOpen(key, sealed.enc, "info", "", sealed.ciphertext), refused);
  CHECK_THAT(HpkeOpen(key, "", "info", "aad", sealed.ciphertext), refused);
  CHECK_THAT(HpkeOpen(key, sealed.enc, "info", "aad", ""), refused);
  CHECK_THAT(HpkeOpen(key, std::string(32, '\0'), "info", "aad", sealed.ciphertext), refused);
  for (size_t i = 0; i < sealed.ciphertext.size(); ++i) {
    std::string altered = sealed.ciphertext;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CHECK_THAT(HpkeOpen(key, sealed.enc, "info", "aad", altered), refused);
  }
  for (size_t i = 0; i < sealed.enc.size(); ++i) {
    std::string altered = sealed.enc;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    CHECK_THAT(HpkeOpen(key, altered, "info", "aad", sealed.ciphertext), refused);
  }
}

TEST_CASE("HPKE takes X25519 keys alone, and none of small order") {
  const PrivateKey signing = RequireOk(PrivateKey::Generate(Algorithm::kEd25519));
  CHECK_THAT(HpkeSeal(signing.public_key(), "", "", "m"),
             StatusIs(absl::StatusCode::kInvalidArgument, "X25519"));
  CHECK_THAT(HpkeOpen(signing, std::string(32, 'e'), "", "", std::string(20, 'c')),
             StatusIs(absl::StatusCode::kInvalidArgument, "hpke-x25519"));
  const PublicKey zero = RequireOk(PublicKey::FromX25519Raw(std::string(32, '\0')));
  CHECK_THAT(HpkeSeal(zero, "", "", "m"),
             StatusIs(absl::StatusCode::kInvalidArgument, "small order"));
}

}  // namespace
}  // namespace countersign::crypto
