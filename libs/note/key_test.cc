#include "libs/note/key.h"

#include <string>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/manual_clock.h"
#include "libs/note/cosignature.h"
#include "libs/note/test_keys.h"
#include "libs/testing/matchers.h"

namespace countersign::note {
namespace {

using testing::RequireOk;
using testing::StatusIs;

constexpr char kExampleVkey[] =
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
constexpr char kRemoraVkey[] =
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2";

TEST_CASE("the verifier key of signed-note's example is read and written") {
  const NoteVerifier verifier = RequireOk(ParseVkey(kExampleVkey));
  CHECK(verifier.name() == "example.com/foo");
  CHECK(verifier.key_id() == 0x530d903a);
  CHECK(verifier.type() == SignatureType::kEd25519);
  CHECK(base::HexEncode(verifier.public_key().ed25519_raw()) ==
        "e932791ae6e7a840a46164c904786426d5e7821dd8b29a00d61cae72afdd4da4");
  CHECK(verifier.vkey() == kExampleVkey);
  CHECK(base::HexEncode(base::AsBytes(verifier.key_hash())).substr(0, 8) == "530d903a");
}

TEST_CASE("a public witness's verifier key is one of type 0x04") {
  const NoteVerifier verifier = RequireOk(ParseVkey(kRemoraVkey));
  CHECK(verifier.name() == "remora.n621.de");
  CHECK(verifier.type() == SignatureType::kCosignature);
  CHECK(verifier.key_id() == 0xda77ade7);
  CHECK(verifier.vkey() == kRemoraVkey);
}

TEST_CASE("a verifier key whose base64 holds a plus sign is read") {
  for (char seed = 'a'; seed <= 'z'; ++seed) {
    const std::string vkey = TestLogSigner("example.com/log", seed)->vkey();
    CHECK(RequireOk(ParseVkey(vkey)).vkey() == vkey);
  }
  CHECK(RequireOk(ParseVkey("TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6")).name() ==
        "TEST");
}

TEST_CASE("a malformed verifier key is refused") {
  const std::string key = "AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
  const std::vector<std::string> malformed = {
      "",
      "example.com/foo",
      "example.com/foo+530d903a",
      "example.com/foo+530d903a+",
      "+530d903a+" + key,
      "example.com/bar+530d903a+" + key,   // the id is another name's
      "example.com/foo+530d903b+" + key,   // nobody's id
      "example.com/foo+530D903A+" + key,   // upper case
      "example.com/foo+530d903+" + key,    // short
      "example.com/foo+0530d903a+" + key,  // long
      "example.com/foo+530d903a+" + key + "=",
      "example.com/foo+530d903a+" + key + "\n",
      " example.com/foo+530d903a+" + key,
      "example com+530d903a+" + key,
      "example.com/foo+530d903a+" + key.substr(0, key.size() - 4),
      "example.com/foo+530d903a+AQ==",
      // Types that are reserved, not for verifier keys, or not spoken here.
      "example.com/foo+530d903a+A" + ("+" + key.substr(2)),
      "example.com/foo+00000000+BekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
  };
  for (const std::string& vkey : malformed) {
    CAPTURE(vkey);
    CHECK_THAT(ParseVkey(vkey), StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST_CASE("a key under two types has two ids") {
  const crypto::PrivateKey key = TestKey('k');
  const auto log =
      RequireOk(NoteVerifier::Create("example.com", SignatureType::kEd25519, key.public_key()));
  const auto witness =
      RequireOk(NoteVerifier::Create("example.com", SignatureType::kCosignature, key.public_key()));
  CHECK(log.key_id() != witness.key_id());
  CHECK_FALSE(log == witness);
}

TEST_CASE("key names without meaning are refused") {
  for (const char* name : {"example.com/log", "a", "Log:1", "\xc3\xa9\xe2\x80\x94", "oid/1.2.3"}) {
    CAPTURE(name);
    CHECK(IsValidKeyName(name));
  }
  for (const char* name : {"", " ", "a b", "a+b", "a\tb", "a\nb", "a\x1f", "a\xc2\xa0",
                           "a\xe2\x80\x83", "\xe3\x80\x80", "\xff", "a\xc3"}) {
    CAPTURE(name);
    CHECK_FALSE(IsValidKeyName(name));
  }
  CHECK_FALSE(IsValidKeyName(absl::string_view("a\0", 2)));
  CHECK_THAT(NewEd25519Signer("a+b", TestKey('k')),
             StatusIs(absl::StatusCode::kInvalidArgument, "key name"));
}

TEST_CASE("a key of another kind cannot sign or verify Ed25519 notes") {
  crypto::PrivateKey ecdsa =
      RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  CHECK_THAT(NoteVerifier::Create("a", SignatureType::kCosignature, ecdsa.public_key()),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(NoteVerifier::Create("a", SignatureType::kEcdsa, TestKey('k').public_key()),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(NewEd25519Signer("a", std::move(ecdsa)), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("a log's signature verifies under its name's key and over its text only") {
  const auto signer = TestLogSigner("example.com/log");
  const std::string signature = RequireOk(signer->Sign("text\n"));
  CHECK(signature.size() == 64);
  CHECK(signer->verifier().Verify("text\n", signature));
  CHECK_FALSE(signer->verifier().Verify("text", signature));
  CHECK_FALSE(signer->verifier().Verify("text\n", signature.substr(1)));
  CHECK_FALSE(signer->verifier().Verify("text\n", ""));
  CHECK_FALSE(TestLogSigner("example.com/log", 'M')->verifier().Verify("text\n", signature));
}

TEST_CASE("ECDSA keys verify notes and have the hash of their SPKI as id") {
  const crypto::PrivateKey key =
      RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const NoteVerifier verifier =
      RequireOk(NoteVerifier::Create("example.com/ecdsa", SignatureType::kEcdsa, key.public_key()));
  CHECK(base::HexEncode(base::AsBytes(verifier.key_hash())) == key.public_key().Fingerprint());
  CHECK(RequireOk(ParseVkey(verifier.vkey())) == verifier);
  const std::string signature = RequireOk(key.SignMessage("text\n"));
  CHECK(verifier.Verify("text\n", signature));
  CHECK_FALSE(verifier.Verify("text\n\n", signature));
}

TEST_CASE("a cosignature is an Ed25519 signature over its time and the text") {
  CHECK(CosignatureMessage(1679315147, "example.com/behind-the-sofa\n20852163\n") ==
        "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n");
  base::ManualClock clock(absl::FromUnixSeconds(1679315147));
  const auto signer = TestWitnessSigner("witness.example.com/w1", 'W', &clock);
  const std::string signature = RequireOk(signer->Sign("text\n"));
  CHECK(signature.size() == 72);
  CHECK(CosignatureTimestamp(signature) == 1679315147);
  CHECK(signer->verifier().Verify("text\n", signature));
  // The signature itself is the key's plain one over that message.
  const auto plain = TestLogSigner("witness.example.com/w1", 'W');
  CHECK(plain->verifier().Verify("cosignature/v1\ntime 1679315147\ntext\n", signature.substr(8)));

  std::string later = signature;
  later[7] = static_cast<char>(later[7] + 1);
  CHECK(CosignatureTimestamp(later) == 1679315148);
  CHECK_FALSE(signer->verifier().Verify("text\n", later));
  CHECK_FALSE(signer->verifier().Verify("text\n", signature.substr(8)));
  CHECK_FALSE(signer->verifier().Verify("text\n", signature + "x"));
}

TEST_CASE("a cosignature bears a time that a checker accepts") {
  base::ManualClock clock(absl::UnixEpoch());
  const auto signer = TestWitnessSigner("w", 'W', &clock);
  CHECK_THAT(signer->Sign("text\n"), StatusIs(absl::StatusCode::kFailedPrecondition, "clock"));
  CHECK_THAT(signer->SignAt("text\n", 0), StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK_THAT(signer->SignAt("text\n", uint64_t{1} << 63),
             StatusIs(absl::StatusCode::kInvalidArgument));
  CHECK(signer->verifier().Verify("text\n", RequireOk(signer->SignAt("text\n", INT64_MAX))));
  CHECK_FALSE(CosignatureTimestamp(std::string(72, '\xff')).has_value());
  CHECK_FALSE(CosignatureTimestamp("").has_value());
}

}  // namespace
}  // namespace countersign::note
