// The asymmetric keys of a card, and what it attests of them.
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/public_key.h"
#include "libs/piv/tlv.h"
#include "libs/pki/certificate.h"
#include "libs/pki/oid.h"
#include "libs/pki/path.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/card_host.h"
#include "openssl/bn.h"
#include "openssl/rsa.h"

namespace countersign::testing::piv {
namespace {

using namespace countersign::piv;  // instructions, status words and TLV
using crypto::DigestAlgorithm;

constexpr absl::string_view kNeverPin("\xAA\x01\x01", 3);

// RFC 6979 appendix A.2.5, and RFC 8032 section 7.1 test 2.
constexpr char kP256Scalar[] = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";
constexpr char kP256Point[] =
    "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299";
constexpr char kEd25519Seed[] = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
constexpr char kEd25519Key[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
constexpr char kEd25519Signature[] =
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

pki::Certificate Attest(CardHost* host, Slot slot) {
  return RequireOk(pki::ParseCertificate(host->Data(kAttest, slot, 0)));
}

pki::Certificate AttestationCertificate(CardHost* host) {
  const std::string object = Unwrap(0x53, host->Data(kGetData, 0x3F, 0xFF, Hex("5c035fff01")));
  TlvReader reader(object);
  absl::string_view der, info, end;
  REQUIRE(reader.Read(0x70, &der));
  REQUIRE(reader.Read(0x71, &info));
  REQUIRE(reader.Read(0xFE, &end));
  REQUIRE(reader.empty());
  CHECK(info == Hex("00"));
  return RequireOk(pki::ParseCertificate(der));
}

// The raw contents of Yubico's extension .3.`last`; empty when it is not there.
std::string YubicoExtension(const pki::Certificate& certificate, int last) {
  const std::string oid = RequireOk(pki::ParseOid("1.3.6.1.4.1.41482.3." + std::to_string(last)));
  for (const pki::Extension& extension : certificate.extensions.all) {
    if (extension.oid == oid) return extension.value;
  }
  return "";
}

std::string SignatureOf(const Response& response) {
  REQUIRE(response.sw == kOk);
  return Unwrap(0x82, Unwrap(0x7C, response.data));
}

std::string Digest(DigestAlgorithm algorithm = DigestAlgorithm::kSha256) {
  return crypto::Digest(algorithm, "what is signed");
}

int Sign(CardHost* host, Slot slot) { return host->Use(slot, Algorithm::kEccP256, Digest()).sw; }

TEST_CASE("GENERATE answers with the public key, at the offsets that libykpiv reads") {
  CardHost host(Version{5, 7, 1});
  REQUIRE(host.Authenticate() == kOk);
  const std::string p256 = host.Generate(kAuthentication, Algorithm::kEccP256);
  CHECK(p256.size() == 70);
  CHECK(p256.substr(0, 6) == Hex("7f4943864104"));
  const std::string p384 = host.Generate(kAuthentication, Algorithm::kEccP384);
  CHECK(p384.size() == 102);
  CHECK(p384.substr(0, 6) == Hex("7f4963866104"));
  const std::string ed25519 = host.Generate(kAuthentication, Algorithm::kEd25519);
  CHECK(ed25519.size() == 37);
  CHECK(ed25519.substr(0, 5) == Hex("7f49228620"));
  const std::string rsa1024 = host.Generate(kAuthentication, Algorithm::kRsa1024);
  CHECK(rsa1024.substr(0, 8) == Hex("7f49820088 818180"));
  CHECK(rsa1024.substr(rsa1024.size() - 5) == Hex("8203010001"));
  const std::string rsa2048 = host.Generate(kAuthentication, Algorithm::kRsa2048);
  CHECK(rsa2048.substr(0, 9) == Hex("7f49820109 81820100"));
  CHECK(rsa2048.substr(rsa2048.size() - 5) == Hex("8203010001"));
}

TEST_CASE("GENERATE needs the management key, a slot, an algorithm and policies that there are") {
  CardHost host;
  CHECK(host.Status(kGenerateAsymmetric, 0, 0x9A, Hex("ac03800111")) ==
        kSecurityStatusNotSatisfied);
  REQUIRE(host.Authenticate() == kOk);
  for (const uint8_t slot : {0x00, 0x80, 0x81, 0x96, 0x9B, 0x9F}) {
    CHECK(host.Status(kGenerateAsymmetric, 0, slot, Hex("ac03800111")) == kWrongReference);
  }
  CHECK(host.Status(kGenerateAsymmetric, 1, 0x9A, Hex("ac03800111")) == kWrongParameters);
  for (const char* data : {"", "ac00", "ac03800103", "ac038001e0", "ac0480020011", "ac0480011100",
                           "ac06800111aa0104", "ac06800111ab0104", "ad03800111"}) {
    CHECK(host.Status(kGenerateAsymmetric, 0, 0x9A, Hex(data)) == kWrongData);
  }
  CHECK(host.Status(kGetMetadata, 0, 0x9A) == kReferenceNotFound);
  for (const Slot slot : UserSlots()) {
    CHECK(host.Status(kGenerateAsymmetric, 0, slot, Hex("ac03800111")) == kOk);
  }
}

TEST_CASE("ECDSA signatures are over the digest as a number, however short") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  host.Generate(kAuthentication, Algorithm::kEccP256, kNeverPin);
  const crypto::PublicKey p256 = RequireOk(Attest(&host, kAuthentication).Key());
  const auto verify = [](const crypto::PublicKey& key, crypto::Algorithm algorithm,
                         absl::string_view digest, absl::string_view signature) {
    return RequireOk(key.VerifyDigest(algorithm, digest, signature));
  };
  CHECK(verify(p256, crypto::Algorithm::kEcdsaP256Sha256, Digest(),
               SignatureOf(host.Use(kAuthentication, Algorithm::kEccP256, Digest()))));
  const std::string sha1 = Digest().substr(0, 20);
  CHECK(verify(p256, crypto::Algorithm::kEcdsaP256Sha256, std::string(12, '\0') + sha1,
               SignatureOf(host.Use(kAuthentication, Algorithm::kEccP256, sha1))));
  CHECK(host.Use(kAuthentication, Algorithm::kEccP256, Digest() + "x").sw == kWrongData);

  host.Generate(kRetired1, Algorithm::kEccP384, kNeverPin);
  const crypto::PublicKey p384 = RequireOk(Attest(&host, kRetired1).Key());
  const std::string sha384 = Digest(DigestAlgorithm::kSha384);
  CHECK(verify(p384, crypto::Algorithm::kEcdsaP384Sha384, sha384,
               SignatureOf(host.Use(kRetired1, Algorithm::kEccP384, sha384))));
  CHECK(verify(p384, crypto::Algorithm::kEcdsaP384Sha384, std::string(16, '\0') + Digest(),
               SignatureOf(host.Use(kRetired1, Algorithm::kEccP384, Digest()))));
  CHECK(host.Use(kRetired1, Algorithm::kEccP384, sha384 + "x").sw == kWrongData);
}

TEST_CASE("RSA is the raw private operation on a block as long as the modulus") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  host.Generate(kKeyManagement, Algorithm::kRsa2048, kNeverPin);
  const crypto::PublicKey key = RequireOk(Attest(&host, kKeyManagement).Key());
  // RFC 8017 section 9.2: EMSA-PKCS1-v1_5 with SHA-256.
  const std::string info = Hex("3031300d060960864801650304020105000420") + Digest();
  const std::string block =
      Hex("0001") + std::string(256 - 3 - info.size(), '\xFF') + Hex("00") + info;
  const std::string signature = SignatureOf(host.Use(kKeyManagement, Algorithm::kRsa2048, block));
  CHECK(RequireOk(key.VerifyDigest(crypto::Algorithm::kRsaPkcs1_2048Sha256, Digest(), signature)));
  CHECK(host.Use(kKeyManagement, Algorithm::kRsa2048, block.substr(1)).sw == kWrongData);
  CHECK(host.Use(kKeyManagement, Algorithm::kRsa2048, std::string(256, '\xFF')).sw == kWrongData);
  CHECK(host.Use(kKeyManagement, Algorithm::kRsa2048, block, 0x85).sw == kWrongData);
}

TEST_CASE("Both sides of a Diffie-Hellman exchange find the same secret") {
  for (const auto algorithm : {Algorithm::kEccP256, Algorithm::kEccP384}) {
    CardHost one, two;
    std::string points[2];
    CardHost* const hosts[] = {&one, &two};
    for (int i = 0; i < 2; ++i) {
      REQUIRE(hosts[i]->Authenticate() == kOk);
      REQUIRE(hosts[i]->Verify() == kOk);
      points[i] = Unwrap(0x86, Unwrap(0x7F49, hosts[i]->Generate(kKeyManagement, algorithm)));
    }
    const std::string secret = SignatureOf(one.Use(kKeyManagement, algorithm, points[1], 0x85));
    CHECK(secret == SignatureOf(two.Use(kKeyManagement, algorithm, points[0], 0x85)));
    CHECK(secret.size() == points[0].size() / 2);
    std::string off_curve = points[1];
    off_curve.back() = static_cast<char>(off_curve.back() ^ 1);
    CHECK(one.Use(kKeyManagement, algorithm, off_curve, 0x85).sw == kWrongData);
    CHECK(one.Use(kKeyManagement, algorithm, points[1].substr(1), 0x85).sw == kWrongData);
  }
}

TEST_CASE("Ed25519 came with firmware 5.7") {
  CardHost old_card(Version{5, 4, 3});
  REQUIRE(old_card.Authenticate() == kOk);
  CHECK(old_card.Status(kImportKey, 0xE0, 0x9A, Hex("0720") + Hex(kEd25519Seed)) == kWrongData);
  CardHost host(Version{5, 7, 1});
  REQUIRE(host.Authenticate() == kOk);
  REQUIRE(host.Status(kImportKey, 0xE0, 0x9E, Hex("0720") + Hex(kEd25519Seed)) == kOk);
  CHECK(host.Data(kGetMetadata, 0, 0x9E) ==
        Hex("0101e0 02020101 030102 0422 8620") + Hex(kEd25519Key));
  CHECK(SignatureOf(host.Use(kCardAuthentication, Algorithm::kEd25519, Hex("72"))) ==
        Hex(kEd25519Signature));
  // Messages are of any length.
  CHECK(SignatureOf(host.Use(kCardAuthentication, Algorithm::kEd25519, std::string(2000, 'm')))
            .size() == 64);
}

TEST_CASE("An empty slot, another algorithm and another form are wrong data") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  CHECK(Sign(&host, kAuthentication) == kWrongData);
  host.Generate(kAuthentication, Algorithm::kEccP256, kNeverPin);
  CHECK(host.Use(kAuthentication, Algorithm::kEccP384, Digest()).sw == kWrongData);
  CHECK(host.Status(kGeneralAuthenticate, 0x11, 0x96, Hex("7c00")) == kWrongReference);
  // What f9 signs are attestations.
  CHECK(Sign(&host, kAttestation) == kWrongReference);
  for (const char* request : {"", "7c00", "7c0481028100", "7c058200810100 00", "7c03810161",
                              "7c0682008101618501", "7c0882008101618501aa"}) {
    CHECK(host.Status(kGeneralAuthenticate, 0x11, 0x9A, Hex(request)) == kWrongData);
  }
  CHECK(Sign(&host, kAuthentication) == kOk);
}

