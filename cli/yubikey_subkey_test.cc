// The commands of sub-keys and attestations.
#include <sys/stat.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "cli/yubikey_test_user.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/pki/pem.h"
#include "libs/testing/matchers.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using absl::StrContains;
using testing::RequireOk;

constexpr char kSlot[] = "cards/14289367/slots/9c";
constexpr char kData[] = "libs/piv/testdata/";

TEST_CASE("A sub-key is created under a card's key, listed, shown and revoked") {
  AgentUser user;
  CHECK(StrContains(user.Done({"subkey", "list"}), "No sub-keys yet"));
  const std::string out =
      user.Done({"subkey", "create", "ci", "--card-key", "14289367/9c", "--lifetime", "30m",
                 "--max-uses", "100", "--renew", "--common-name", "CI"});
  CHECK(StrContains(out, "Created subKeys/ci"));
  const pb::CreateSubKeyRequest& request = user.agent.state.sub_key_created;
  CHECK(request.sub_key_id() == "ci");
  CHECK(request.sub_key().card_key() == kSlot);
  CHECK(request.sub_key().authority().empty());
  CHECK(request.sub_key().algorithm() == pb::ALGORITHM_ED25519);
  CHECK(request.sub_key().lifetime_seconds() == 1800);
  CHECK(request.sub_key().max_uses() == 100);
  CHECK(request.sub_key().renew());
  CHECK(request.sub_key().common_name() == "CI");
  CHECK_FALSE(request.sub_key().log_certificates());

  CHECK(StrContains(user.Done({"subkey", "list"}), "0 of 100"));
  CHECK(StrContains(user.Done({"subkey", "show", "ci", "--chain", user.Path("chain.pem")}),
                    "subKeys/ci"));
  const auto blocks = RequireOk(pki::ParsePem(user.Contents("chain.pem")));
  REQUIRE(blocks.size() == 2);
  CHECK(blocks[0].der == user.agent.state.chain.card.certificate.der);

  CHECK(StrContains(user.Refused({"subkey", "revoke", "ci"}), "--yes"));
  CHECK_FALSE(user.agent.state.sub_key.revoked());
  user.Done({"subkey", "revoke", "subKeys/ci", "--yes"});
  CHECK(user.agent.state.sub_key.revoked());
  CHECK(StrContains(user.Done({"subkey", "list"}), "revoked"));
}

TEST_CASE("A sub-key is created under an authority, and something must certify it") {
  AgentUser user;
  const auto json = user.Json({"subkey", "create", "ci", "--authority", "web", "--log",
                               "--algorithm", "ecdsa-p256-sha256", "--tenant", "acme"});
  CHECK(json["subKey"]["authority"] == "tenants/acme/authorities/web");
  CHECK(user.agent.state.sub_key_created.sub_key().log_certificates());
  CHECK(user.agent.state.sub_key_created.sub_key().lifetime_seconds() == 0);
  user.Refused({"subkey", "create", "ci"});
  user.Refused({"subkey", "create", "ci", "--card-key", "14289367/9c", "--authority", "web"});
  user.Refused({"subkey", "create", "ci", "--card-key", "x", "--algorithm", "ecdsa-p384-sha384"});
}

TEST_CASE("Sub-keys sign messages by Ed25519, digests by ECDSA") {
  AgentUser user;
  const std::string file = user.File("artifact", "what is signed");
  user.Done({"subkey", "create", "ci", "--card-key", "14289367/9c"});
  CHECK(user.Done({"subkey", "sign", "ci", file}) == "signature of the sub-key");
  CHECK(user.agent.state.sub_key_signed.message() == "what is signed");
  CHECK(StrContains(
      user.Refused({"subkey", "sign", "ci", user.File("long", std::string((1 << 20) + 1, 'x'))}),
      "1 MiB"));
  user.Done(
      {"subkey", "create", "ci", "--card-key", "14289367/9c", "--algorithm", "ecdsa-p256-sha256"});
  user.Done({"subkey", "sign", "ci", file, "-o", user.Path("sig")});
  CHECK(user.agent.state.sub_key_signed.digest() ==
        crypto::Digest(crypto::DigestAlgorithm::kSha256, "what is signed"));
  CHECK(user.Contents("sig") == "signature of the sub-key");
  CHECK(StrContains(user.Refused({"subkey", "sign", "other", file}), "there is no subKeys/other"));
}

