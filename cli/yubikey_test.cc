// The commands of `yubikey`, against an agent in the test's own process.
#include <sys/stat.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "cli/yubikey_test_user.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/pki/certificate.h"
#include "libs/pki/pem.h"
#include "libs/runtime/status.h"
#include "libs/testing/matchers.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::yubikey::v1;
using absl::StrContains;
using testing::RequireOk;

constexpr char kSlot[] = "cards/14289367/slots/9c";

// A user whose card has a P-256 key in 9c.
struct KeyUser : AgentUser {
  KeyUser() {
    agent.state.Put(kSlot,
                    RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256)));
  }
};

bool IsPrivate(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 && (info.st_mode & 0077) == 0;
}

TEST_CASE("The cards are listed without a session") {
  KeyUser user;
  const std::string out = user.Done({"list"});
  CHECK(StrContains(out, "14289367  5.4.3     ready  3          no        9c     Fake Reader 00"));
  CHECK(user.agent.state.opened.empty());
  CHECK(user.Json({"list"})["cards"][0]["serialNumber"] == 14289367);
}

TEST_CASE("A watch prints the cards at each change, a JSON object a line") {
  KeyUser user;
  const std::string out = user.Done({"watch"});
  CHECK(StrContains(out, "Fake Reader 00"));
  CHECK(StrContains(out, "No card is in a reader."));
  const std::string lines = user.Done({"watch", "--json"});
  const size_t end = lines.find('\n');
  CHECK(nlohmann::json::parse(lines.substr(0, end))["cards"].size() == 1);
  CHECK(nlohmann::json::parse(lines.substr(end + 1))["cards"].empty());
}

TEST_CASE("A card is shown with what is in its slots") {
  KeyUser user;
  pb::Slot* slot = user.agent.state.Find(kSlot);
  slot->set_touch_policy(pb::TOUCH_POLICY_CACHED);
  slot->set_certificate(user.agent.state.chain.root.certificate.der);
  user.agent.state.card.add_slots()->set_name("cards/14289367/slots/82");
  user.agent.state.card.mutable_slots()->rbegin()->set_certificate("no certificate");
  for (const char* name : {"14289367", "cards/14289367"}) {
    const std::string out = user.Done({"show", name});
    CAPTURE(out);
    for (const char* part :
         {"cards/14289367", "ecdsa-p256-sha256", "once", "cached", "generated", "not readable"}) {
      CAPTURE(part);
      CHECK(StrContains(out, part));
    }
    CHECK(StrContains(out, slot->fingerprint()));
  }
  CHECK(StrContains(user.Refused({"show", "7"}), "there is no cards/7"));
  CHECK(StrContains(user.Refused({"show", "my card"}), "is no card"));
}

TEST_CASE("The agent is found by option, by environment, by --endpoint, by endpoints.json") {
  KeyUser user;
  const std::string address = user.agent.server.address();
  user.File("data/endpoints.json", "{\"yubikey_agent\": \"127.0.0.1:1\"}");
  CHECK(StrContains(user.Refused({"list"}), "no yubikey-agent service at 127.0.0.1:1"));
  user.Done({"list", "--endpoint", absl::StrCat("yubikey-agent=", address)});
  user.Done({"list", "--yubikey-agent", address, "--endpoint", "yubikey-agent=127.0.0.1:2"});
  setenv("COUNTERSIGN_YUBIKEY_AGENT", address.c_str(), 1);
  user.Done({"list"});
  unsetenv("COUNTERSIGN_YUBIKEY_AGENT");
}

TEST_CASE("The API key comes from a file that nobody else can read") {
  KeyUser user;
  user.Done({"lock", "14289367"});
  REQUIRE(user.agent.state.opened.size() == 1);
  CHECK(user.agent.state.opened[0].caller() == "admin");
  CHECK(user.agent.state.opened[0].scope().operations(0) == pb::OPERATION_UNLOCK);

  // The administrator's key is no other caller's.
  CHECK(StrContains(user.Refused({"lock", "14289367", "--caller", "build"}),
                    "the API key of \"build\""));
  const std::string file = user.File("build.key", kFakeApiKey, 0600);
  user.Done({"lock", "14289367", "--caller", "build", "--yubikey-key", file});
  CHECK(user.agent.state.opened.back().caller() == "build");
  setenv("COUNTERSIGN_YUBIKEY_KEY_FILE", file.c_str(), 1);
  user.Done({"lock", "14289367", "--caller", "build"});
  unsetenv("COUNTERSIGN_YUBIKEY_KEY_FILE");

  for (const uint32_t mode : {0644u, 0640u, 0602u}) {
    CAPTURE(mode);
    user.File("data/yubikey-agent/admin.key", kFakeApiKey, mode);
    REQUIRE(chmod(user.Path("data/yubikey-agent/admin.key").c_str(), mode) == 0);
    const std::string message = user.Refused({"lock", "14289367"});
    CHECK(StrContains(message, "chmod 600"));
    CHECK_FALSE(StrContains(message, kFakeApiKey));
  }
  CHECK(user.agent.state.opened.size() == 3);

  user.File("data/yubikey-agent/admin.key", "another key", 0600);
  CHECK(StrContains(user.Refused({"lock", "14289367"}), "the proof does not hold"));
  unlink(user.Path("data/yubikey-agent/admin.key").c_str());
  CHECK(StrContains(user.Refused({"lock", "14289367"}), "--yubikey-key FILE"));
}

