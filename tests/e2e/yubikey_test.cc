// The whole way down to a card: gateway, sign, agent, libykpiv, pcscd, vpcd, and a card in
// software.
#include <stdlib.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/public_key.h"
#include "libs/pki/certificate.h"
#include "libs/testing/command.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/piv/card.h"
#include "libs/testing/piv/virtual_reader.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

using Catch::Contains;
using nlohmann::json;
using testing::Eventually;
using testing::RequireOk;
using testing::TempDir;
using testing::piv::Card;
using testing::piv::PcscDaemon;
using testing::piv::VirtualReader;

constexpr uint32_t kSerial = 20260001;
constexpr char kCard[] = "20260001";
constexpr char kTenant[] = "/tenants/default";

std::string Digest(const std::string& message) {
  return std::string(base::AsBytes(crypto::Sha256(message)));
}

std::string Decode(const json& text) {
  return RequireOk(base::Base64Decode(text.get<std::string>()));
}

// A suite with the agent, and a card in a reader of a daemon of its own.
class CardSuite {
 public:
  CardSuite()
      : daemon_(RequireOk(PcscDaemon::Start(1))),
        card_(RequireOk(Card::Create({.serial = kSerial}))),
        reader_(daemon_->port(0), card_.get()) {
    RequireOk(reader_.Insert());
    // The suite's processes inherit it.
    setenv("PCSCLITE_CSOCK_NAME", daemon_->SocketPath().c_str(), 1);
    suite_ = std::make_unique<SuiteProcess>(dir_.path() + "/data",
                                            std::vector<std::string>{"--yubikey"});
    RequireOk(base::WriteFileAtomically(Path("pin"), "123456\n", 0600));
    REQUIRE(Eventually([&] { return Run({"yubikey", "show", kCard}).exit_code == 0; }));
    Must({"yubikey", "unlock", kCard, "--pin-file", Path("pin")});
  }

  SuiteProcess& suite() { return *suite_; }
  Card& card() { return *card_; }
  VirtualReader& reader() { return reader_; }
  std::string Path(const std::string& name) const { return dir_.path() + "/" + name; }

  CommandResult Run(std::vector<std::string> args) const { return suite_->Run(std::move(args)); }
  // A command that has to succeed.
  std::string Must(std::vector<std::string> args) const {
    const CommandResult result = Run(std::move(args));
    INFO(result.output);
    REQUIRE(result.exit_code == 0);
    return result.output;
  }
  json Post(const std::string& path, const json& body) const {
    return suite_->Api(200, "POST", kTenant + path, body);
  }
  static std::string Slot(const std::string& slot) {
    return absl::StrCat("cards/", kCard, "/slots/", slot);
  }

 private:
  TempDir dir_;
  std::unique_ptr<PcscDaemon> daemon_;
  std::unique_ptr<Card> card_;
  VirtualReader reader_;
  std::unique_ptr<SuiteProcess> suite_;
};

TEST_CASE(
    "A file is signed by a key on a card, logged, cosigned, and verified with nothing running") {
  CardSuite cards;
  const json created = cards.Post(
      "/keys",
      {{"keyId", "release"},
       {"key",
        {{"algorithm", "ALGORITHM_ECDSA_P256_SHA256"},
         {"backend", {{"yubikey", {{"key", CardSuite::Slot("9c")}, {"generate", true}}}}}}}});
  const std::string spki = Decode(created.at("keyVersion").at("spki"));
  const auto key = RequireOk(crypto::PublicKey::FromSpkiDer(spki));
  CHECK(created.at("key").at("backend").at("yubikey").at("key") ==
        absl::StrCat("keys/", key.Fingerprint()));

  // Through the gateway, the digest is the card's to sign.
  const std::string digest = Digest("contents");
  const uint64_t uses = cards.card().commands(0x87);
  const json signed_digest =
      cards.Post("/keys/release:sign",
                 {{"digest", base::Base64Encode(digest)}, {"ledger", "LEDGER_WAIT_NONE"}});
  CHECK(RequireOk(key.VerifyDigest(crypto::Algorithm::kEcdsaP256Sha256, digest,
                                   Decode(signed_digest.at("signature").at("signature")))));
  CHECK(cards.card().commands(0x87) == uses + 1);

  const std::string file = cards.Path("file");
  RequireOk(base::WriteFileAtomically(file, "contents"));
  cards.Must({"sign", file, "--key", "release"});
  cards.Must({"trust", "export"});
  CHECK(cards.suite().process().Stop() == 0);
  const CommandResult verified = cards.Run({"verify", file});
  INFO(verified.output);
  CHECK(verified.exit_code == 0);
  CHECK_THAT(verified.output, Contains("Verified"));
}

