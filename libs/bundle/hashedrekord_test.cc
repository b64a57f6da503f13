#include "libs/bundle/hashedrekord.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/bundle/jcs.h"
#include "libs/crypto/private_key.h"

namespace countersign::bundle {
namespace {

using crypto::Algorithm;
using crypto::DigestAlgorithm;

HashedRekord Signed(Algorithm key_algorithm) {
  const auto key = *crypto::PrivateKey::Generate(key_algorithm);
  HashedRekord entry;
  entry.algorithm = key_algorithm == Algorithm::kEd25519 ? Algorithm::kEd25519ph : key_algorithm;
  entry.digest_algorithm = crypto::DigestFor(entry.algorithm);
  entry.digest = crypto::Digest(entry.digest_algorithm, "the artifact");
  entry.signature = *key.SignDigest(entry.digest);
  entry.spki_der = key.public_key().spki_der();
  return entry;
}

TEST_CASE("An entry is written field by field as Rekor v2 defines it") {
  HashedRekord entry;
  entry.digest = std::string(32, 'd');
  entry.signature = "signature";
  entry.spki_der = "key";
  const std::string expected =
      R"({"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":)"
      R"({"algorithm":"SHA2_256","digest":"ZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGRkZGQ="},)"
      R"("signature":{"content":"c2lnbmF0dXJl","verifier":{"keyDetails":)"
      R"("PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"a2V5"}}}}}})";
  CHECK(*FormatHashedRekord(entry) == expected);
  CHECK(*CanonicalizeJson(expected) == expected);

  entry.spki_der.clear();
  entry.certificate_der = "certificate";
  const std::string body = *FormatHashedRekord(entry);
  CHECK(body.find(R"("x509Certificate":{"rawBytes":"Y2VydGlmaWNhdGU="})") != std::string::npos);
  CHECK(*CanonicalizeJson(body) == body);
  CHECK(ParseHashedRekord(body)->certificate_der == "certificate");
}

TEST_CASE("An entry reads back and its signature holds, for each digest algorithm") {
  for (Algorithm algorithm :
       {Algorithm::kEd25519, Algorithm::kEcdsaP256Sha256, Algorithm::kEcdsaP384Sha384}) {
    CAPTURE(crypto::AlgorithmName(algorithm));
    const HashedRekord entry = Signed(algorithm);
    const auto read = ParseHashedRekord(*FormatHashedRekord(entry));
    REQUIRE(read.ok());
    CHECK(read->digest_algorithm == entry.digest_algorithm);
    CHECK(read->digest == entry.digest);
    CHECK(read->signature == entry.signature);
    CHECK(read->algorithm == entry.algorithm);
    CHECK(read->spki_der == entry.spki_der);
    CHECK(*CheckSignature(*read));
  }
}

TEST_CASE("A signature over another digest or by another key does not hold") {
  HashedRekord entry = Signed(Algorithm::kEcdsaP256Sha256);
  HashedRekord other_digest = entry;
  other_digest.digest[0] ^= 1;
  CHECK_FALSE(*CheckSignature(other_digest));
  HashedRekord other_key = entry;
  other_key.spki_der = Signed(Algorithm::kEcdsaP256Sha256).spki_der;
  CHECK_FALSE(*CheckSignature(other_key));
}