TEST_CASE("Without a policy, 9a asks for the PIN once, 9c always and 9e never") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  for (const Slot slot : {kAuthentication, kSignature, kCardAuthentication}) {
    host.Generate(slot, Algorithm::kEccP256);
  }
  CHECK(Sign(&host, kAuthentication) == kSecurityStatusNotSatisfied);
  CHECK(Sign(&host, kSignature) == kSecurityStatusNotSatisfied);
  CHECK(Sign(&host, kCardAuthentication) == kOk);
  REQUIRE(host.Verify() == kOk);
  CHECK(Sign(&host, kSignature) == kOk);
  CHECK(Sign(&host, kSignature) == kSecurityStatusNotSatisfied);
  CHECK(Sign(&host, kAuthentication) == kOk);
  CHECK(Sign(&host, kAuthentication) == kOk);
  REQUIRE(host.Status(kVerify, 0xFF, 0x80) == kOk);
  CHECK(Sign(&host, kAuthentication) == kSecurityStatusNotSatisfied);
}

TEST_CASE("For a key that always asks, VERIFY is the command just before, blocks of it apart") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  host.Generate(kSignature, Algorithm::kRsa2048);
  const std::string block = Hex("00") + std::string(255, 'b');
  REQUIRE(host.Verify() == kOk);
  // 265 bytes come in two blocks.
  CHECK(host.Use(kSignature, Algorithm::kRsa2048, block).sw == kOk);
  const auto sign_after = [&](int status) {
    CHECK(status != 0);
    return host.Use(kSignature, Algorithm::kRsa2048, block).sw;
  };
  REQUIRE(host.Verify() == kOk);
  CHECK(sign_after(host.Status(kGetVersion, 0, 0)) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Verify() == kOk);
  CHECK(sign_after(host.Status(kVerify, 0, 0x80)) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Verify() == kOk);
  host.card()->AddFault({.instruction = kGetVersion});
  CHECK(sign_after(host.Status(kGetVersion, 0, 0)) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Verify() == kOk);
  CHECK(sign_after(host.Verify("000000")) == kSecurityStatusNotSatisfied);
  CHECK(sign_after(host.Verify()) == kOk);
}