TEST_CASE("An authority's root is on a card: it issues, and openssl believes it") {
  CardSuite cards;
  cards.Must({"keys", "create", "root", "--algorithm", "ecdsa-p384-sha384", "--yubikey",
              CardSuite::Slot("9a"), "--generate"});
  cards.Must({"ca", "create", "root", "--subject", "CN=Root on a card", "--key", "root"});
  cards.Must({"ca", "create", "web", "--subject", "CN=Web", "--issuer", "root"});
  const std::string root = cards.Path("root.pem");
  const std::string chain = cards.Path("web.pem");
  RequireOk(base::WriteFileAtomically(root, cards.Must({"ca", "get", "root", "--pem"})));
  RequireOk(base::WriteFileAtomically(chain, cards.Must({"ca", "get", "web", "--pem"})));
  const auto result =
      testing::RunCommand(absl::StrCat("openssl verify -x509_strict -CAfile ", root, " ", chain));
  INFO(result.output);
  CHECK(result.exit_code == 0);
  // The intermediate's key is in memory, the root's on the card: its CRL is the card's work.
  const uint64_t uses = cards.card().commands(0x87);
  cards.Post("/authorities/root:publishCrls", json::object());
  CHECK(cards.card().commands(0x87) == uses + 1);
}

TEST_CASE("A card that is pulled says so to whoever asked, and serves again when it is back") {
  CardSuite cards;
  cards.Must({"yubikey", "generate", CardSuite::Slot("9e"), "--pin-policy", "never"});
  cards.Must({"keys", "create", "k", "--yubikey", CardSuite::Slot("9e")});
  const json body = {{"digest", base::Base64Encode(Digest("x"))}, {"ledger", "LEDGER_WAIT_NONE"}};
  cards.Post("/keys/k:sign", body);
  cards.card().AddFault({.kind = testing::piv::Fault::Kind::kRemoveBefore, .instruction = 0x87});
  const json pulled =
      cards.suite().Problem(503, "POST", absl::StrCat(kTenant, "/keys/k:sign"), body);
  CHECK(pulled.at("reason") == "CARD_REMOVED");
  cards.card().ClearFaults();
  RequireOk(cards.reader().Insert());
  REQUIRE(Eventually([&] {
    return cards.suite()
               .Request("POST", absl::StrCat("/api/v1", kTenant, "/keys/k:sign"), body.dump())
               .status == 200;
  }));
}

TEST_CASE("A sub-key's certificate leads to the card's, and its revocation to OCSP") {
  CardSuite cards;
  cards.Must({"keys", "create", "root", "--algorithm", "ecdsa-p256-sha256", "--yubikey",
              CardSuite::Slot("9c"), "--generate"});
  cards.Must({"ca", "create", "signers", "--subject", "CN=Signers", "--key", "root"});
  const json made = json::parse(
      cards.Must({"--json", "yubikey", "subkey", "create", "builds", "--authority",
                  "tenants/default/authorities/signers", "--algorithm", "ecdsa-p256-sha256"}));
  const json& sub_key = made.contains("subKey") ? made.at("subKey") : made;
  REQUIRE(sub_key.at("chain").size() == 2);
  const auto certificate = RequireOk(pki::ParseCertificate(Decode(sub_key.at("chain").at(0))));
  const auto issuer = RequireOk(pki::ParseCertificate(Decode(sub_key.at("chain").at(1))));
  CHECK_THAT(certificate.CheckIssuedBy(issuer), testing::IsOk());

  // It signs without the card.
  cards.reader().Remove();
  const std::string file = cards.Path("file");
  RequireOk(base::WriteFileAtomically(file, "contents"));
  cards.Must({"yubikey", "subkey", "sign", "builds", file, "-o", cards.Path("sig")});
  const auto key = RequireOk(certificate.Key());
  CHECK(RequireOk(key.VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, "contents",
                                    RequireOk(base::ReadFile(cards.Path("sig"))))));

  cards.Must({"yubikey", "subkey", "revoke", "builds", "--yes"});
  CHECK(cards.Run({"yubikey", "subkey", "sign", "builds", file, "-o", cards.Path("sig2")})
            .exit_code == 2);
  CHECK(cards.suite()
            .Api(200, "GET",
                 absl::StrCat(kTenant, "/authorities/signers/certificateStatus?serialNumber=",
                              certificate.SerialHex()))
            .at("status") == "CERTIFICATE_STATUS_REVOKED");
}

}  // namespace
}  // namespace countersign::e2e
