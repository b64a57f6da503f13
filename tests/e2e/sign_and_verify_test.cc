// Sign, stop everything, verify: with files of every size, and with every reason not to believe.
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "catch2/catch.hpp"
#include "libs/base/file.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

using Catch::Contains;
using nlohmann::json;
using testing::RequireOk;
using testing::TempDir;

void Write(const std::string& path, const std::string& contents) {
  RequireOk(base::WriteFileAtomically(path, contents));
}

// Runs a command that has to succeed.
std::string MustRun(const std::string& data, const std::vector<std::string>& args) {
  const CommandResult result = Countersign(data, args);
  INFO(result.output);
  REQUIRE(result.exit_code == 0);
  return result.output;
}

TEST_CASE("What every algorithm signs is verified with nothing running") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  const std::vector<std::string> algorithms = {"ed25519",
                                               "ecdsa-p256-sha256",
                                               "ecdsa-p384-sha384",
                                               "rsa-pss-2048-sha256",
                                               "rsa-pss-3072-sha256",
                                               "rsa-pss-4096-sha256",
                                               "rsa-pkcs1-2048-sha256",
                                               "rsa-pkcs1-3072-sha256",
                                               "rsa-pkcs1-4096-sha256"};
  {
    SuiteProcess suite(data);
    for (const std::string& algorithm : algorithms) {
      const std::string empty = absl::StrCat(dir.path(), "/", algorithm, ".empty");
      const std::string byte = absl::StrCat(dir.path(), "/", algorithm, ".byte");
      Write(empty, "");
      Write(byte, "a");
      MustRun(data, {"keys", "create", algorithm, "--algorithm", algorithm, "--owner", "tests"});
      MustRun(data, {"sign", empty, byte, "--key", algorithm});
    }
    MustRun(data, {"keys", "create", "sealer", "--algorithm", "hpke-x25519"});
    const CommandResult sealer =
        suite.Run({"sign", dir.path() + "/ed25519.byte", "--key", "sealer"});
    CHECK(sealer.exit_code == 2);
    CHECK_THAT(sealer.output, Contains("encrypts and does not sign"));
    MustRun(data, {"trust", "export"});
    CHECK(suite.process().Stop() == 0);
  }
  for (const std::string& algorithm : algorithms) {
    INFO(algorithm);
    const std::string file = absl::StrCat(dir.path(), "/", algorithm);
    CHECK_THAT(MustRun(data, {"verify", file + ".empty"}), Contains("Verified"));
    const json report = json::parse(MustRun(data, {"--json", "verify", file + ".byte"}));
    REQUIRE(report.at("proofs").size() == 2);
    for (const json& proof : report.at("proofs")) {
      CHECK(proof.at("verified") == true);
      // With the log, an Ed25519 key signs a digest.
      CHECK(proof.at("algorithm") == (algorithm == "ed25519" ? "ed25519ph" : algorithm));
      CHECK(proof.at("signer").at("name") ==
            absl::StrCat("tenants/default/keys/", algorithm, "/versions/1"));
      CHECK(proof.at("witnesses").size() >= 2);
    }
    // One byte more, and one byte changed.
    Write(file + ".empty", "a");
    Write(file + ".byte", "b");
    for (const std::string suffix : {".empty", ".byte"}) {
      const CommandResult tampered = Countersign(data, {"verify", file + suffix});
      CHECK(tampered.exit_code == 1);
      CHECK_THAT(tampered.output, Contains("NOT verified") &&
                                      Contains("not the one that was signed") &&
                                      Contains("ARTIFACT_MISMATCH"));
    }
  }
}

TEST_CASE("A file of three gigabytes is signed and verified in little memory") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  const std::string file = dir.path() + "/large";
  Write(file, "not all zero");
  REQUIRE(truncate(file.c_str(), off_t{3} << 30) == 0);
  {
    SuiteProcess suite(data);
    MustRun(data, {"keys", "create", "k"});
    MustRun(data, {"sign", file});
    MustRun(data, {"trust", "export"});
    CHECK(suite.process().Stop() == 0);
  }
  CHECK_THAT(MustRun(data, {"verify", file}), Contains("Verified"));
  rusage children{};
  REQUIRE(getrusage(RUSAGE_CHILDREN, &children) == 0);
  CHECK(children.ru_maxrss < 200 * 1024);  // in KiB: the largest of all commands and the suite
}