TEST_CASE("Policies that are given hold in the place of the slot's own") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  host.Generate(kSignature, Algorithm::kEccP256, Hex("aa0101"));
  CHECK(Sign(&host, kSignature) == kOk);
  host.Generate(kCardAuthentication, Algorithm::kEccP256, Hex("aa0102"));
  CHECK(Sign(&host, kCardAuthentication) == kSecurityStatusNotSatisfied);
  host.Generate(kAuthentication, Algorithm::kEccP256, Hex("aa0103"));
  REQUIRE(host.Verify() == kOk);
  CHECK(Sign(&host, kCardAuthentication) == kOk);
  CHECK(Sign(&host, kAuthentication) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Verify() == kOk);
  CHECK(Sign(&host, kAuthentication) == kOk);
}

TEST_CASE("A key that wants a touch is touched, unless a fault says that nobody does") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  host.Generate(kAuthentication, Algorithm::kEccP256, Hex("aa0101ab0102"));
  host.Generate(kRetired1, Algorithm::kEccP256, Hex("aa0101ab0103"));
  host.Generate(kCardAuthentication, Algorithm::kEccP256);
  const Fault untouched{.kind = Fault::Kind::kTouchTimeout, .instruction = kGeneralAuthenticate};
  CHECK(Sign(&host, kAuthentication) == kOk);
  host.card()->AddFault(untouched);
  CHECK(Sign(&host, kCardAuthentication) == kOk);  // wants none
  CHECK(Sign(&host, kAuthentication) == kConditionsNotSatisfied);
  CHECK(Sign(&host, kAuthentication) == kOk);
  // The touch before is remembered for the key that caches it.
  host.card()->AddFault(untouched);
  CHECK(Sign(&host, kRetired1) == kOk);
  host.card()->Reset();
  REQUIRE(host.Select() == kOk);
  CHECK(Sign(&host, kRetired1) == kConditionsNotSatisfied);
}