TEST_CASE("A sub-key decrypts an encapsulated key with its ciphertext") {
  AgentUser user;
  const std::string enc(32, 'e');
  CHECK(user.Done({"subkey", "decrypt", "ci", user.File("sealed", enc + "ciphertext"), "--info",
                   "i", "--aad", "a"}) == "what was sealed");
  const pb::SubKeyServiceDecryptRequest& request = user.agent.state.sub_key_decrypted;
  CHECK(request.name() == "subKeys/ci");
  CHECK(request.enc() == enc);
  CHECK(request.ciphertext() == "ciphertext");
  CHECK(request.info() == "i");
  CHECK(request.aad() == "a");
  CHECK(
      StrContains(user.Refused({"subkey", "decrypt", "ci", user.File("short", "x")}), "too short"));
}

TEST_CASE("An attestation is written with the card's certificate, and verifies offline") {
  AgentUser user;
  user.Done({"generate", kSlot});
  const AgentUser::Result piped = user.Run({"attest", "14289367/9c"});
  CHECK(RequireOk(pki::ParsePem(piped.out)).size() == 2);
  CHECK(StrContains(piped.err, "14289367"));
  CHECK(StrContains(user.Done({"attest", kSlot, "-o", user.Path("a.pem")}), "cached"));
  CHECK(user.Contents("a.pem") == piped.out);
  user.agent.state.attested_serial = 7;
  CHECK(StrContains(user.Refused({"attest", kSlot, "-o", user.Path("b.pem")}), "is of card 7"));
  CHECK_FALSE(base::FileExists(user.Path("b.pem")));

  const std::string root = user.File(
      "root.pem", pki::FormatPem("CERTIFICATE", user.agent.state.chain.root.certificate.der));
  CHECK(StrContains(user.Done({"verify-attestation", user.Path("a.pem"), "--root", root}),
                    "Verified"));
  // Without the card's certificate it leads nowhere.
  const std::string alone = user.File("alone.der", user.agent.state.chain.attestation);
  const AgentUser::Result result = user.Run({"verify-attestation", alone, "--root", root});
  CHECK(result.exit_code == 1);
  CHECK(StrContains(result.out, "NOT VERIFIED"));
}

TEST_CASE("Attestations of real cards verify by Yubico's root alone") {
  AgentUser user;
  const std::string root = absl::StrCat(kData, "yubico_piv_root.pem");
  const std::string other = absl::StrCat(kData, "yubico_attestation_root_1.pem");
  const std::string leaf = absl::StrCat(kData, "yubikey_527_9c.pem");
  const std::string card = absl::StrCat(kData, "yubikey_527_f9.pem");
  const auto json = user.Json({"verify-attestation", leaf, card, "--root", root});
  CHECK(json["verified"] == true);
  CHECK(json["facts"]["firmwareVersion"] == "5.2.7");
  CHECK(json["facts"]["slot"] == "9c");
  user.Done({"verify-attestation", leaf, card, "--root", other, "--root", root});
  user.Done({"verify-attestation", absl::StrCat(kData, "yubikey_445_fips_9c.pem"),
             absl::StrCat(kData, "yubikey_445_fips_f9.pem"), "--root", root});

  AgentUser::Result result =
      user.Run({"verify-attestation", leaf, card, "--root", other, "--json"});
  CHECK(result.exit_code == 1);
  CHECK(nlohmann::json::parse(result.out)["verified"] == false);
  CHECK(user.agent.state.opened.empty());

  // What is no attestation, no certificate or no file leaves the question open.
  CHECK(StrContains(user.Refused({"verify-attestation", card, "--root", root}), "attestation: "));
  user.Refused({"verify-attestation", user.File("text", "text"), "--root", root});
  user.Refused({"verify-attestation", user.Path("nothing"), "--root", root});
  user.Refused({"verify-attestation", leaf, card});
  CHECK(StrContains(
      user.Refused({"verify-attestation", leaf, card, "--root", user.File("empty.pem", "")}),
      "holds no certificate"));
}

}  // namespace
}  // namespace countersign::cli
