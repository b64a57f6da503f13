#include "libs/crypto/private_key_parts.h"

#include <string>

#include "catch2/catch.hpp"
#include "libs/crypto/private_key.h"
#include "libs/testing/matchers.h"
#include "openssl/bn.h"
#include "openssl/ec.h"
#include "openssl/nid.h"

namespace countersign::crypto {
namespace {

using testing::RequireOk;
using testing::StatusIs;

bssl::UniquePtr<BIGNUM> Number(const SecretBytes& bytes) {
  const absl::string_view view = bytes.Expose(SecretAccess::Grant());
  return bssl::UniquePtr<BIGNUM>(
      BN_bin2bn(reinterpret_cast<const uint8_t*>(view.data()), view.size(), nullptr));
}

std::string ToBytes(const BIGNUM* number, size_t size) {
  std::string out(size, '\0');
  REQUIRE(BN_bn2bin_padded(reinterpret_cast<uint8_t*>(out.data()), size, number));
  return out;
}

TEST_CASE("The numbers of an RSA key make up its modulus and undo its exponent") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kRsaPkcs1_2048Sha256));
  const PrivateKeyParts parts =
      RequireOk(PartsOfPkcs8(RequireOk(key.ToPkcs8()), Algorithm::kRsaPkcs1_2048Sha256));
  for (const SecretBytes* part : {&parts.p, &parts.q, &parts.dp, &parts.dq, &parts.qinv}) {
    CHECK(part->size() == 128);
  }
  CHECK(parts.scalar.empty());
  bssl::UniquePtr<BN_CTX> context(BN_CTX_new());
  bssl::UniquePtr<BIGNUM> product(BN_new());
  REQUIRE(BN_mul(product.get(), Number(parts.p).get(), Number(parts.q).get(), context.get()));
  const std::string& spki = key.public_key().spki_der();
  CHECK(ToBytes(product.get(), 256) == spki.substr(spki.size() - 5 - 256, 256));
  const auto is_inverse = [&](const SecretBytes& a, const BIGNUM* b, const SecretBytes& prime,
                              bool of_one_less) {
    bssl::UniquePtr<BIGNUM> modulus = Number(prime);
    if (of_one_less) REQUIRE(BN_sub_word(modulus.get(), 1));
    bssl::UniquePtr<BIGNUM> result(BN_new());
    REQUIRE(BN_mod_mul(result.get(), Number(a).get(), b, modulus.get(), context.get()));
    return BN_is_one(result.get()) == 1;
  };
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  REQUIRE(BN_set_word(exponent.get(), 65537));
  CHECK(is_inverse(parts.dp, exponent.get(), parts.p, true));
  CHECK(is_inverse(parts.dq, exponent.get(), parts.q, true));
  CHECK(is_inverse(parts.qinv, Number(parts.q).get(), parts.p, false));
}

TEST_CASE("The scalar of a key on a curve leads to its public point") {
  const bool p256 = GENERATE(true, false);
  const Algorithm algorithm = p256 ? Algorithm::kEcdsaP256Sha256 : Algorithm::kEcdsaP384Sha384;
  const PrivateKey key = RequireOk(PrivateKey::Generate(algorithm));
  const PrivateKeyParts parts = RequireOk(PartsOfPkcs8(RequireOk(key.ToPkcs8()), algorithm));
  CHECK(parts.scalar.size() == (p256 ? 32 : 48));
  CHECK(parts.p.empty());
  bssl::UniquePtr<EC_GROUP> group(
      EC_GROUP_new_by_curve_name(p256 ? NID_X9_62_prime256v1 : NID_secp384r1));
  bssl::UniquePtr<EC_POINT> point(EC_POINT_new(group.get()));
  REQUIRE(EC_POINT_mul(group.get(), point.get(), Number(parts.scalar).get(), nullptr, nullptr,
                       nullptr));
  std::string bytes(1 + 2 * parts.scalar.size(), '\0');
  REQUIRE(EC_POINT_point2oct(group.get(), point.get(), POINT_CONVERSION_UNCOMPRESSED,
                             reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(),
                             nullptr) == bytes.size());
  const std::string& spki = key.public_key().spki_der();
  CHECK(bytes == spki.substr(spki.size() - bytes.size()));
}

TEST_CASE("The scalar of an Ed25519 key is its seed") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kEd25519));
  const PrivateKeyParts parts =
      RequireOk(PartsOfPkcs8(RequireOk(key.ToPkcs8()), Algorithm::kEd25519));
  CHECK(RequireOk(PrivateKey::FromEd25519Seed(parts.scalar)).public_key() == key.public_key());
}

TEST_CASE("A key for another algorithm, or none, is refused") {
  const PrivateKey key = RequireOk(PrivateKey::Generate(Algorithm::kEd25519));
  CHECK_THAT(PartsOfPkcs8(RequireOk(key.ToPkcs8()), Algorithm::kEcdsaP256Sha256),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(PartsOfPkcs8(SecretBytes("no key"), Algorithm::kEcdsaP256Sha256),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace countersign::crypto
