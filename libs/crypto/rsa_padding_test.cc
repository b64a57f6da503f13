#include "libs/crypto/rsa_padding.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "openssl/bytestring.h"
#include "openssl/evp.h"
#include "openssl/rsa.h"

namespace countersign::crypto {
namespace {

using testing::RequireOk;
using testing::RunCommand;
using testing::StatusIs;
using testing::TempDir;

absl::string_view View(const SecretBytes& secret) { return secret.Expose(SecretAccess::Grant()); }
const uint8_t* Bytes(absl::string_view bytes) {
  return reinterpret_cast<const uint8_t*>(bytes.data());
}

// A key that exponentiates and does nothing else, as on a card.
class RawKey {
 public:
  explicit RawKey(Algorithm algorithm) : key_(RequireOk(PrivateKey::Generate(algorithm))) {
    pkcs8_ = RequireOk(key_.ToPkcs8());
    CBS cbs;
    CBS_init(&cbs, Bytes(View(pkcs8_)), pkcs8_.size());
    pkey_.reset(EVP_parse_private_key(&cbs));
    REQUIRE(pkey_ != nullptr);
  }

  std::string Exponentiate(absl::string_view block) const {
    RSA* const rsa = EVP_PKEY_get0_RSA(pkey_.get());
    std::string out(RSA_size(rsa), '\0');
    size_t size = 0;
    REQUIRE(RSA_sign_raw(rsa, &size, reinterpret_cast<uint8_t*>(out.data()), out.size(),
                         Bytes(block), block.size(), RSA_NO_PADDING));
    REQUIRE(size == out.size());
    return out;
  }
  // OAEP with this hash, for its label and its mask.
  std::string EncryptOaep(absl::string_view message, const EVP_MD* hash) const {
    RSA* const rsa = EVP_PKEY_get0_RSA(pkey_.get());
    std::string block(RSA_size(rsa), '\0');
    REQUIRE(RSA_padding_add_PKCS1_OAEP_mgf1(reinterpret_cast<uint8_t*>(block.data()), block.size(),
                                            Bytes(message), message.size(), nullptr, 0, hash,
                                            hash));
    return block;
  }

  const PublicKey& public_key() const { return key_.public_key(); }
  const SecretBytes& pkcs8() const { return pkcs8_; }