TEST_CASE("What cannot be decided says why and what to do, with exit code 2") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  const std::string file = dir.path() + "/file";
  Write(file, "contents");
  const std::string missing = dir.path() + "/missing";
  const auto refused = [&](const std::vector<std::string>& args,
                           const std::vector<std::string>& words) {
    const CommandResult result = Countersign(data, args);
    CHECK(result.exit_code == 2);
    CHECK(PlainLines(result.output).size() == 1);
    for (const std::string& word : words) CHECK_THAT(result.output, Contains(word));
    std::vector<std::string> as_json = args;
    as_json.insert(as_json.begin(), "--json");
    const CommandResult machine = Countersign(data, as_json);
    CHECK(machine.exit_code == 2);
    // Beside the JSON on standard output, the line for people is on standard error.
    const std::string object = machine.output.substr(0, machine.output.rfind('}') + 1);
    const json error = json::parse(object.substr(object.find('{'))).at("error");
    for (const std::string& word : words) {
      CHECK_THAT(error.at("message").get<std::string>(), Contains(word));
    }
  };
  {
    SuiteProcess suite(data);
    MustRun(data, {"keys", "create", "k"});
    MustRun(data, {"sign", file});
    MustRun(data, {"trust", "export"});
    refused({"sign", missing}, {missing, "No such file"});
    refused({"sign", dir.path()}, {dir.path(), "is a folder"});
    refused({"sign", file, "--key", "nobody"}, {"no key", "nobody", "keys list"});
    CHECK(suite.process().Stop() == 0);
  }
  MustRun(data, {"verify", file});
  refused({"sign", file, "--key", "k"}, {"sign", "countersign up"});
  refused({"verify", missing}, {"no proof beside", missing, "--bundle"});
  refused({"verify", missing, "--bundle", file + ".sigstore.json"}, {missing, "No such file"});
  refused({"verify", dir.path(), "--bundle", file + ".sigstore.json"}, {"is a folder"});
  refused({"verify", file, "--bundle", missing}, {missing, "No such file"});
  refused({"verify", file, "--trust", missing}, {missing, "trust export"});
  refused({"verify", file, "--trust", file}, {file, "not valid JSON"});
  const std::string trust = RequireOk(base::ReadFile(data + "/trust.json"));
  Write(dir.path() + "/half", trust.substr(0, trust.size() / 2));
  refused({"verify", file, "--trust", dir.path() + "/half"}, {"half", "JSON"});
  Write(dir.path() + "/quorumless", absl::StrReplaceAll(trust, {{"quorum majority", "quorum x"}}));
  refused({"verify", file, "--trust", dir.path() + "/quorumless"}, {"quorumless", "quorum"});

  // A proof that is not one does not prove anything, which is a decision.
  Write(dir.path() + "/garbage", "garbage");
  const CommandResult garbage =
      Countersign(data, {"verify", file, "--bundle", dir.path() + "/garbage"});
  CHECK(garbage.exit_code == 1);
  CHECK_THAT(garbage.output, Contains("MALFORMED") && Contains("cannot be read"));
}

