#include "libs/crypto/rsa_checks.h"

#include <string>

#include "absl/strings/escaping.h"
#include "catch2/catch.hpp"
#include "libs/crypto/openssl_util.h"
#include "libs/crypto/test_moduli.h"
#include "openssl/bn.h"

namespace countersign::crypto {
namespace {

// The bytes of 2^127 - 1, a prime, times `factor`.
std::string TimesMersennePrime(uint64_t factor) {
  bssl::UniquePtr<BIGNUM> product(BN_new());
  REQUIRE(BN_one(product.get()));
  REQUIRE(BN_lshift(product.get(), product.get(), 127));
  REQUIRE(BN_sub_word(product.get(), 1));
  REQUIRE(BN_mul_word(product.get(), factor));
  std::string bytes(BN_num_bytes(product.get()), '\0');
  BN_bn2bin(product.get(), MutableBytes(&bytes));
  return bytes;
}

TEST_CASE("Every prime below 65,536 is found as a factor, and no larger one") {
  for (uint32_t n = 2; n < 65'536; ++n) {
    bool prime = true;
    for (uint32_t divisor = 2; divisor * divisor <= n && prime; ++divisor) {
      prime = n % divisor != 0;
    }
    if (prime && FindRsaFlaw(TimesMersennePrime(n)) != RsaFlaw::kSmallFactor) FAIL(n);
  }
  for (const uint64_t prime : {65'537ull, 65'539ull, 4'294'967'291ull}) {
    CHECK(FindRsaFlaw(TimesMersennePrime(prime)) == RsaFlaw::kNone);
  }
}

TEST_CASE("Moduli of ROCA's form are told by their fingerprint") {
  CHECK(FindRsaFlaw(absl::HexStringToBytes(kRocaModulusHex)) == RsaFlaw::kRoca);
}

TEST_CASE("Fermat's method is tried for 100 rounds") {
  CHECK(FindRsaFlaw(absl::HexStringToBytes(kClosePrimesModulusHex)) == RsaFlaw::kClosePrimes);
  CHECK(FindRsaFlaw(absl::HexStringToBytes(kDistantPrimesModulusHex)) == RsaFlaw::kNone);
  // The square of 2^127 - 1.
  CHECK(FindRsaFlaw(absl::HexStringToBytes(
            "3fffffffffffffffffffffffffffffff00000000000000000000000000000001")) ==
        RsaFlaw::kClosePrimes);
}

TEST_CASE("Numbers that are no modulus have a flaw") {
  CHECK(FindRsaFlaw("") == RsaFlaw::kSmallFactor);
  CHECK(FindRsaFlaw(absl::string_view("\0", 1)) == RsaFlaw::kSmallFactor);
  CHECK(FindRsaFlaw("\x02") == RsaFlaw::kSmallFactor);
}

}  // namespace
}  // namespace countersign::crypto