TEST_CASE("Attestations lead through f9 to the root, and say what the card knows") {
  const auto version = GENERATE(Version{4, 3, 5}, Version{5, 4, 3}, Version{5, 7, 1});
  CardHost host(CardOptions{.serial = 0x89ABCDEF, .version = version});
  REQUIRE(host.Authenticate() == kOk);
  host.Generate(kRetired20, Algorithm::kEccP256, Hex("aa0103ab0102"));
  const pki::Certificate statement = Attest(&host, kRetired20);
  const pki::Certificate intermediate = AttestationCertificate(&host);
  const pki::Certificate root = RequireOk(pki::ParseCertificate(Card::AttestationRoot()));
  CHECK_THAT(pki::CheckPath({statement, intermediate, root}, absl::Now()), IsOk());
  CHECK(root.IsSelfIssued());
  CHECK(intermediate.extensions.basic_constraints->ca);
  CHECK(intermediate.extensions.basic_constraints->path_length == 0);
  CHECK(YubicoExtension(statement, 3) == std::string{static_cast<char>(version.major),
                                                     static_cast<char>(version.minor),
                                                     static_cast<char>(version.patch)});
  CHECK(YubicoExtension(statement, 7) == Hex("02050089abcdef"));
  CHECK(YubicoExtension(statement, 8) == Hex("0302"));
  CHECK(YubicoExtension(statement, 9) == Hex("01"));
  CHECK(statement.subject.CommonName() == "Countersign test PIV attestation 95");
  const bool rsa = RequireOk(intermediate.Key()).type() == crypto::KeyType::kRsa;
  CHECK(rsa == !version.AtLeast(5, 0));
}