TEST_CASE("A trust file with other keys of witnesses, log or signer does not verify") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  const std::string file = dir.path() + "/file";
  Write(file, "contents");
  std::string log_vkey;
  std::vector<std::string> witness_vkeys;
  {
    SuiteProcess suite(data);
    MustRun(data, {"keys", "create", "k"});
    MustRun(data, {"trust", "export"});
    // A signature waits for a quorum; this one is to have all three cosignatures.
    REQUIRE(testing::Eventually([&] {
      MustRun(data, {"sign", file});
      const json report = json::parse(MustRun(data, {"--json", "verify", file}));
      return report.at("proofs").at(0).at("witnesses").size() == 3;
    }));
    log_vkey = suite.Address("log_vkey");
    for (const json& witness : suite.endpoints().at("witnesses")) {
      witness_vkeys.push_back(witness.at("vkey").get<std::string>());
    }
    CHECK(suite.process().Stop() == 0);
  }
  MustRun(data, {"verify", file});
  const std::string trust = RequireOk(base::ReadFile(data + "/trust.json"));
  const auto verify_with = [&](const std::string& other_trust) {
    REQUIRE(other_trust != trust);
    Write(dir.path() + "/other", other_trust);
    return Countersign(data, {"verify", file, "--trust", dir.path() + "/other"});
  };
  // New keys with the same names.
  const auto new_vkey = [&](const std::string& service, const std::string& vkey) {
    const std::string folder = absl::StrCat(dir.path(), "/", service, "-of-others");
    const std::string name = vkey.substr(0, vkey.find('+'));
    const CommandResult made = RunService(
        service,
        {"--init", "--data=" + folder, (service == "ledger" ? "--origin=" : "--name=") + name});
    INFO(made.output);
    REQUIRE(made.exit_code == 0);
    const std::string line =
        RequireOk(base::ReadFile(folder + (service == "ledger" ? "/log.vkey" : "/witness.vkey")));
    std::filesystem::remove_all(folder);
    return std::string(absl::StripSuffix(line, "\n"));
  };

  // One of three witnesses may be unknown, a second not.
  std::string other =
      absl::StrReplaceAll(trust, {{witness_vkeys[0], new_vkey("witness", witness_vkeys[0])}});
  const CommandResult one = verify_with(other);
  INFO(one.output);
  CHECK(one.exit_code == 0);
  other = absl::StrReplaceAll(other, {{witness_vkeys[1], new_vkey("witness", witness_vkeys[1])}});
  const CommandResult two = verify_with(other);
  CHECK(two.exit_code == 1);
  CHECK_THAT(two.output, Contains("QUORUM_NOT_MET") && Contains("quorum"));

  const CommandResult log =
      verify_with(absl::StrReplaceAll(trust, {{log_vkey, new_vkey("ledger", log_vkey)}}));
  CHECK(log.exit_code == 1);
  CHECK_THAT(log.output, Contains("Reason      ") && Contains("log"));

  json nobody = json::parse(trust);
  {
    SuiteProcess suite(dir.path() + "/other-data", {"--witnesses", "0"});
    MustRun(suite.data(), {"keys", "create", "k"});
    MustRun(suite.data(), {"trust", "export"});
    nobody["signers"] =
        json::parse(RequireOk(base::ReadFile(suite.data() + "/trust.json"))).at("signers");
    CHECK(suite.process().Stop() == 0);
  }
  const CommandResult signer = verify_with(nobody.dump());
  CHECK(signer.exit_code == 1);
  CHECK_THAT(signer.output, Contains("SIGNER_NOT_TRUSTED"));
}

TEST_CASE("Signatures of a key's earlier versions still verify after it was rotated") {
  TempDir dir;
  const std::string data = dir.path() + "/data";
  const std::string before = dir.path() + "/before";
  const std::string after = dir.path() + "/after";
  Write(before, "signed by version 1");
  Write(after, "signed by version 2");
  {
    SuiteProcess suite(data);
    MustRun(data, {"keys", "create", "k"});
    MustRun(data, {"sign", before});
    MustRun(data, {"trust", "export"});
    MustRun(data, {"keys", "rotate", "k"});
    MustRun(data, {"sign", after});
    // The trust file of before does not know the new version.
    const CommandResult too_new = suite.Run({"verify", after});
    CHECK(too_new.exit_code == 1);
    CHECK_THAT(too_new.output, Contains("SIGNER_NOT_TRUSTED"));
    MustRun(data, {"trust", "export"});
    CHECK(suite.process().Stop() == 0);
  }
  CHECK_THAT(MustRun(data, {"verify", before}), Contains("k/versions/1"));
  CHECK_THAT(MustRun(data, {"verify", after}), Contains("k/versions/2"));
}

}  // namespace
}  // namespace countersign::e2e