TEST_CASE("A key that does not fit the algorithm is refused, not judged") {
  HashedRekord entry = Signed(Algorithm::kEcdsaP256Sha256);
  entry.spki_der = Signed(Algorithm::kEd25519).spki_der;
  CHECK(CheckSignature(entry).status().code() == absl::StatusCode::kInvalidArgument);
  entry.spki_der = "not DER";
  CHECK(CheckSignature(entry).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("An entry that could not be read back is not written") {
  const HashedRekord good = Signed(Algorithm::kEcdsaP256Sha256);
  HashedRekord entry = good;
  entry.digest.pop_back();
  CHECK_FALSE(FormatHashedRekord(entry).ok());
  entry = good;
  entry.digest_algorithm = DigestAlgorithm::kSha384;
  CHECK_FALSE(FormatHashedRekord(entry).ok());
  entry = good;
  entry.algorithm = Algorithm::kEd25519;
  CHECK_FALSE(FormatHashedRekord(entry).ok());
  entry = good;
  entry.certificate_der = "both";
  CHECK_FALSE(FormatHashedRekord(entry).ok());
  entry = good;
  entry.spki_der.clear();
  CHECK_FALSE(FormatHashedRekord(entry).ok());
}

TEST_CASE("Only the canonical bytes of a known entry are accepted") {
  const std::string body = *FormatHashedRekord(Signed(Algorithm::kEcdsaP256Sha256));
  const struct {
    const char* from;
    const char* to;
    absl::StatusCode code;
  } kCases[] = {
      {"hashedrekord\"", "dsse\"", absl::StatusCode::kUnimplemented},
      {"0.0.2", "0.0.1", absl::StatusCode::kUnimplemented},
      {"SHA2_256", "SHA3_256", absl::StatusCode::kUnimplemented},
      {"SHA2_256", "SHA2_512", absl::StatusCode::kInvalidArgument},
      {"PKIX_ECDSA_P256_SHA_256", "PKIX_ED25519", absl::StatusCode::kInvalidArgument},
      {"PKIX_ECDSA_P256_SHA_256", "PKIX_NEWER", absl::StatusCode::kUnimplemented},
      {"publicKey", "x509certificate", absl::StatusCode::kInvalidArgument},
      {"\"kind\"", " \"kind\"", absl::StatusCode::kInvalidArgument},
      {"\"spec\":{", "\"spec\":{\"a\":1,", absl::StatusCode::kInvalidArgument},
      {"\"spec\":{", "\"spec\":[", absl::StatusCode::kInvalidArgument},
      {"hashedRekordV002", "hashedRekordV003", absl::StatusCode::kInvalidArgument},
      {"\"content\":\"", "\"content\":\"*", absl::StatusCode::kInvalidArgument},
      {"}}}}}}", "}}}}}}\n", absl::StatusCode::kInvalidArgument},
  };
  REQUIRE(ParseHashedRekord(body).ok());
  for (const auto& item : kCases) {
    CAPTURE(item.from, item.to);
    const std::string changed = absl::StrReplaceAll(body, {{item.from, item.to}});
    REQUIRE(changed != body);
    CHECK(ParseHashedRekord(changed).status().code() == item.code);
  }
}

// A self-signed P-256 certificate for "CN=countersign test", made once by openssl.
constexpr char kCertificate[] =
    "MIIBjDCCATOgAwIBAgIUOLzq/29Ei0RJQyYEinDV0aeHN3swCgYIKoZIzj0EAwIwGzEZMBcGA1UEAwwQY291bnRlcn"
    "NpZ24gdGVzdDAgFw0yNjExMjEwODIyNTZaGA8yMTI2MTAyODA4MjI1NlowGzEZMBcGA1UEAwwQY291bnRlcnNpZ24g"
    "dGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFXIhxZ5KMBclNRTWGkYkgY1AGfJYcHH/nXx4gbXXmrhCRJtl7"
    "FZ9ksmOGUyTRPH9QJi7rK5htWXdrNl1Bb3WW2jUzBRMB0GA1UdDgQWBBQuxSyX7yTIZXbcNDwbI042isfn2DAfBgNV"
    "HSMEGDAWgBQuxSyX7yTIZXbcNDwbI042isfn2DAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIE6N3Q"
    "LCBsDHMDUq8ZOjJeJM0KClKZ6wGyUXrIiZ0+ZhAiALf2uwIvwwuXuLx+OF7dARG8PyPa+Xl09pgEDvaFxnVA==";
constexpr char kCertificateKey[] =
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEVciHFnkowFyU1FNYaRiSBjUAZ8lhwcf+dfHiBtdeauEJEm2XsVn2Sy"
    "Y4ZTJNE8f1AmLusrmG1Zd2s2XUFvdZbQ==";

TEST_CASE("The key of a certificate is found behind its names") {
  HashedRekord entry = Signed(Algorithm::kEcdsaP256Sha256);
  entry.spki_der.clear();
  entry.certificate_der = *base::Base64Decode(kCertificate);
  CHECK(SignerKey(entry)->spki_der() == *base::Base64Decode(kCertificateKey));
  CHECK_FALSE(*CheckSignature(entry));

  for (size_t length = 0; length < entry.certificate_der.size(); ++length) {
    HashedRekord cut = entry;
    cut.certificate_der.resize(length);
    CAPTURE(length);
    CHECK_FALSE(SignerKey(cut).ok());
  }
  entry.certificate_der += '\0';
  CHECK_FALSE(SignerKey(entry).ok());
}

}  // namespace
}  // namespace countersign::bundle
