#include "libs/acme/jws.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/hmac.h"
#include "libs/testing/matchers.h"
#include "nlohmann/json.hpp"

namespace countersign::acme {
namespace {

using absl::StatusCode;
using crypto::Algorithm;
using crypto::PrivateKey;
using testing::RequireOk;
using testing::StatusIs;

std::string Decode(const nlohmann::json& text) {
  std::string bytes;
  REQUIRE(absl::WebSafeBase64Unescape(text.get<std::string>(), &bytes));
  return bytes;
}

// An INTEGER of DER from 32 bytes.
std::string DerInteger(std::string bytes) {
  while (bytes.size() > 1 && bytes[0] == 0 && (bytes[1] & 0x80) == 0) bytes.erase(0, 1);
  if ((bytes[0] & 0x80) != 0) bytes.insert(0, 1, '\0');
  return absl::StrCat("\x02", std::string(1, static_cast<char>(bytes.size())), bytes);
}

// The key of RFC 7515 appendix A.3.
TEST_CASE("A P-256 key's JWK has the coordinates of RFC 7515") {
  const std::string x = Decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
  const std::string y = Decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
  const std::string spki = absl::StrCat(
      RequireOk(base::HexDecode("3059301306072a8648ce3d020106082a8648ce3d03010703420004")), x, y);
  const auto key = RequireOk(crypto::PublicKey::FromSpkiDer(spki));
  CHECK(RequireOk(Jwk(key)) ==
        R"({"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
        R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})");
  const auto other = RequireOk(PrivateKey::Generate(Algorithm::kEd25519));
  CHECK_THAT(Jwk(other.public_key()), StatusIs(StatusCode::kInvalidArgument));
}

TEST_CASE("What is signed can be checked, r and s being 32 bytes whatever they begin with") {
  const auto key = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  // One signature in 128 has a number that is shorter.
  for (int i = 0; i < 1000; ++i) {
    const std::string payload = absl::StrCat("{\"n\":", i, "}");
    const auto jws = nlohmann::json::parse(
        RequireOk(SignEs256(key, "https://acme/acct/1", "nonce", "https://acme/order", payload)));
    const std::string signature = Decode(jws["signature"]);
    REQUIRE(signature.size() == 64);
    const std::string numbers =
        DerInteger(signature.substr(0, 32)) + DerInteger(signature.substr(32));
    const std::string der =
        absl::StrCat("\x30", std::string(1, static_cast<char>(numbers.size())), numbers);
    REQUIRE(RequireOk(key.public_key().VerifyMessage(
        Algorithm::kEcdsaP256Sha256,
        absl::StrCat(jws["protected"].get<std::string>(), ".", jws["payload"].get<std::string>()),
        der)));
    if (i > 0) continue;
    CHECK(Decode(jws["payload"]) == payload);
    const auto header = nlohmann::json::parse(Decode(jws["protected"]));
    CHECK(header == nlohmann::json{{"alg", "ES256"},
                                   {"kid", "https://acme/acct/1"},
                                   {"nonce", "nonce"},
                                   {"url", "https://acme/order"}});
  }
}

TEST_CASE("An external account binding is a MAC over the account's key") {
  const auto key = RequireOk(PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  const crypto::SecretBytes mac_key(absl::string_view("secret"));
  const auto jws = nlohmann::json::parse(
      RequireOk(BindExternalAccount(key.public_key(), "kid-1", mac_key, "https://acme/new-acct")));
  CHECK(Decode(jws["payload"]) == RequireOk(Jwk(key.public_key())));
  CHECK(nlohmann::json::parse(Decode(jws["protected"])) ==
        nlohmann::json{{"alg", "HS256"}, {"kid", "kid-1"}, {"url", "https://acme/new-acct"}});
  CHECK(Decode(jws["signature"]) ==
        crypto::HmacSha256(mac_key, absl::StrCat(jws["protected"].get<std::string>(), ".",
                                                 jws["payload"].get<std::string>())));
}

}  // namespace
}  // namespace countersign::acme