TEST_CASE("A PIN comes from a file or standard input, never as an argument") {
  KeyUser user;
  const std::string file = user.File("pin", "12345678\n", 0600);
  CHECK(StrContains(user.Done({"unlock", "14289367", "--pin-file", file}), "Unlocked cards"));
  CHECK(user.agent.state.unlocked.name() == kFakeCard);
  CHECK(user.agent.state.unlocked.pin() == "12345678");
  user.Done({"unlock", "cards/14289367", "--pin-file", "-"}, "654321\r\n");
  CHECK(user.agent.state.unlocked.pin() == "654321");
  CHECK(user.Json({"lock", "14289367"})["card"]["unlocked"] == false);

  const size_t sessions = user.agent.state.opened.size();
  user.Refused({"unlock", "14289367", "123456"});
  user.Refused({"unlock", "14289367", "--pin", "123456"});
  user.Refused({"unlock", "14289367", "--pin-file", user.File("open-pin", "123456", 0644)});
  user.Refused({"unlock", "14289367", "--pin-file", "-"}, "\n");
  CHECK(user.agent.state.opened.size() == sessions);
}

TEST_CASE("A wrong PIN is sent once, and so is one whose card was pulled") {
  KeyUser user;
  user.agent.state.refusal = runtime::ToGrpcStatus(runtime::AttachReason(
      absl::PermissionDeniedError("the PIN is wrong; 2 tries are left"), "WRONG_PIN"));
  const AgentUser::Result result =
      user.Run({"unlock", "14289367", "--pin-file", "-", "--json"}, "111111\n");
  CHECK(result.exit_code == 2);
  CHECK(nlohmann::json::parse(result.out)["error"]["reason"] == "WRONG_PIN");
  CHECK_FALSE(StrContains(result.out + result.err, "111111"));
  CHECK(user.agent.state.refused == 1);

  user.agent.state.refusal = runtime::ToGrpcStatus(
      runtime::AttachReason(absl::UnavailableError("the card was pulled"), "CARD_REMOVED"));
  CHECK(StrContains(user.Refused({"unlock", "14289367", "--pin-file", "-"}, "111111\n"),
                    "the card was pulled"));
  CHECK(user.agent.state.refused == 2);
}

TEST_CASE("PIN, PUK and management key are changed, their lines read in order") {
  KeyUser user;
  user.Done({"pin", "change", "14289367", "--pin-file", "-", "--new-pin-file", "-"},
            "123456\n654321\n");
  CHECK(user.agent.state.pin_changed.pin() == "123456");
  CHECK(user.agent.state.pin_changed.new_pin() == "654321");
  user.Done({"pin", "unblock", "14289367", "--puk-file", user.File("puk", "12345678", 0600),
             "--new-pin-file", "-"},
            "777777");
  CHECK(user.agent.state.unblocked.puk() == "12345678");
  CHECK(user.agent.state.unblocked.new_pin() == "777777");
  user.Done({"puk", "change", "14289367", "--puk-file", "-", "--new-puk-file", "-"},
            "12345678\n87654321\n");
  CHECK(user.agent.state.puk_changed.new_puk() == "87654321");
  const std::string key(24, '\xab');
  user.Done(
      {"management-key", "change", "14289367", "--new-management-key-file", "-", "--require-touch"},
      base::HexEncode(key) + "\n");
  CHECK(user.agent.state.management_key_changed.management_key().empty());
  CHECK(user.agent.state.management_key_changed.new_management_key() == key);
  CHECK(user.agent.state.management_key_changed.require_touch());
  for (const char* wrong : {"abcd", "010203040506070801020304050607080102030405060708zz"}) {
    CHECK(StrContains(
        user.Refused({"management-key", "change", "14289367", "--new-management-key-file", "-"},
                     wrong),
        "holds no management key"));
  }
}

