#include "libs/crypto/block_cipher.h"

#include <string>
#include <tuple>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/testing/matchers.h"

namespace countersign::crypto {
namespace {

using testing::RequireOk;
using testing::StatusIs;

std::string Unhex(const char* hex) { return RequireOk(base::HexDecode(hex)); }

TEST_CASE("The published examples of AES and triple DES hold in both directions") {
  // FIPS 197 appendix C, and SP 800-67 appendix B.1.
  const auto [cipher, key, plain, encrypted] = GENERATE(
      std::tuple(BlockCipher::kAes128, "000102030405060708090a0b0c0d0e0f",
                 "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
      std::tuple(BlockCipher::kAes192, "000102030405060708090a0b0c0d0e0f1011121314151617",
                 "00112233445566778899aabbccddeeff", "dda97ca4864cdfe06eaf70a0ec0d7191"),
      std::tuple(BlockCipher::kAes256,
                 "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                 "00112233445566778899aabbccddeeff", "8ea2b7ca516745bfeafc49904b496089"),
      std::tuple(BlockCipher::kTripleDes, "0123456789abcdef23456789abcdef01456789abcdef0123",
                 "5468652071756663", "a826fd8ce53b855f"));
  const SecretBytes secret(Unhex(key));
  CHECK(secret.size() == KeyBytes(cipher));
  CHECK(base::HexEncode(RequireOk(EncryptBlock(cipher, secret, Unhex(plain)))) == encrypted);
  CHECK(base::HexEncode(RequireOk(DecryptBlock(cipher, secret, Unhex(encrypted)))) == plain);
}

TEST_CASE("Keys and blocks of other lengths are refused") {
  const SecretBytes key(std::string(24, 'k'));
  CHECK_THAT(EncryptBlock(BlockCipher::kAes128, key, std::string(16, 'b')),
             StatusIs(absl::StatusCode::kInvalidArgument, "24 bytes"));
  CHECK_THAT(EncryptBlock(BlockCipher::kTripleDes, key, std::string(16, 'b')),
             StatusIs(absl::StatusCode::kInvalidArgument, "16 bytes"));
  CHECK_THAT(DecryptBlock(BlockCipher::kAes192, key, ""),
             StatusIs(absl::StatusCode::kInvalidArgument, "0 bytes"));
}

}  // namespace
}  // namespace countersign::crypto
