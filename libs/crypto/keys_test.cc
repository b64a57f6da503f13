#include <map>
#include <thread>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/public_key.h"
#include "libs/crypto/random.h"
#include "libs/testing/matchers.h"

namespace countersign::crypto {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

// One key an algorithm, made once: RSA generation is slow.
const PrivateKey& KeyFor(Algorithm algorithm) {
  static auto* keys = new std::map<Algorithm, PrivateKey>();
  auto it = keys->find(algorithm);
  if (it == keys->end()) {
    it = keys->emplace(algorithm, RequireOk(PrivateKey::Generate(algorithm))).first;
  }
  return it->second;
}

TEST_CASE("Every algorithm's key survives PKCS#8, SPKI and PEM, and only as what it is") {
  for (Algorithm algorithm : kAllAlgorithms) {
    INFO(std::string(AlgorithmName(algorithm)));
    const PrivateKey& key = KeyFor(algorithm);
    CHECK(key.algorithm() == algorithm);
    CHECK_THAT(key.public_key().Check(algorithm), IsOk());

    const SecretBytes pkcs8 = RequireOk(key.ToPkcs8());
    const PrivateKey again = RequireOk(PrivateKey::FromPkcs8(pkcs8, algorithm));
    CHECK(again.public_key() == key.public_key());

    const PublicKey& public_key = key.public_key();
    CHECK(RequireOk(PublicKey::FromSpkiDer(public_key.spki_der())) == public_key);
    CHECK(RequireOk(PublicKey::FromPem(public_key.ToPem())) == public_key);
    CHECK(public_key.Fingerprint() ==
          base::HexEncode(base::AsBytes(Sha256(public_key.spki_der()))));

    for (Algorithm other : kAllAlgorithms) {
      const bool fits = public_key.Check(other).ok();
      CHECK(PrivateKey::FromPkcs8(pkcs8, other).ok() == fits);
      const bool same_kind =
          RequireOk(PrivateKey::Generate(Algorithm::kEd25519)).public_key().Check(other).ok() ==
          (public_key.type() == KeyType::kEd25519);
      if (!same_kind) CHECK_FALSE(fits);
    }
  }
}

TEST_CASE("Every signing algorithm's signatures verify, and nothing else does") {
  const std::string message = "the quick brown fox";
  for (Algorithm algorithm : kAllAlgorithms) {
    if (!CanSign(algorithm)) continue;
    INFO(std::string(AlgorithmName(algorithm)));
    const PrivateKey& key = KeyFor(algorithm);
    const PublicKey& public_key = key.public_key();
    const std::string signature = RequireOk(key.SignMessage(message));
    CHECK(RequireOk(public_key.VerifyMessage(algorithm, message, signature)));
    CHECK_FALSE(RequireOk(public_key.VerifyMessage(algorithm, "another message", signature)));
    CHECK_FALSE(RequireOk(public_key.VerifyMessage(algorithm, message, "")));
    CHECK_FALSE(RequireOk(public_key.VerifyMessage(algorithm, message, signature + "x")));
    CHECK_FALSE(RequireOk(
        public_key.VerifyMessage(algorithm, message, signature.substr(0, signature.size() - 1))));
    for (size_t i = 0; i<signature.size(); i += signature.size()> 100 ? 17 : 1) {
      std::string altered = signature;
      altered[i] = static_cast<char>(altered[i] ^ 0x10);
      INFO("byte " << i);
      CHECK_FALSE(RequireOk(public_key.VerifyMessage(algorithm, message, altered)));
    }
    if (DigestFor(algorithm) == DigestAlgorithm::kNone) continue;

    const std::string digest = Digest(DigestFor(algorithm), message);
    CHECK(RequireOk(public_key.VerifyDigest(algorithm, digest, signature)));
    CHECK(
        RequireOk(public_key.VerifyMessage(algorithm, message, RequireOk(key.SignDigest(digest)))));
    CHECK_THAT(key.SignDigest(digest.substr(1)),
               StatusIs(absl::StatusCode::kInvalidArgument, "bytes"));
    CHECK_THAT(key.SignDigest(""), StatusIs(absl::StatusCode::kInvalidArgument));
    CHECK_THAT(public_key.VerifyDigest(algorithm, digest + "x", signature),
               StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("PSS and PKCS#1 signatures of one RSA key are told apart") {
  const PrivateKey& pss = KeyFor(Algorithm::kRsaPss2048Sha256);
  const PrivateKey pkcs1 =
      RequireOk(PrivateKey::FromPkcs8(RequireOk(pss.ToPkcs8()), Algorithm::kRsaPkcs1_2048Sha256));
  const std::string a = RequireOk(pss.SignMessage("m"));
  const std::string b = RequireOk(pkcs1.SignMessage("m"));
  const PublicKey& key = pss.public_key();
  CHECK(RequireOk(key.VerifyMessage(Algorithm::kRsaPkcs1_2048Sha256, "m", b)));
  CHECK_FALSE(RequireOk(key.VerifyMessage(Algorithm::kRsaPkcs1_2048Sha256, "m", a)));
  CHECK_FALSE(RequireOk(key.VerifyMessage(Algorithm::kRsaPss2048Sha256, "m", b)));
  CHECK_THAT(key.VerifyMessage(Algorithm::kRsaPss3072Sha256, "m", a),
             StatusIs(absl::StatusCode::kInvalidArgument, "2048 bits"));
}

TEST_CASE("PKCS#1 signatures are checked with the hash that is named, by RSA keys alone") {
  const PrivateKey& key = KeyFor(Algorithm::kRsaPkcs1_2048Sha256);
  const std::string signature = RequireOk(key.SignMessage("message"));
  const auto verify = [&](DigestAlgorithm hash, absl::string_view message) {
    return key.public_key().VerifyRsaPkcs1(hash, message, signature);
  };
  CHECK(RequireOk(verify(DigestAlgorithm::kSha256, "message")));
  CHECK(!RequireOk(verify(DigestAlgorithm::kSha256, "other")));
  CHECK(!RequireOk(verify(DigestAlgorithm::kSha384, "message")));
  CHECK(!RequireOk(verify(DigestAlgorithm::kSha512, "message")));
  CHECK_THAT(verify(DigestAlgorithm::kNone, "message"),
             StatusIs(absl::StatusCode::kInvalidArgument, "no hash"));
  CHECK_THAT(KeyFor(Algorithm::kEd25519)
                 .public_key()
                 .VerifyRsaPkcs1(DigestAlgorithm::kSha256, "message", signature),
             StatusIs(absl::StatusCode::kInvalidArgument, "needs an RSA key"));
}

TEST_CASE("An Ed25519 key signs messages plainly and digests as Ed25519ph") {
  const PrivateKey& key = KeyFor(Algorithm::kEd25519);
  const std::string digest = Digest(DigestAlgorithm::kSha512, "m");
  const std::string prehashed = RequireOk(key.SignDigest(digest));
  const std::string pure = RequireOk(key.SignMessage("m"));
  const PublicKey& public_key = key.public_key();
  CHECK(RequireOk(public_key.VerifyDigest(Algorithm::kEd25519ph, digest, prehashed)));
  CHECK(RequireOk(public_key.VerifyMessage(Algorithm::kEd25519ph, "m", prehashed)));
  CHECK_FALSE(RequireOk(public_key.VerifyMessage(Algorithm::kEd25519, "m", prehashed)));
  CHECK_FALSE(RequireOk(public_key.VerifyMessage(Algorithm::kEd25519, digest, prehashed)));
  CHECK_FALSE(RequireOk(public_key.VerifyMessage(Algorithm::kEd25519ph, "m", pure)));
  CHECK_THAT(public_key.VerifyDigest(Algorithm::kEd25519, digest, prehashed),
             StatusIs(absl::StatusCode::kInvalidArgument, "ed25519ph"));
  CHECK_THAT(key.SignDigest(Digest(DigestAlgorithm::kSha256, "m")),
             StatusIs(absl::StatusCode::kInvalidArgument, "sha512"));
}

TEST_CASE("Ed25519ph agrees with itself over many keys and digests, and refuses S + L") {
  // The group's order, little-endian.
  const std::string order =
      *base::HexDecode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  for (int i = 0; i < 200; ++i) {
    const PrivateKey key = RequireOk(PrivateKey::FromEd25519Seed(SecretBytes(RandomBytes(32))));
    const std::string digest = RandomBytes(64);
    std::string signature = RequireOk(key.SignDigest(digest));
    REQUIRE(RequireOk(key.public_key().VerifyDigest(Algorithm::kEd25519ph, digest, signature)));
    int carry = 0;
    for (int at = 0; at < 32; ++at) {
      carry +=
          static_cast<unsigned char>(signature[32 + at]) + static_cast<unsigned char>(order[at]);
      signature[32 + at] = static_cast<char>(carry);
      carry >>= 8;
    }
    REQUIRE(carry == 0);
    CHECK_FALSE(RequireOk(key.public_key().VerifyDigest(Algorithm::kEd25519ph, digest, signature)));
  }
}

TEST_CASE("A key for encryption does not sign") {
  const PrivateKey& key = KeyFor(Algorithm::kHpkeX25519);
  CHECK_THAT(key.SignMessage("m"), StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK_THAT(key.SignDigest(std::string(32, 'd')), StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK_THAT(key.public_key().VerifyMessage(Algorithm::kHpkeX25519, "m", "s"),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(key.public_key().DefaultAlgorithm(), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("Each kind of key has a default algorithm that fits it") {
  CHECK(*KeyFor(Algorithm::kEd25519).public_key().DefaultAlgorithm() == Algorithm::kEd25519ph);
  CHECK(*KeyFor(Algorithm::kEcdsaP384Sha384).public_key().DefaultAlgorithm() ==
        Algorithm::kEcdsaP384Sha384);
  CHECK(*KeyFor(Algorithm::kRsaPss2048Sha256).public_key().DefaultAlgorithm() ==
        Algorithm::kRsaPkcs1_2048Sha256);
}

TEST_CASE("Bytes that are no public key are refused") {
  const PublicKey& key = KeyFor(Algorithm::kEcdsaP256Sha256).public_key();
  const std::string& der = key.spki_der();
  for (size_t size = 0; size < der.size(); ++size) {
    CHECK_THAT(PublicKey::FromSpkiDer(der.substr(0, size)),
               StatusIs(absl::StatusCode::kInvalidArgument));
  }
  CHECK_THAT(PublicKey::FromSpkiDer(der + '\0'),
             StatusIs(absl::StatusCode::kInvalidArgument, "follow"));
  std::string off_curve = der;
  off_curve.back() = static_cast<char>(off_curve.back() ^ 1);
  CHECK_THAT(PublicKey::FromSpkiDer(off_curve), StatusIs(absl::StatusCode::kInvalidArgument));

  const std::string pem = key.ToPem();
  CHECK(RequireOk(PublicKey::FromPem("\n" + pem + "\n ")) == key);
  for (const std::string& text :
       {std::string(), std::string("-----BEGIN PUBLIC KEY-----"), pem + pem, "x" + pem,
        pem.substr(0, pem.size() - 10),
        std::string("-----BEGIN PUBLIC KEY-----\n!!!!\n-----END PUBLIC KEY-----\n")}) {
    INFO(text);
    CHECK_THAT(PublicKey::FromPem(text), StatusIs(absl::StatusCode::kInvalidArgument));
  }
  CHECK_THAT(PublicKey::FromEd25519Raw("short"), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(PublicKey::FromX25519Raw(std::string(33, 'x')),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("A compressed point is refused, for a key has one encoding") {
  const std::string& der = KeyFor(Algorithm::kEcdsaP256Sha256).public_key().spki_der();
  const std::string x = der.substr(27, 32);
  const bool odd = (der.back() & 1) != 0;
  const std::string compressed =
      *base::HexDecode("3039301306072a8648ce3d020106082a8648ce3d030107032200") +
      (odd ? '\x03' : '\x02') + x;
  CHECK_THAT(PublicKey::FromSpkiDer(compressed), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("A point off its curve, or with a coordinate beyond the field, is refused") {
  const struct {
    std::string header;
    std::string x;
    std::string x_and_prime;  // the same number in the field
    std::string y;
  } kCurves[] = {
      {"3059301306072a8648ce3d020106082a8648ce3d03010703420004", std::string(63, '0') + "5",
       "ffffffff00000001000000000000000000000001000000000000000000000004",
       "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc"},
      {"3076301006072a8648ce3d020106052b8104002203620004", std::string(95, '0') + "2",
       "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000001"
       "00000001",
       "8cdeadbbd04911a3c1931e26df3fa6439dca9c7eb286fbd46fc319f0e2bb780232baf57825fc0c1912ada2fe"
       "fe84024c"},
  };
  for (const auto& curve : kCurves) {
    const auto parse = [&curve](const std::string& x) {
      return PublicKey::FromSpkiDer(RequireOk(base::HexDecode(curve.header + x + curve.y)));
    };
    CHECK(RequireOk(parse(curve.x)).bits() == static_cast<int>(curve.x.size()) * 4);
    CHECK_THAT(parse(curve.x_and_prime), StatusIs(absl::StatusCode::kInvalidArgument));
    std::string off = curve.x;
    off.back() = '1';
    CHECK_THAT(parse(off), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("Bytes that are no private key are refused") {
  CHECK_THAT(PrivateKey::FromPkcs8(SecretBytes(), Algorithm::kEd25519),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(PrivateKey::FromEd25519Seed(SecretBytes(size_t{31})),
             StatusIs(absl::StatusCode::kInvalidArgument, "31"));
  const SecretBytes pkcs8 = RequireOk(KeyFor(Algorithm::kEd25519).ToPkcs8());
  const std::string bytes(pkcs8.Expose(SecretAccess::Grant()));
  CHECK_THAT(PrivateKey::FromPkcs8(SecretBytes(bytes + "x"), Algorithm::kEd25519),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(PrivateKey::FromPkcs8(SecretBytes(bytes.substr(0, 40)), Algorithm::kEd25519),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("One key signs on many threads at once") {
  for (Algorithm algorithm : {Algorithm::kEd25519ph, Algorithm::kEcdsaP256Sha256,
                              Algorithm::kRsaPss2048Sha256, Algorithm::kRsaPkcs1_2048Sha256}) {
    const PrivateKey& key = KeyFor(algorithm);
    std::vector<std::string> signatures(8);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < signatures.size(); ++i) {
      threads.emplace_back([&key, &signatures, i] {
        for (int round = 0; round < 10; ++round) {
          signatures[i] = key.SignMessage(std::to_string(i)).value_or("");
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 0; i < signatures.size(); ++i) {
      CHECK(RequireOk(key.public_key().VerifyMessage(algorithm, std::to_string(i), signatures[i])));
    }
  }
}

}  // namespace
}  // namespace countersign::crypto