TEST_CASE("A card is reset only with its serial number said once more") {
  KeyUser user;
  user.Refused({"reset", "14289367"});
  CHECK(StrContains(user.Refused({"reset", "14289367", "--yes", "14289368"}), "--yes 14289367"));
  CHECK(user.agent.state.opened.empty());
  user.Done({"reset", "14289367", "--yes", "14289367"});
  CHECK(user.agent.state.reset.name() == kFakeCard);
  CHECK(user.agent.state.reset.confirm_serial_number() == "14289367");
}

TEST_CASE("A key is generated as it was asked for") {
  AgentUser user;
  const std::string out = user.Done({"generate", "14289367/9C"});
  CHECK(StrContains(out, "Generated a key on the card"));
  CHECK(StrContains(out, kSlot));
  const pb::GenerateKeyRequest& request = user.agent.state.generated;
  CHECK(request.name() == kSlot);
  CHECK(request.algorithm() == pb::ALGORITHM_ECDSA_P256_SHA256);
  CHECK(request.pin_policy() == pb::PIN_POLICY_UNSPECIFIED);
  CHECK(request.touch_policy() == pb::TOUCH_POLICY_UNSPECIFIED);
  CHECK(request.management_key().empty());
  CHECK_FALSE(request.replace());

  const std::string key(16, '\x01');
  const auto json =
      user.Json({"generate", kSlot, "--algorithm", "ecdsa-p384-sha384", "--pin-policy", "always",
                 "--touch-policy", "cached", "--replace", "--management-key-file",
                 user.File("management", base::HexEncode(key), 0600)});
  CHECK(json["slot"]["algorithm"] == "ALGORITHM_ECDSA_P384_SHA384");
  CHECK(request.algorithm() == pb::ALGORITHM_ECDSA_P384_SHA384);
  CHECK(request.pin_policy() == pb::PIN_POLICY_ALWAYS);
  CHECK(request.touch_policy() == pb::TOUCH_POLICY_CACHED);
  CHECK(request.management_key() == key);
  CHECK(request.replace());

  user.Refused({"generate", "14289367/9c", "--algorithm", "hpke-x25519"});
  user.Refused({"generate", "14289367/9c", "--pin-policy", "sometimes"});
  CHECK(StrContains(user.Refused({"generate", "9c"}), "SERIAL/SLOT"));
  user.agent.state.refusal = runtime::ToGrpcStatus(runtime::AttachReason(
      absl::FailedPreconditionError("there is a key in the slot"), "SLOT_IN_USE"));
  CHECK(StrContains(user.Refused({"generate", kSlot}), "there is a key in the slot"));
}

TEST_CASE("A key is imported from PKCS#8, PEM or DER") {
  AgentUser user;
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
  const crypto::SecretBytes pkcs8 = RequireOk(key.ToPkcs8());
  const std::string der(pkcs8.Expose(crypto::SecretAccess::Grant()));
  for (const std::string& contents : {der, pki::FormatPem("PRIVATE KEY", der)}) {
    user.Done(
        {"import", "14289367/9d", user.File("key", contents, 0600), "--touch-policy", "always"});
    CHECK(user.agent.state.imported.name() == "cards/14289367/slots/9d");
    CHECK(user.agent.state.imported.private_key() == der);
    CHECK(user.agent.state.imported.touch_policy() == pb::TOUCH_POLICY_ALWAYS);
    user.agent.state.imported.Clear();
  }
  const std::string locked =
      user.File("locked", pki::FormatPem("ENCRYPTED PRIVATE KEY", der), 0600);
  CHECK(StrContains(user.Refused({"import", "14289367/9d", locked}), "no unencrypted PKCS#8"));
}

TEST_CASE("Certificates are written, read, self-signed and deleted") {
  KeyUser user;
  const std::string der = user.agent.state.chain.root.certificate.der;
  const std::string pem = pki::FormatPem("CERTIFICATE", der);
  CHECK(StrContains(user.Refused({"cert", "read", "14289367/9c"}), "no certificate"));
  user.Done({"cert", "write", "14289367/9c", user.File("c.pem", pem)});
  CHECK(user.agent.state.written.certificate() == der);
  CHECK(user.Done({"cert", "read", "14289367/9c"}) == pem);
  user.Done({"cert", "read", "14289367/9c", "-o", user.Path("read.pem")});
  CHECK(user.Contents("read.pem") == pem);
  user.Done({"cert", "delete", kSlot});
  CHECK(user.agent.state.deleted.name() == kSlot);
  CHECK(StrContains(user.Done({"cert", "self-sign", "14289367/9c", "--subject", "CN=Signing",
                               "--lifetime", "30d"}),
                    "CN="));
  CHECK(user.agent.state.self_signed.subject() == "CN=Signing");
  CHECK(user.agent.state.self_signed.validity().seconds() == 30 * 86400);
  CHECK(StrContains(user.Refused({"cert", "write", kSlot, user.File("x", "text")}),
                    "holds no certificate"));
}