 private:
  PrivateKey key_;
  SecretBytes pkcs8_;
  bssl::UniquePtr<EVP_PKEY> pkey_;
};

const RawKey& Key() {
  static const RawKey* const key = new RawKey(Algorithm::kRsaPkcs1_2048Sha256);
  return *key;
}

TEST_CASE("What is encoded and exponentiated is a signature") {
  const std::string digest = Digest(DigestAlgorithm::kSha256, "message");
  const auto check = [&](const RawKey& key, Algorithm algorithm) {
    INFO(AlgorithmName(algorithm));
    const std::string block = RequireOk(EncodeForSigning(algorithm, digest));
    const std::string signature = key.Exponentiate(block);
    CHECK(RequireOk(key.public_key().VerifyDigest(algorithm, digest, signature)));
    CHECK_FALSE(RequireOk(key.public_key().VerifyDigest(
        algorithm, Digest(DigestAlgorithm::kSha256, "other"), signature)));
  };
  for (int i = 0; i < 20; ++i) check(Key(), Algorithm::kRsaPss2048Sha256);
  check(Key(), Algorithm::kRsaPkcs1_2048Sha256);
  const RawKey longer(Algorithm::kRsaPss3072Sha256);
  check(longer, Algorithm::kRsaPss3072Sha256);
  check(longer, Algorithm::kRsaPkcs1_3072Sha256);
}

TEST_CASE("PSS is salted, and PKCS#1 v1.5 is what RFC 8017 section 9.2 says") {
  const std::string digest = Digest(DigestAlgorithm::kSha256, "message");
  CHECK(RequireOk(EncodeForSigning(Algorithm::kRsaPss4096Sha256, digest)) !=
        RequireOk(EncodeForSigning(Algorithm::kRsaPss4096Sha256, digest)));
  const std::string block = RequireOk(EncodeForSigning(Algorithm::kRsaPkcs1_4096Sha256, digest));
  CHECK(block.size() == 512);
  CHECK(block.substr(0, 2) == std::string("\0\1", 2));
  CHECK(block.substr(2, 512 - 3 - 19 - 32) == std::string(512 - 3 - 19 - 32, '\xFF'));
  CHECK(block.substr(512 - 32) == digest);
}

TEST_CASE("Other algorithms and digests of other lengths are not encoded") {
  CHECK_THAT(EncodeForSigning(Algorithm::kEcdsaP256Sha256, std::string(32, 'd')),
             StatusIs(absl::StatusCode::kInvalidArgument, "ecdsa-p256-sha256"));
  for (size_t size : {0, 20, 31, 33, 48}) {
    CHECK_THAT(EncodeForSigning(Algorithm::kRsaPss2048Sha256, std::string(size, 'd')),
               StatusIs(absl::StatusCode::kInvalidArgument, absl::StrCat(size)));
  }
}

TEST_CASE("openssl verifies what was encoded here") {
  TempDir dir;
  const std::string key = absl::StrCat(dir.path(), "/key.pem");
  RequireOk(base::WriteFileAtomically(key, Key().public_key().ToPem()));
  const std::string digest = Digest(DigestAlgorithm::kSha256, "message");
  RequireOk(base::WriteFileAtomically(absl::StrCat(dir.path(), "/digest"), digest));
  const auto verify = [&](Algorithm algorithm, const std::string& padding) {
    const std::string signature =
        Key().Exponentiate(RequireOk(EncodeForSigning(algorithm, digest)));
    RequireOk(base::WriteFileAtomically(absl::StrCat(dir.path(), "/signature"), signature));
    const auto result = RunCommand(absl::StrCat(
        "cd ", dir.path(), " && openssl pkeyutl -verify -pubin -inkey key.pem -in digest ",
        "-sigfile signature -pkeyopt digest:sha256 ", padding));
    INFO(result.output);
    CHECK(result.exit_code == 0);
  };
  verify(Algorithm::kRsaPkcs1_2048Sha256, "-pkeyopt rsa_padding_mode:pkcs1");
  verify(Algorithm::kRsaPss2048Sha256,
         "-pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:32 -pkeyopt rsa_mgf1_md:sha256");
}

TEST_CASE("What openssl encrypted is decoded after exponentiation") {
  TempDir dir;
  RequireOk(
      base::WriteFileAtomically(absl::StrCat(dir.path(), "/key.pem"), Key().public_key().ToPem()));
  const auto round_trip = [&](const std::string& message, const std::string& padding,
                              RsaEncryption encryption) {
    RequireOk(base::WriteFileAtomically(absl::StrCat(dir.path(), "/message"), message));
    const auto result = RunCommand(
        absl::StrCat("cd ", dir.path(), " && openssl pkeyutl -encrypt -pubin -inkey key.pem ",
                     "-in message -out encrypted ", padding));
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    const std::string encrypted = RequireOk(base::ReadFile(absl::StrCat(dir.path(), "/encrypted")));
    const SecretBytes block(Key().Exponentiate(encrypted));
    CHECK(View(RequireOk(DecodeDecrypted(encryption, block))) == message);
  };
  for (const std::string& message : {std::string("m"), std::string(190, 'm')}) {
    round_trip(message,
               "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 "
               "-pkeyopt rsa_mgf1_md:sha256",
               RsaEncryption::kOaepSha256);
    round_trip(message, "-pkeyopt rsa_padding_mode:pkcs1", RsaEncryption::kPkcs1);
  }
}

TEST_CASE("A wrong padding is refused without a word of where it is wrong") {
  const std::string good = Key().EncryptOaep("message", EVP_sha256());
  CHECK(View(RequireOk(DecodeDecrypted(RsaEncryption::kOaepSha256, SecretBytes(good)))) ==
        "message");
  const absl::Status wrong = DecodeDecrypted(RsaEncryption::kPkcs1, SecretBytes(good)).status();
  CHECK_THAT(wrong, StatusIs(absl::StatusCode::kInvalidArgument));
  for (size_t i = 0; i < good.size(); ++i) {
    INFO(i);
    std::string altered = good;
    altered[i] ^= 0x10;
    CHECK(DecodeDecrypted(RsaEncryption::kOaepSha256, SecretBytes(altered)).status() == wrong);
  }
  CHECK(DecodeDecrypted(RsaEncryption::kOaepSha256,
                        SecretBytes(Key().EncryptOaep("message", EVP_sha1())))
            .status() == wrong);
  // 00 02, eight bytes that are not zero, 00, message: one byte less of padding is too little.
  const std::string least =
      absl::StrCat(absl::string_view("\0\2", 2), "paddings", absl::string_view("\0", 1), "message");
  CHECK(View(RequireOk(DecodeDecrypted(RsaEncryption::kPkcs1, SecretBytes(least)))) == "message");
  for (const std::string& bad :
       {std::string(), std::string(1, '\0'), std::string(256, '\0'), std::string(256, '\2'),
        std::string("\0\2padding\0message", 17), std::string("\0\1paddings\0message", 18),
        std::string("\1\2paddings\0message", 18), std::string("\0\2paddingsmessage", 17)}) {
    INFO(bad.size());
    CHECK(DecodeDecrypted(RsaEncryption::kPkcs1, SecretBytes(bad)).status() == wrong);
    CHECK(DecodeDecrypted(RsaEncryption::kOaepSha256, SecretBytes(bad)).status() == wrong);
  }
}

}  // namespace
}  // namespace countersign::crypto
