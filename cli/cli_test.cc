#include "cli/cli.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "cli/test_user.h"
#include "libs/base/file.h"
#include "libs/testing/matchers.h"
#include "nlohmann/json.hpp"

namespace countersign::cli {
namespace {

using nlohmann::json;
using testing::RequireOk;

TEST_CASE("A file is signed, and verified with nothing running") {
  for (const char* algorithm : {"ecdsa-p256-sha256", "ecdsa-p384-sha384", "ed25519"}) {
    CAPTURE(algorithm);
    User user;
    RequireRun(user, {"keys", "create", "release", "--algorithm", algorithm});
    const std::string file = user.File("file", "the contents");
    const std::string empty = user.File("empty", "");
    RequireRun(user, {"sign", file, empty});
    RequireRun(user, {"trust", "export"});
    user.StopSuite();
    for (const std::string& path : {file, empty}) {
      const Result result = user.Run({"verify", path});
      CAPTURE(result.out, result.err);
      CHECK(result.exit_code == 0);
      CHECK(absl::StrContains(result.out, "Verified: " + path));
      CHECK(absl::StrContains(result.out, "tenants/default/keys/release/versions/1"));
      CHECK(absl::StrContains(result.out, "log.example/test, entry 2 in a tree of 6"));
      CHECK(absl::StrContains(result.out, "witness-1.example"));
      CHECK(absl::StrContains(result.out, "2023-11-14 22:13:21 UTC"));
      CHECK(absl::StrContains(result.out, "2 of 3: met"));
      CHECK(absl::StrContains(result.out, path + ".sigstore.json"));
      CHECK(absl::StrContains(result.out, path + ".tlog-proof"));
      CHECK_FALSE(absl::StrContains(result.out, "\x1b"));
    }
  }
}

TEST_CASE("Verification for programs tells every fact and the reason") {
  User user;
  RequireRun(user, {"keys", "create", "release"});
  const std::string file = user.File("file", "the contents");
  const json signed_files = ParsedJson(user.Run({"sign", file, "--json"}).out);
  REQUIRE(signed_files.size() == 1);
  CHECK(signed_files[0]["bundle"] == file + ".sigstore.json");
  CHECK(signed_files[0]["log"]["index"] == 2);
  RequireRun(user, {"trust", "export"});
  user.StopSuite();

  Result result = user.Run({"verify", file, "--json"});
  CHECK(result.exit_code == 0);
  json report = ParsedJson(result.out);
  CHECK(report["verified"] == true);
  REQUIRE(report["proofs"].size() == 2);
  CHECK(report["proofs"][0]["format"] == "sigstore-bundle");
  CHECK(report["proofs"][1]["format"] == "tlog-proof");
  for (const json& proof : report["proofs"]) {
    CHECK(proof["reason"] == "VERIFIED");
    CHECK(proof["signer"]["name"] == "tenants/default/keys/release/versions/1");
    CHECK(proof["log"]["treeSize"] == 6);
    CHECK(proof["witnesses"].size() == 3);
    CHECK(proof["witnesses"][0]["time"] == "2023-11-14T22:13:20Z");
  }

  user.File("file", "other contents");
  result = user.Run({"verify", file, "--json"});
  CHECK(result.exit_code == 1);
  report = ParsedJson(result.out);
  CHECK(report["verified"] == false);
  CHECK(report["proofs"][0]["reason"] == "ARTIFACT_MISMATCH");
}

TEST_CASE("A file that was changed is not verified, and people are told why") {
  User user;
  RequireRun(user, {"keys", "create", "release"});
  const std::string file = user.File("file", "the contents");
  RequireRun(user, {"sign", file});
  RequireRun(user, {"trust", "export"});
  user.File("file", "other contents");
  const Result result = user.Run({"verify", file}, /*color=*/true);
  CHECK(result.exit_code == 1);
  CHECK(absl::StrContains(result.out, "NOT verified: " + file));
  CHECK(absl::StrContains(result.out, "the file is not the one that was signed"));
  CHECK(absl::StrContains(result.out, "ARTIFACT_MISMATCH"));
  CHECK(absl::StrContains(result.out, "\x1b[31m"));
  CHECK_FALSE(absl::StrContains(result.out, "Signed by"));
}

TEST_CASE("One proof is enough, and the one that is named is the one that is read") {
  User user;
  RequireRun(user, {"keys", "create", "release"});
  const std::string file = user.File("file", "the contents");
  const std::string bundle = file + ".b";
  const std::string proof = file + ".p";
  RequireRun(user, {"sign", file, "--bundle", bundle, "--tlog-proof", proof});
  CHECK_FALSE(base::FileExists(file + ".sigstore.json"));
  const std::string trust = file + ".trust";
  RequireRun(user, {"trust", "export", "--out", trust});
  CHECK(user.Run({"verify", file, "--bundle", bundle, "--trust", trust}).exit_code == 0);
  CHECK(user.Run({"verify", file, "--tlog-proof", proof, "--trust", trust}).exit_code == 0);
  const Result none = user.Run({"verify", file, "--trust", trust});
  CHECK(none.exit_code == 2);
  CHECK(absl::StrContains(none.err, "no proof beside"));
}

TEST_CASE("The trust file can hold chosen keys only, and goes to Sigstore and tlog-policy too") {
  User user;
  RequireRun(user, {"keys", "create", "release"});
  RequireRun(user, {"keys", "create", "nightly"});
  RequireRun(user, {"keys", "create", "mailbox", "--algorithm", "hpke-x25519"});
  CHECK(ParsedJson(user.Run({"trust", "export", "--out", "-"}).out)["signers"].size() == 2);
  const std::string sigstore = user.File("root.json", "");
  const std::string policy = user.File("policy", "");
  const Result chosen = user.Run({"trust", "export", "--out", "-", "--key", "nightly", "--sigstore",
                                  sigstore, "--policy", policy, "--json"});
  const json trust = ParsedJson(chosen.out);
  REQUIRE(trust["signers"].size() == 1);
  CHECK(trust["signers"][0]["name"] == "tenants/default/keys/nightly/versions/1");
  CHECK(ParsedJson(RequireOk(base::ReadFile(sigstore)))["tlogs"].size() == 1);
  CHECK(RequireOk(base::ReadFile(policy)) == user.suite().log.PolicyText(2));

  const std::string file = user.File("file", "the contents");
  RequireRun(user, {"sign", file, "--key", "release"});
  const std::string narrow = user.File("narrow.json", chosen.out);
  const Result result = user.Run({"verify", file, "--trust", narrow, "--json"});
  CHECK(result.exit_code == 1);
  CHECK(ParsedJson(result.out)["proofs"][0]["reason"] == "SIGNER_NOT_TRUSTED");
}

TEST_CASE("A disabled version is not exported as trusted, a destroyed one still is") {
  User user;
  for (const char* key : {"good", "suspect", "retired"}) RequireRun(user, {"keys", "create", key});
  RequireRun(user, {"keys", "disable", "suspect", "--version", "1"});
  RequireRun(user, {"keys", "destroy", "retired/versions/1", "--yes"});
  const json trust = ParsedJson(user.Run({"trust", "export", "--out", "-"}).out);
  REQUIRE(trust["signers"].size() == 2);
  CHECK(trust["signers"][0]["name"] == "tenants/default/keys/good/versions/1");
  CHECK(trust["signers"][1]["name"] == "tenants/default/keys/retired/versions/1");
  const json one =
      ParsedJson(user.Run({"trust", "export", "--out", "-", "--key", "good/versions/1"}).out);
  CHECK(one["signers"].size() == 1);
}

TEST_CASE("A signature that is not logged is kept, and not taken for proved") {
  User user;
  RequireRun(user, {"keys", "create", "release"});
  RequireRun(user, {"trust", "export"});
  for (const char* ledger : {"none", "sequenced"}) {
    const std::string file = user.File(ledger, "the contents");
    RequireRun(user, {"sign", file, "--ledger", ledger});
    CHECK_FALSE(base::FileExists(file + ".tlog-proof"));
    const Result result = user.Run({"verify", file, "--json"});
    CHECK(result.exit_code == 1);
    CHECK(ParsedJson(result.out)["proofs"][0]["reason"] == "NOT_IN_LOG");
  }
}

TEST_CASE("A proof from the services that does not hold is not written") {
  User user;
  RequireRun(user, {"keys", "create", "release"});
  user.suite().sign.BreakProofs();
  const std::string file = user.File("file", "the contents");
  const Result result = user.Run({"sign", file});
  CHECK(result.exit_code == 2);
  CHECK(absl::StrContains(result.err, "a proof that does not hold, nothing was written"));
  CHECK_FALSE(base::FileExists(file + ".sigstore.json"));
  CHECK_FALSE(base::FileExists(file + ".tlog-proof"));
}

TEST_CASE("Every error says what was wrong and what to do") {
  User user;
  const std::string file = user.File("file", "the contents");
  const std::string folder = file.substr(0, file.rfind('/'));
  const auto expect = [&](const std::vector<std::string>& arguments, const std::string& message) {
    const Result result = user.Run(arguments);
    CAPTURE(message, result.err, result.out);
    CHECK(result.exit_code == 2);
    CHECK(absl::StrContains(result.err, message));
    CHECK(absl::StartsWith(result.err, "countersign: "));
  };
  expect({"sign", file}, "make one: countersign keys create NAME");
  RequireRun(user, {"keys", "create", "one"});
  RequireRun(user, {"keys", "create", "two"});
  expect({"sign", file}, "choose a key with --key: one, two");
  expect({"sign", file, "--key", "three"}, "there is no key tenants/default/keys/three");
  expect({"sign", file + ".not", "--key", "one"}, file + ".not");
  expect({"sign", folder, "--key", "one"}, "is a folder");
  expect({"sign", file, file, "--key", "one", "--bundle", "x"}, "one file only");
  expect({"sign", file, "--ledger", "soon"}, "--ledger");
  expect({"verify", file, "--trust", file + ".none"}, "no proof beside");
  expect({"verify", file, "--bundle", file, "--trust", file + ".none"}, "countersign trust export");
  expect({"verify", file, "--bundle", file, "--trust", file}, "not valid JSON");
  expect({"keys", "destroy", "one"}, "--version N");
  expect({"keys", "destroy", "one", "--version", "1"}, "confirm with --yes");
  expect({"keys", "create", "x", "--algorithm", "rot13"}, "--algorithm");
  expect({"keys", "create", "x", "--generate"}, "--yubikey");
  expect({"ledger", "append", user.File("big", std::string(65536, 'x'))}, "1 to 65535");
  expect({"ledger", "append", user.File("none", "")}, "1 to 65535");
  expect({"ledger", "proof", "inclusion"}, "--index N or --leaf-hash HEX");
  expect({"bundle", "inspect", file}, "not valid JSON");
  expect({"frobnicate"}, "countersign --help");
  expect({"keys"}, "countersign --help");
  expect({"keys", "list", "--endpoint", "sign"}, "SERVICE=HOST:PORT");
  expect({"keys", "list", "--endpoint", "mint=h:1"}, "there is no service \"mint\"");
  expect({"witness", "info", "--witness", "7"}, "there is no witness 7");
  user.StopSuite();
  expect({"keys", "list"},
         absl::StrCat("no sign service at ", user.address(), "; start one with `countersign up`"));
  const json error = ParsedJson(user.Run({"ledger", "info", "--json"}).out);
  CHECK(error["error"]["code"] == "UNAVAILABLE");
}

TEST_CASE("A destroyed version is destroyed only when it is confirmed") {
  User user;
  RequireRun(user, {"keys", "create", "one"});
  const Result result = user.Run({"keys", "destroy", "one", "--version", "1", "--yes", "--json"});
  CHECK(result.exit_code == 0);
  CHECK(ParsedJson(result.out)["keyVersion"]["state"] == "KEY_VERSION_STATE_DESTROYED");
}

TEST_CASE("A key is made of a card's, which says what it is for, or on a card") {
  User user;
  const Result there = user.Run({"keys", "create", "release", "--yubikey", "cards/7/slots/9c"});
  INFO(there.err);
  CHECK(there.exit_code == 0);
  CHECK(absl::StrContains(there.out, "cards/7/slots/9c"));
  CHECK(absl::StrContains(there.out, "ecdsa-p384-sha384"));
  CHECK(absl::StrContains(user.Run({"keys", "get", "release"}).out, "cards/7/slots/9c"));
  const json made = ParsedJson(
      user.Run({"keys", "create", "made", "--yubikey", "cards/7/slots/9d", "--generate", "--json"})
          .out);
  CHECK(made["key"]["algorithm"] == "ALGORITHM_ECDSA_P256_SHA256");
  CHECK(made["key"]["backend"]["yubikey"]["key"] == "cards/7/slots/9d");
}

TEST_CASE("Keys are listed page after page") {
  User user;
  CHECK(absl::StrContains(user.Run({"keys", "list"}).out, "countersign keys create NAME"));
  for (const char* name : {"a", "b", "c"}) RequireRun(user, {"keys", "create", name});
  CHECK(ParsedJson(user.Run({"keys", "list", "--json"}).out)["keys"].size() == 3);
  const Result result = user.Run({"keys", "get", "b"});
  CHECK(absl::StrContains(result.out, "tenants/default/keys/b"));
  CHECK(absl::StrContains(result.out, "1 *"));
  CHECK(
      ParsedJson(user.Run({"keys", "get", "b", "--json"}).out)["versions"]["keyVersions"].size() ==
      1);
  CHECK(absl::StartsWith(user.Run({"keys", "public-key", "b"}).out, "-----BEGIN PUBLIC KEY-----"));
}

TEST_CASE("A bundle can be looked into without trusting it") {
  User user;
  RequireRun(user, {"keys", "create", "release"});
  const std::string file = user.File("file", "the contents");
  RequireRun(user, {"sign", file});
  const Result text = user.Run({"bundle", "inspect", file + ".sigstore.json"});
  CHECK(text.exit_code == 0);
  CHECK(absl::StrContains(text.out, "nothing is verified here"));
  CHECK(absl::StrContains(text.out, "log.example/test"));
  const json inspected =
      ParsedJson(user.Run({"bundle", "inspect", file + ".sigstore.json", "--json"}).out);
  CHECK(inspected["entries"][0]["body"]["kind"] == "hashedrekord");
}

TEST_CASE("Help and version are no errors") {
  User user;
  CHECK(user.Run({"--help"}).exit_code == 0);
  CHECK(absl::StrContains(user.Run({"sign", "--help"}).out, "--ledger"));
  CHECK(absl::StartsWith(user.Run({"version"}).out, "countersign "));
  CHECK(ParsedJson(user.Run({"version", "--json"}).out).contains("version"));
}

}  // namespace
}  // namespace countersign::cli