TEST_CASE("A file is signed by its digest, and the signature is checked") {
  KeyUser user;
  const std::string file = user.File("artifact", "what is signed");
  user.Done({"sign", "14289367/9c", file, "-o", user.Path("artifact.sig")});
  CHECK(user.agent.state.signed_with.name() == kSlot);
  CHECK(user.agent.state.signed_with.digest() ==
        crypto::Digest(crypto::DigestAlgorithm::kSha256, "what is signed"));
  const crypto::PublicKey& key = user.agent.state.keys.at(kSlot).public_key();
  CHECK(RequireOk(key.VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, "what is signed",
                                    user.Contents("artifact.sig"))));

  // By fingerprint or alias, to standard output.
  const std::string raw = user.Done({"sign", key.Fingerprint(), file});
  CHECK(user.agent.state.signed_with.name() == absl::StrCat("keys/", key.Fingerprint()));
  CHECK(RequireOk(key.VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, "what is signed", raw)));
  CHECK(user.Json({"sign", "release", file})["spki"] == base::Base64Encode(key.spki_der()));
  CHECK(user.agent.state.signed_with.name() == "keys/release");

  user.agent.state.wrong_signature = true;
  CHECK(StrContains(user.Refused({"sign", kSlot, file, "-o", user.Path("wrong.sig")}),
                    "the signature does not hold"));
  CHECK_FALSE(base::FileExists(user.Path("wrong.sig")));
  CHECK(StrContains(user.Refused({"sign", "14289367/9a", file}), "there is no"));
  user.agent.state.Find(kSlot)->set_algorithm(pb::ALGORITHM_UNSPECIFIED);
  CHECK(StrContains(user.Refused({"sign", kSlot, file}), "say it by --algorithm"));
  user.Refused({"sign", kSlot, user.Path("nothing")});
}

TEST_CASE("Ed25519 signs the file itself, when it is short") {
  AgentUser user;
  user.agent.state.Put(kSlot, RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEd25519)));
  user.Done({"sign", kSlot, user.File("short", "message")});
  CHECK(user.agent.state.signed_with.digest() == "message");
  CHECK(StrContains(user.Refused({"sign", kSlot, user.File("long", std::string(2049, 'x'))}),
                    "2048"));
}

TEST_CASE("Who signs is told to touch the card when its slot asks for it") {
  KeyUser user;
  const std::string file = user.File("artifact", "what is signed");
  CHECK_FALSE(StrContains(user.Run({"sign", kSlot, file}).err, "ouch"));
  for (const auto policy : {pb::TOUCH_POLICY_ALWAYS, pb::TOUCH_POLICY_CACHED}) {
    user.agent.state.Find(kSlot)->set_touch_policy(policy);
    CHECK(StrContains(user.Run({"sign", kSlot, file}).err, "Touch the card 14289367"));
    CHECK(StrContains(user.Run({"sign", "release", file}).err, "Touch the card 14289367"));
  }
}

TEST_CASE("What was decrypted goes into a file that nobody else can read") {
  KeyUser user;
  const std::string file = user.File("sealed", "ciphertext");
  CHECK(user.Done({"decrypt", kSlot, file}) == "what was encrypted");
  CHECK(user.agent.state.decrypted.encryption() == pb::RSA_ENCRYPTION_OAEP_SHA256);
  CHECK(user.agent.state.decrypted.ciphertext() == "ciphertext");
  user.Done({"decrypt", kSlot, file, "--padding", "pkcs1", "-o", user.Path("plain")});
  CHECK(user.agent.state.decrypted.encryption() == pb::RSA_ENCRYPTION_PKCS1);
  CHECK(user.Contents("plain") == "what was encrypted");
  CHECK(IsPrivate(user.Path("plain")));
}

TEST_CASE("Keys are listed with the slots that they are in") {
  AgentUser user;
  CHECK(StrContains(user.Done({"keys"}), "No keys yet"));
  KeyUser other;
  const std::string out = other.Done({"keys"});
  CHECK(StrContains(out, "14289367/9c"));
  CHECK(StrContains(out, other.agent.state.Find(kSlot)->fingerprint()));
}

TEST_CASE("Sessions of a caller are ended") {
  AgentUser user;
  CHECK(StrContains(user.Done({"session", "revoke", "build"}), "Ended 2 sessions of build"));
  CHECK(user.agent.state.sessions_revoked.caller() == "build");
  CHECK(user.Json({"session", "revoke", "*"})["revoked"] == "2");
}

}  // namespace
}  // namespace countersign::cli