TEST_CASE("The root is the same each time") {
  CHECK(Card::AttestationRoot() == Card::AttestationRoot());
}

TEST_CASE("Of imported keys, empty slots and f9 itself nothing is attested") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kAttest, 0x9A, 0) == kReferenceNotFound);
  REQUIRE(host.Status(kImportKey, 0x11, 0x9A, Hex("0620") + Hex(kP256Scalar)) == kOk);
  CHECK(host.Status(kAttest, 0x9A, 0) == kWrongData);
  CHECK(host.Status(kAttest, 0xF9, 0) == kWrongReference);
  CHECK(host.Status(kAttest, 0x9B, 0) == kWrongReference);
  host.Generate(kAuthentication, Algorithm::kEccP256);
  CHECK(host.Status(kAttest, 0x9A, 0) == kOk);
  REQUIRE(host.Status(kPutData, 0x3F, 0xFF, Hex("5c035fff01 5300")) == kOk);
  CHECK(host.Status(kAttest, 0x9A, 0) == kReferenceNotFound);
  CardHost old_card(Version{4, 2, 7});
  CHECK(old_card.Status(kAttest, 0x9A, 0) == kInstructionNotSupported);
}

TEST_CASE("Metadata came with firmware 5.3, and tell of a key what it is") {
  CardHost old_card(Version{5, 2, 4});
  CHECK(old_card.Status(kGetMetadata, 0, 0x9A) == kInstructionNotSupported);
  CardHost host;
  CHECK(host.Status(kGetMetadata, 0, 0x9A) == kReferenceNotFound);
  CHECK(host.Status(kGetMetadata, 0, 0x96) == kWrongReference);
  CHECK(host.Status(kGetMetadata, 0xF9, 0x9A) == kWrongParameters);
  REQUIRE(host.Authenticate() == kOk);
  const std::string made = host.Generate(kSignature, Algorithm::kEccP384, Hex("ab0103"));
  CHECK(host.Data(kGetMetadata, 0, 0x9C) ==
        Hex("010114 02020303 030101") + Tlv(0x04, Unwrap(0x7F49, made)));
  const std::string rsa = host.Generate(kAuthentication, Algorithm::kRsa2048);
  CHECK(host.Data(kGetMetadata, 0, 0x9A) ==
        Hex("010107 02020201 030101") + Tlv(0x04, Unwrap(0x7F49, rsa)));
  REQUIRE(host.Status(kImportKey, 0x11, 0x82,
                      Hex("0620") + Hex(kP256Scalar) + Hex("aa0101ab0102")) == kOk);
  CHECK(host.Data(kGetMetadata, 0, 0x82) ==
        Hex("010111 02020102 030102 04438641") + Hex(kP256Point));
  CHECK(host.Data(kGetMetadata, 0, 0xF9).substr(0, 3) == Hex("010111"));
}

// The five numbers of IMPORT, each with a leading zero where `padded`.
std::string RsaComponents(int bits, bool padded) {
  const bssl::UniquePtr<RSA> rsa(RSA_new());
  const bssl::UniquePtr<BIGNUM> exponent(BN_new());
  REQUIRE(BN_set_word(exponent.get(), RSA_F4));
  REQUIRE(RSA_generate_key_ex(rsa.get(), bits, exponent.get(), nullptr));
  std::string out;
  uint32_t tag = 1;
  for (const BIGNUM* number :
       {RSA_get0_p(rsa.get()), RSA_get0_q(rsa.get()), RSA_get0_dmp1(rsa.get()),
        RSA_get0_dmq1(rsa.get()), RSA_get0_iqmp(rsa.get())}) {
    std::string bytes(static_cast<size_t>(bits) / 16 + (padded ? 1 : 0), '\0');
    REQUIRE(BN_bn2bin_padded(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size(), number));
    AppendTlv(tag++, bytes, &out);
  }
  return out;
}

