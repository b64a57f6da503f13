#include "libs/pki/signature.h"

#include <string>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/pki/certificate.h"
#include "libs/pki/der.h"
#include "libs/testing/matchers.h"

namespace countersign::pki {
namespace {

using crypto::Algorithm;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

Certificate Stored(const std::string& name) {
  return RequireOk(
      ParseCertificate(RequireOk(base::ReadFile("libs/pki/testdata/" + name + ".der"))));
}

std::string Hex(absl::string_view hex) { return RequireOk(base::HexDecode(hex)); }

TEST_CASE("The algorithms are encoded as RFC 5758, 8017 and 8410 ask") {
  CHECK(SignatureAlgorithmDer(Algorithm::kEcdsaP256Sha256) == Hex("300a06082a8648ce3d040302"));
  CHECK(SignatureAlgorithmDer(Algorithm::kEcdsaP384Sha384) == Hex("300a06082a8648ce3d040303"));
  CHECK(SignatureAlgorithmDer(Algorithm::kEd25519) == Hex("300506032b6570"));
  CHECK(SignatureAlgorithmDer(Algorithm::kRsaPkcs1_3072Sha256) ==
        Hex("300d06092a864886f70d01010b0500"));
  CHECK(SignatureAlgorithmDer(Algorithm::kEd25519ph).empty());
  CHECK(SignatureAlgorithmDer(Algorithm::kHpkeX25519).empty());
  // OpenSSL's encoding of the same.
  CHECK(SignatureAlgorithmDer(Algorithm::kRsaPss4096Sha256) == Stored("pss").signature_algorithm);
}

TEST_CASE("OpenSSL's self-signed certificates hold, and changed ones do not") {
  for (const char* name : {"p256", "p256_sha384", "p384", "p384_sha256", "rsa", "rsa_sha384",
                           "rsa_sha512", "pss", "ed25519"}) {
    INFO(name);
    Certificate certificate = Stored(name);
    CHECK_THAT(certificate.CheckIssuedBy(certificate), IsOk());
    const crypto::PublicKey key = RequireOk(certificate.Key());
    const auto check = [&certificate, &key] {
      return RequireOk(CheckSignature(key, certificate.signature_algorithm, certificate.tbs,
                                      certificate.signature));
    };
    CHECK(check());
    certificate.tbs.back() ^= 1;
    CHECK(!check());
    CHECK_THAT(certificate.CheckIssuedBy(certificate),
               StatusIs(absl::StatusCode::kFailedPrecondition, "is not signed by the key"));
    certificate.tbs.back() ^= 1;
    for (const size_t at :
         {size_t{0}, certificate.signature.size() / 2, certificate.signature.size() - 1}) {
      certificate.signature[at] ^= 1;
      CHECK(!check());
      certificate.signature[at] ^= 1;
    }
    certificate.signature.push_back('\0');
    CHECK(!check());
    certificate.signature.clear();
    CHECK(!check());
  }
}

TEST_CASE("PKCS#1 is checked also where its NULL is left out") {
  const Certificate certificate = Stored("rsa");
  CHECK(RequireOk(CheckSignature(RequireOk(certificate.Key()), Hex("300b06092a864886f70d01010b"),
                                 certificate.tbs, certificate.signature)));
}

TEST_CASE(
    "An algorithm that is unknown, has other parameters or does not fit the key has no answer") {
  const Certificate p256 = Stored("p256");
  const Certificate rsa = Stored("rsa");
  const Certificate ed25519 = Stored("ed25519");
  const crypto::PublicKey ec_key = RequireOk(p256.Key());
  const crypto::PublicKey rsa_key = RequireOk(rsa.Key());
  const crypto::PublicKey ed_key = RequireOk(ed25519.Key());
  const struct {
    const crypto::PublicKey& key;
    std::string algorithm;
    const char* why;
  } kCases[] = {
      {ec_key, rsa.signature_algorithm, "RSA PKCS#1 needs"},
      {ec_key, Stored("pss").signature_algorithm, "RSA PSS needs"},
      {ec_key, ed25519.signature_algorithm, "Ed25519 needs"},
      {rsa_key, p256.signature_algorithm, "ECDSA needs"},
      {ed_key, p256.signature_algorithm, "ECDSA needs"},
      {rsa_key, Stored("rsa_sha1").signature_algorithm,
       "unsupported signature algorithm 1.2.840.113549.1.1.5"},
      {rsa_key, Hex("300f06092a864886f70d01010b05000500"), "unsupported"},
      {rsa_key, Hex("300d06092a864886f70d01010b0400"), "unsupported"},
      {rsa_key, Hex("300d06092a864886f70d0101050500"), "1.2.840.113549.1.1.5"},  // SHA-1
      {ec_key, Hex("300c06082a8648ce3d0403020500"), "unsupported"},              // with NULL
      {ed_key, Hex("300706032b65700500"), "unsupported"},
      {rsa_key, Hex("300d06092a864886f70d01010a3000"), "unsupported"},  // PSS of SHA-1
      {rsa_key, "", "unsupported signature algorithm:"},
      {rsa_key, "junk", "unsupported signature algorithm:"},
  };
  for (const auto& test : kCases) {
    INFO(base::HexEncode(test.algorithm));
    CHECK_THAT(CheckSignature(test.key, test.algorithm, "m", "s"), StatusIs(kInvalid, test.why));
  }
}

TEST_CASE("What is signed here holds, for every algorithm that signs certificates") {
  for (const Algorithm algorithm : crypto::kAllAlgorithms) {
    // Keys of 3072 and 4096 bits take seconds, and differ in nothing else.
    const std::string name(crypto::AlgorithmName(algorithm));
    if (name.find("3072") != std::string::npos || name.find("4096") != std::string::npos) continue;
    INFO(name);
    const crypto::PrivateKey key = RequireOk(crypto::PrivateKey::Generate(algorithm));
    const std::string tbs = Hex("3003020101");
    const absl::StatusOr<std::string> assembled = SignAndAssemble(tbs, key);
    if (SignatureAlgorithmDer(algorithm).empty()) {
      CHECK_THAT(assembled,
                 StatusIs(absl::StatusCode::kFailedPrecondition, "signs no certificates"));
      continue;
    }
    const std::string der = RequireOk(assembled);
    DerReader in(der);
    DerReader outer;
    absl::string_view element;
    absl::string_view identifier;
    absl::string_view signature;
    REQUIRE(in.Read(kSequence, &outer));
    REQUIRE((outer.ReadElement(kSequence, &element) && element == tbs));
    REQUIRE((outer.ReadElement(kSequence, &identifier) && outer.ReadBitStringBytes(&signature)));
    CHECK((outer.empty() && in.empty()));
    CHECK(RequireOk(CheckSignature(key.public_key(), identifier, tbs, signature)));
    CHECK(AssembleSigned(tbs, algorithm, signature) == der);
  }
}

}  // namespace
}  // namespace countersign::pki
