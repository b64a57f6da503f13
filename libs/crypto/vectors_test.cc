// Published test vectors: RFC 8032, RFC 9180, Wycheproof.
//
// Wycheproof calls some results "acceptable": readers may differ. This library refuses each of
// them: DER that misses a zero byte, DigestInfo without its NULL, and RSA keys below 2048 bits or
// with an exponent other than 65537.
#include <map>
#include <sstream>
#include <string>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/hpke.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "libs/testing/matchers.h"
#include "nlohmann/json.hpp"

namespace countersign::crypto {
namespace {

using ::countersign::testing::RequireOk;

constexpr char kRoot[] = "external/boringssl/src/";

std::string Hex(absl::string_view hex) { return RequireOk(base::HexDecode(hex)); }

std::string HexOf(const nlohmann::json& json) { return Hex(json.get<std::string>()); }

nlohmann::json ReadJson(const std::string& path) {
  return nlohmann::json::parse(RequireOk(base::ReadFile(kRoot + path)));
}

struct Ran {
  int tests = 0;
  int refused_keys = 0;
};

Ran RunWycheproof(const std::string& file, Algorithm algorithm) {
  const std::string hash = DigestFor(algorithm) == DigestAlgorithm::kSha384 ? "SHA-384" : "SHA-256";
  Ran ran;
  const auto json = ReadJson("third_party/wycheproof_testvectors/" + file);
  for (const auto& group : json["testGroups"]) {
    if (group.contains("sha")) REQUIRE(group["sha"] == hash);
    const auto key = PublicKey::FromSpkiDer(HexOf(group["keyDer"]));
    if (!key.ok()) {
      INFO(key.status().ToString());
      CHECK((group["keysize"] < 2048 || group["e"] != "010001"));
      ++ran.refused_keys;
      continue;
    }
    for (const auto& test : group["tests"]) {
      INFO(file << " " << test["tcId"] << " " << test["comment"]);
      const auto verdict = key->VerifyMessage(algorithm, HexOf(test["msg"]), HexOf(test["sig"]));
      REQUIRE(verdict.ok());
      CHECK(*verdict == (test["result"] == "valid"));
      ++ran.tests;
    }
  }
  return ran;
}

TEST_CASE("Wycheproof: Ed25519") {
  CHECK(RunWycheproof("eddsa_test.json", Algorithm::kEd25519).tests == 145);
}

TEST_CASE("Wycheproof: ECDSA") {
  CHECK(RunWycheproof("ecdsa_secp256r1_sha256_test.json", Algorithm::kEcdsaP256Sha256).tests ==
        387);
  CHECK(RunWycheproof("ecdsa_secp384r1_sha384_test.json", Algorithm::kEcdsaP384Sha384).tests ==
        408);
}

TEST_CASE("Wycheproof: RSA-PSS") {
  CHECK(
      RunWycheproof("rsa_pss_2048_sha256_mgf1_32_test.json", Algorithm::kRsaPss2048Sha256).tests ==
      103);
  CHECK(
      RunWycheproof("rsa_pss_3072_sha256_mgf1_32_test.json", Algorithm::kRsaPss3072Sha256).tests ==
      103);
  CHECK(
      RunWycheproof("rsa_pss_4096_sha256_mgf1_32_test.json", Algorithm::kRsaPss4096Sha256).tests ==
      103);
}

TEST_CASE("Wycheproof: PSS with a salt of another length than the digest's is refused") {
  int tests = 0;
  const auto json =
      ReadJson("third_party/wycheproof_testvectors/rsa_pss_2048_sha256_mgf1_0_test.json");
  for (const auto& group : json["testGroups"]) {
    const PublicKey key = RequireOk(PublicKey::FromSpkiDer(HexOf(group["keyDer"])));
    for (const auto& test : group["tests"]) {
      if (test["result"] != "valid") continue;
      INFO(test["tcId"]);
      CHECK_FALSE(RequireOk(
          key.VerifyMessage(Algorithm::kRsaPss2048Sha256, HexOf(test["msg"]), HexOf(test["sig"]))));
      ++tests;
    }
  }
  CHECK(tests == 61);
}

TEST_CASE("Wycheproof: RSA PKCS#1 v1.5") {
  const Ran small =
      RunWycheproof("rsa_signature_2048_sha256_test.json", Algorithm::kRsaPkcs1_2048Sha256);
  CHECK(small.tests == 238);
  CHECK(small.refused_keys == 2);
  const Ran middle =
      RunWycheproof("rsa_signature_3072_sha256_test.json", Algorithm::kRsaPkcs1_3072Sha256);
  CHECK(middle.tests == 238);
  CHECK(middle.refused_keys == 1);
}

TEST_CASE("Wycheproof: RSA PKCS#1 v1.5 with keys of mixed sizes") {
  std::map<int, int> tests;
  int refused = 0;
  const auto json = ReadJson("third_party/wycheproof_testvectors/rsa_signature_test.json");
  for (const auto& group : json["testGroups"]) {
    const auto key = PublicKey::FromSpkiDer(HexOf(group["keyDer"]));
    if (!key.ok()) {
      CHECK((group["keysize"] < 2048 || group["e"] != "010001"));
      ++refused;
      continue;
    }
    REQUIRE(group["sha"] == "SHA-256");
    for (const auto& test : group["tests"]) {
      INFO(test["tcId"] << " " << test["comment"]);
      const Algorithm algorithm = RequireOk(key->DefaultAlgorithm());
      CHECK(RequireOk(key->VerifyMessage(algorithm, HexOf(test["msg"]), HexOf(test["sig"]))) ==
            (test["result"] == "valid"));
      ++tests[key->bits()];
    }
  }
  CHECK(tests == std::map<int, int>{{2048, 273}, {3072, 21}, {4096, 21}});
  CHECK(refused == 14);
}

TEST_CASE("RFC 8032 section 7.1: Ed25519") {
  int signatures = 0;
  std::map<std::string, std::string> fields;
  std::istringstream lines(
      RequireOk(base::ReadFile(std::string(kRoot) + "crypto/curve25519/ed25519_tests.txt")));
  for (std::string line; std::getline(lines, line);) {
    const std::pair<std::string, std::string> field =
        absl::StrSplit(line, absl::MaxSplits(": ", 1));
    if (!field.first.empty() && field.first[0] != '#') {
      fields[std::string(absl::StripSuffix(field.first, ":"))] = field.second;
    }
    if (field.first != "SIG") continue;
    const PrivateKey key =
        RequireOk(PrivateKey::FromEd25519Seed(SecretBytes(Hex(fields["PRIV"].substr(0, 64)))));
    CHECK(key.public_key().ed25519_raw() == Hex(fields["PUB"]));
    const std::string message = Hex(fields["MESSAGE"]);
    const std::string signature = Hex(fields["SIG"]);
    REQUIRE(RequireOk(key.SignMessage(message)) == signature);
    REQUIRE(RequireOk(key.public_key().VerifyMessage(Algorithm::kEd25519, message, signature)));
    ++signatures;
    fields.clear();
  }
  CHECK(signatures == 514);
}

TEST_CASE("RFC 8032 section 7.3: Ed25519ph") {
  const PrivateKey key = RequireOk(PrivateKey::FromEd25519Seed(
      SecretBytes(Hex("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"))));
  CHECK(base::HexEncode(key.public_key().ed25519_raw()) ==
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf");
  const std::string digest = Digest(DigestAlgorithm::kSha512, "abc");
  const std::string signature =
      Hex("98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
          "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406");
  CHECK(RequireOk(key.SignDigest(digest)) == signature);
  CHECK(RequireOk(key.public_key().VerifyDigest(Algorithm::kEd25519ph, digest, signature)));
}

TEST_CASE("RFC 9180: DHKEM(X25519), HKDF-SHA256, AES-256-GCM, base mode") {
  int vectors = 0;
  const auto json = ReadJson("crypto/hpke/test-vectors.json");
  for (const auto& vector : json) {
    if (vector["mode"] != 0 || vector["kem_id"] != 0x20 || vector["kdf_id"] != 1 ||
        vector["aead_id"] != 2) {
      continue;
    }
    const std::string pkcs8 = Hex("302e020100300506032b656e04220420") + HexOf(vector["skRm"]);
    const PrivateKey key =
        RequireOk(PrivateKey::FromPkcs8(SecretBytes(pkcs8), Algorithm::kHpkeX25519));
    CHECK(key.public_key().raw() == HexOf(vector["pkRm"]));
    // A context of ours holds one message, so the first is the one that can be opened.
    const auto& first = vector["encryptions"][0];
    CHECK(RequireOk(HpkeOpen(key, HexOf(vector["enc"]), HexOf(vector["info"]), HexOf(first["aad"]),
                             HexOf(first["ct"]))) == HexOf(first["pt"]));
    const auto& second = vector["encryptions"][1];
    CHECK_FALSE(HpkeOpen(key, HexOf(vector["enc"]), HexOf(vector["info"]), HexOf(second["aad"]),
                         HexOf(second["ct"]))
                    .ok());
    ++vectors;
  }
  CHECK(vectors == 1);
}

}  // namespace
}  // namespace countersign::crypto