TEST_CASE("RSA keys are imported by their five numbers, which must fit each other") {
  CardHost host;
  const std::string key = RsaComponents(2048, /*padded=*/false);
  CHECK(host.Status(kImportKey, 0x07, 0x9D, key) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kImportKey, 0x07, 0x9D, key) == kOk);
  CHECK(host.Data(kGetMetadata, 0, 0x9D).substr(0, 10) == Hex("010107 02020201 030102"));
  CHECK(host.Status(kImportKey, 0x07, 0x9D, RsaComponents(2048, /*padded=*/true)) == kOk);
  CHECK(host.Status(kImportKey, 0x06, 0x9D, RsaComponents(1024, /*padded=*/false)) == kOk);
  // Of another size, cut short, and with a wrong coefficient.
  CHECK(host.Status(kImportKey, 0x06, 0x9D, key) == kWrongData);
  CHECK(host.Status(kImportKey, 0x07, 0x9D, key.substr(0, key.size() - 1)) == kWrongData);
  std::string wrong = key;
  wrong.back() = static_cast<char>(wrong.back() ^ 1);
  CHECK(host.Status(kImportKey, 0x07, 0x9D, wrong) == kWrongData);
}

TEST_CASE("IMPORT refuses other slots, algorithms, scalars and policies") {
  CardHost host;
  REQUIRE(host.Authenticate() == kOk);
  const std::string key = Hex("0620") + Hex(kP256Scalar);
  CHECK(host.Status(kImportKey, 0x11, 0x9B, key) == kWrongReference);
  CHECK(host.Status(kImportKey, 0x03, 0x9A, key) == kWrongData);
  CHECK(host.Status(kImportKey, 0x11, 0x9A, Hex("0620") + std::string(32, '\0')) == kWrongData);
  CHECK(host.Status(kImportKey, 0x11, 0x9A, Hex("0620") + std::string(32, '\xFF')) == kWrongData);
  CHECK(host.Status(kImportKey, 0x11, 0x9A, Hex("0720") + Hex(kP256Scalar)) == kWrongData);
  CHECK(host.Status(kImportKey, 0x11, 0x9A, key + Hex("aa0104")) == kWrongData);
  CHECK(host.Status(kImportKey, 0x11, 0x9A, key) == kOk);
}

TEST_CASE("From firmware 5.7 keys are moved to free slots, and deleted") {
  CardHost host(Version{5, 7, 1});
  CHECK(host.Status(kMoveKey, 0x82, 0x9A) == kSecurityStatusNotSatisfied);
  REQUIRE(host.Authenticate() == kOk);
  CHECK(host.Status(kMoveKey, 0x82, 0x9A) == kReferenceNotFound);
  host.Generate(kAuthentication, Algorithm::kEccP256);
  const std::string metadata = host.Data(kGetMetadata, 0, 0x9A);
  CHECK(host.Status(kMoveKey, 0x9B, 0x9A) == kWrongReference);
  CHECK(host.Status(kMoveKey, 0x9A, 0xF9) == kWrongReference);
  CHECK(host.Status(kMoveKey, 0x82, 0x9A) == kOk);
  CHECK(host.Status(kGetMetadata, 0, 0x9A) == kReferenceNotFound);
  CHECK(host.Data(kGetMetadata, 0, 0x82) == metadata);
  host.Generate(kAuthentication, Algorithm::kEccP256);
  CHECK(host.Status(kMoveKey, 0x82, 0x9A) == kWrongData);
  CHECK(host.Status(kMoveKey, 0xFF, 0x82) == kOk);
  CHECK(host.Status(kGetMetadata, 0, 0x82) == kReferenceNotFound);
  CHECK(host.Status(kMoveKey, 0xFF, 0x82) == kReferenceNotFound);
}

}  // namespace
}  // namespace countersign::testing::piv
