#include "services/sign/encryption.h"

#include "catch2/catch.hpp"
#include "libs/runtime/error_details.h"
#include "services/sign/errors.h"
#include "services/sign/testing.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

constexpr char kBox[] = "tenants/default/keys/box";
constexpr char kBox1[] = "tenants/default/keys/box/versions/1";

v1::EncryptRequest EncryptRequest(const std::string& plaintext) {
  auto request = Named<v1::EncryptRequest>(kBox);
  request.set_plaintext(plaintext);
  request.set_info("info");
  request.set_aad("aad");
  return request;
}

v1::DecryptRequest DecryptRequest(const v1::EncryptResponse& sealed) {
  auto request = Named<v1::DecryptRequest>(sealed.key_version());
  request.set_enc(sealed.enc());
  request.set_ciphertext(sealed.ciphertext());
  request.set_info("info");
  request.set_aad("aad");
  return request;
}

TEST_CASE("What was encrypted decrypts, after a rotation too") {
  TestSigning s;
  s.keys.Create("box", v1::ALGORITHM_HPKE_X25519);
  for (const std::string& text : {std::string(), std::string("hi"), std::string(1 << 20, 'x')}) {
    const auto sealed = RequireOk(Encrypt(s.ring, EncryptRequest(text)));
    CHECK(sealed.key_version() == kBox1);
    CHECK(RequireOk(Decrypt(s.ring, DecryptRequest(sealed))).plaintext() == text);
  }
  const auto sealed = RequireOk(Encrypt(s.ring, EncryptRequest("kept")));
  RequireOk(s.keys.store->RotateKey(Named<v1::RotateKeyRequest>(kBox)));
  CHECK(RequireOk(Decrypt(s.ring, DecryptRequest(sealed))).plaintext() == "kept");
  auto by_key = DecryptRequest(sealed);
  by_key.set_name(kBox);  // the new primary version
  CHECK_THAT(Decrypt(s.ring, by_key), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("What does not belong together does not decrypt") {
  TestSigning s;
  s.keys.Create("box", v1::ALGORITHM_HPKE_X25519);
  const auto sealed = RequireOk(Encrypt(s.ring, EncryptRequest("secret")));
  const auto check = [&](auto change) {
    auto request = DecryptRequest(sealed);
    change(&request);
    const auto result = Decrypt(s.ring, request);
    CHECK_THAT(result, StatusIs(absl::StatusCode::kInvalidArgument));
    CHECK(runtime::ReasonOf(result.status()) == kDecryptionFailed);
  };
  check([](v1::DecryptRequest* r) { r->set_aad("other"); });
  check([](v1::DecryptRequest* r) { r->set_info(""); });
  check([](v1::DecryptRequest* r) { (*r->mutable_ciphertext())[0] ^= 1; });
  check([](v1::DecryptRequest* r) { (*r->mutable_enc())[5] ^= 1; });
  check([](v1::DecryptRequest* r) { r->clear_ciphertext(); });
}

TEST_CASE("Too long, too short or to the wrong key is refused") {
  TestSigning s;
  s.keys.Create("box", v1::ALGORITHM_HPKE_X25519);
  s.keys.Create("pen", v1::ALGORITHM_ED25519);
  const auto invalid = StatusIs(absl::StatusCode::kInvalidArgument);
  CHECK_THAT(Encrypt(s.ring, EncryptRequest(std::string((1 << 20) + 1, 'x'))), invalid);
  auto request = EncryptRequest("m");
  request.set_aad(std::string((64 << 10) + 1, 'a'));
  CHECK_THAT(Encrypt(s.ring, request), invalid);
  auto decrypt = DecryptRequest(RequireOk(Encrypt(s.ring, EncryptRequest("m"))));
  decrypt.set_enc("short");
  CHECK_THAT(Decrypt(s.ring, decrypt), StatusIs(absl::StatusCode::kInvalidArgument, "enc"));

  request = EncryptRequest("m");
  request.set_name("tenants/default/keys/pen");
  const auto wrong = Encrypt(s.ring, request);
  CHECK_THAT(wrong, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(wrong.status()) == kWrongAlgorithm);

  RequireOk(s.keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(kBox1)));
  CHECK_THAT(Encrypt(s.ring, EncryptRequest("m")),
             StatusIs(absl::StatusCode::kFailedPrecondition, "disabled"));
}

}  // namespace
}  // namespace countersign::sign
