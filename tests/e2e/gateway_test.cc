// Every request of the gateway's README against the real services behind it.
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/http/client.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

using base::Base64Encode;
using Catch::Contains;
using nlohmann::json;
using testing::RequireOk;
using testing::TempDir;

constexpr char kKeys[] = "/tenants/default/keys";
constexpr char kLog[] = "/tenants/default/logs/main";

std::string Sha256(const std::string& message) {
  return crypto::Digest(crypto::DigestAlgorithm::kSha256, message);
}

TEST_CASE("Keys, signatures and encryption by HTTP") {
  TempDir dir;
  const SuiteProcess suite(dir.path() + "/data");
  const auto get = [&](const std::string& path) { return suite.Api(200, "GET", path); };
  const auto post = [&](const std::string& path, const json& body) {
    return suite.Api(200, "POST", path, body);
  };
  const std::string key = absl::StrCat(kKeys, "/k");
  const json created =
      post(kKeys, {{"keyId", "k"},
                   {"key", {{"algorithm", "ALGORITHM_ECDSA_P256_SHA256"}, {"owner", "someone"}}}});
  CHECK(created.at("key").at("name") == "tenants/default/keys/k");
  CHECK(get(kKeys).at("keys").size() == 1);
  CHECK(get(key).at("key") == created.at("key"));
  const json patched =
      suite.Api(200, "PATCH", key, {{"key", {{"owner", "someone else"}}}, {"updateMask", "owner"}});
  CHECK(patched.at("key").at("owner") == "someone else");
  CHECK(get(key).at("key").at("owner") == "someone else");
  CHECK(post(key + ":rotate", json::object()).at("keyVersion").at("name") ==
        "tenants/default/keys/k/versions/2");
  CHECK(get(key + "/versions").at("keyVersions").size() == 2);
  CHECK(get(key + "/versions/1").at("keyVersion").at("spki") ==
        created.at("keyVersion").at("spki"));
  CHECK(get(key + "/publicKey").at("name") == "tenants/default/keys/k/versions/2");
  const json public_key = get(key + "/versions/1/publicKey");
  CHECK(public_key.at("spki") == created.at("keyVersion").at("spki"));

  CHECK(post(key + "/versions/1:disable", json::object()).at("keyVersion").at("state") ==
        "KEY_VERSION_STATE_DISABLED");
  CHECK(suite.Problem(400, "POST", key + "/versions/1:sign", {{"message", ""}}).at("code") ==
        "FAILED_PRECONDITION");
  CHECK(post(key + "/versions/1:enable", json::object()).at("keyVersion").at("state") ==
        "KEY_VERSION_STATE_ENABLED");

  const std::string message = Base64Encode("a message");
  const json by_two = post(key + ":sign", {{"message", message}}).at("signature");
  CHECK(by_two.at("keyVersion") == "tenants/default/keys/k/versions/2");
  const json by_one = post(key + "/versions/1:sign", {{"message", message}}).at("signature");
  CHECK(by_one.at("keyVersion") == "tenants/default/keys/k/versions/1");
  const json items = {
      {"items", {{{"message", message}}, {{"digest", Base64Encode(Sha256("a message"))}}}}};
  CHECK(post(key + ":signBatch", items).at("signatures").size() == 2);
  const json batch = post(key + "/versions/1:signBatch", items).at("signatures");
  REQUIRE(batch.size() == 2);

  const auto check = [&](const json& signature, const std::string& of) {
    return json{{"spki", public_key.at("spki")},
                {"algorithm", "ALGORITHM_ECDSA_P256_SHA256"},
                {"message", Base64Encode(of)},
                {"signature", signature.at("signature")}};
  };
  CHECK(post("/verify/signature", {{"check", check(by_one, "a message")}})
            .at("verdict")
            .at("verified") == true);
  // Another message, another key's signature: answers, not errors.
  const json verdict =
      post("/verify/signature", {{"check", check(by_one, "another")}}).at("verdict");
  CHECK(verdict.value("verified", false) == false);
  CHECK(verdict.at("reason") == "REASON_SIGNATURE_INVALID");
  const json verdicts =
      post("/verify/signatures", {{"checks",
                                   {check(batch[0], "a message"), check(batch[1], "a message"),
                                    check(by_two, "a message")}}})
          .at("results");
  REQUIRE(verdicts.size() == 3);
  CHECK(verdicts[0].at("verdict").at("verified") == true);
  CHECK(verdicts[1].at("verdict").at("verified") == true);
  CHECK(verdicts[2].at("verdict").value("verified", false) == false);

  CHECK(post(key + "/versions/1:destroy", json::object()).at("keyVersion").at("state") ==
        "KEY_VERSION_STATE_DESTROYED");

  const std::string sealer = absl::StrCat(kKeys, "/sealer");
  post(kKeys, {{"keyId", "sealer"}, {"key", {{"algorithm", "ALGORITHM_HPKE_X25519"}}}});
  for (const std::string name : {"", "/versions/1"}) {
    const json sealed = post(sealer + name + ":encrypt", {{"plaintext", message}});
    CHECK(sealed.at("ciphertext") != message);
    json open = {{"enc", sealed.at("enc")}, {"ciphertext", sealed.at("ciphertext")}};
    CHECK(post(sealer + "/versions/1:decrypt", open).at("plaintext") == message);
    open["aad"] = Base64Encode("other");
    CHECK(suite.Problem(400, "POST", sealer + "/versions/1:decrypt", open).at("code") ==
          "INVALID_ARGUMENT");
  }
}

TEST_CASE("The log and proofs of signatures by HTTP") {
  TempDir dir;
  const SuiteProcess suite(dir.path() + "/data");
  const auto get = [&](const std::string& path) { return suite.Api(200, "GET", path); };
  const auto post = [&](const std::string& path, const json& body) {
    return suite.Api(200, "POST", path, body);
  };
  CHECK(get("/health").at("status") == "SERVING");
  CHECK(get("/tenants/default/logs").at("logs").size() == 1);
  CHECK(get(kLog).at("log").at("vkey") == suite.Address("log_vkey"));
  CHECK(get(kLog).at("log").at("witnesses").size() == 3);

  const json first = post(absl::StrCat(kLog, "/entries"), {{"entry", Base64Encode("entry 0")}});
  const std::string leaf_hash = first.at("entry").at("leafHash").get<std::string>();
  const json batch = post(absl::StrCat(kLog, "/entries:batchAppend"),
                          {{"entries", {Base64Encode("entry 1"), Base64Encode("entry 2")}},
                           {"wait", "WAIT_LEVEL_COSIGNED"}});
  REQUIRE(batch.at("entries").size() == 2);
  CHECK(batch.at("entries")[1].at("index") == "2");
  const json entries = get(absl::StrCat(kLog, "/entries?startIndex=1&pageSize=2")).at("entries");
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].at("data") == Base64Encode("entry 1"));
  CHECK(get(absl::StrCat(kLog, "/entries/2")).at("entry") == entries[1]);

  const json by_index = get(absl::StrCat(kLog, "/inclusionProof?index=0")).at("proof");
  CHECK(by_index.at("treeSize") == "3");
  CHECK(by_index.at("hashes").size() == 2);
  std::string in_query;
  for (const char c : leaf_hash) {
    in_query += c == '+' ? "%2B" : c == '/' ? "%2F" : c == '=' ? "%3D" : std::string(1, c);
  }
  CHECK(get(absl::StrCat(kLog, "/inclusionProof?leafHash=", in_query)).at("proof") == by_index);
  CHECK(post(absl::StrCat(kLog, "/inclusionProofs:batchGet"), {{"leafHashes", {leaf_hash}}})
            .at("proofs")
            .at(0) == by_index);
  const json consistency =
      get(absl::StrCat(kLog, "/consistencyProof?firstSize=1&secondSize=3")).at("proof");
  CHECK(consistency.at("hashes").size() == 2);
  CHECK(post(absl::StrCat(kLog, "/consistencyProofs:batchGet"),
             {{"pairs", {{{"firstSize", "1"}, {"secondSize", "3"}}}}})
            .at("proofs")
            .at(0) == consistency);
  CHECK(get(absl::StrCat(kLog, "/checkpoint")).at("treeSize") == "3");

  // Bundle and proof as the command line wrote them.
  const std::string file = dir.path() + "/file";
  RequireOk(base::WriteFileAtomically(file, "contents"));
  REQUIRE(suite.Run({"keys", "create", "k"}).exit_code == 0);
  REQUIRE(suite.Run({"sign", file}).exit_code == 0);
  REQUIRE(suite.Run({"trust", "export"}).exit_code == 0);
  const std::string trust = Base64Encode(RequireOk(base::ReadFile(suite.data() + "/trust.json")));
  for (const auto& [route, field, suffix] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {"/verify/bundle", "bundle", ".sigstore.json"},
           {"/verify/tlogProof", "proof", ".tlog-proof"}}) {
    json request = {{field, Base64Encode(RequireOk(base::ReadFile(file + suffix)))},
                    {"artifact", Base64Encode("contents")},
                    {"trustFile", trust}};
    const json verdict = post(route, request).at("verdict");
    INFO(verdict.dump());
    CHECK(verdict.at("verified") == true);
    CHECK(verdict.at("signerName") == "tenants/default/keys/k/versions/1");
    CHECK(verdict.at("witnesses").size() >= 2);
    request["artifact"] = Base64Encode("tampered");
    const json tampered = post(route, request).at("verdict");
    CHECK(tampered.value("verified", false) == false);
    CHECK(tampered.at("reason") == "REASON_ARTIFACT_MISMATCH");
    // The service's own trust file has the log and the witnesses, but no signers.
    request.erase("trustFile");
    CHECK(post(route, request).at("verdict").value("verified", false) == false);
  }
}

TEST_CASE("Errors by HTTP are problems with the right status") {
  TempDir dir;
  const SuiteProcess suite(dir.path() + "/data");
  suite.Problem(404, "GET", "/nothing");
  suite.Problem(405, "DELETE", "/health");
  CHECK(suite.Request("DELETE", "/api/v1/health").headers.Has("Allow"));
  CHECK(suite.Problem(404, "GET", absl::StrCat(kKeys, "/nobody")).at("code") == "NOT_FOUND");
  CHECK(suite.Problem(404, "GET", "/tenants/default/logs/other").at("code") == "NOT_FOUND");
  CHECK(suite.Problem(400, "POST", kKeys, {{"keyId", "Not A Name"}}).at("code") ==
        "INVALID_ARGUMENT");
  CHECK(suite.Problem(400, "POST", kKeys, {{"noSuchField", 1}}).at("code") == "INVALID_ARGUMENT");
  CHECK(suite.Problem(400, "POST", absl::StrCat(kKeys, "/k:sign"), json::array()).at("code") ==
        "INVALID_ARGUMENT");
  CHECK(suite.Problem(404, "GET", absl::StrCat(kLog, "/entries/7")).at("detail") != "");
  suite.Problem(400, "GET", absl::StrCat(kLog, "/consistencyProof?firstSize=2&secondSize=1"));
  suite.Problem(400, "GET", absl::StrCat(kLog, "/entries?pageSize=many"));
  suite.Problem(400, "POST", "/verify/signature", {{"check", {{"spki", "AAAA"}}}});
  suite.Problem(413, "POST", absl::StrCat(kLog, "/entries"),
                {{"entry", std::string(5 << 20, 'A')}});

  const http::Response malformed = suite.Request("POST", std::string("/api/v1") + kKeys, "{");
  CHECK(malformed.status == 400);
  CHECK(malformed.headers.Get("Content-Type") == "application/problem+json");
  http::Client client;
  const http::Response text =
      RequireOk(client.Post(absl::StrCat("http://", suite.Address("gateway"), "/api/v1", kKeys),
                            "text/plain", "{}", absl::Seconds(30)));
  CHECK(text.status == 415);
  CHECK(text.headers.Get("Content-Type") == "application/problem+json");
}

TEST_CASE("Checkpoint, tiles and the witness protocol pass through byte by byte") {
  TempDir dir;
  const SuiteProcess suite(dir.path() + "/data");
  json entries = json::array();
  for (int i = 0; i < 300; ++i) entries.push_back(Base64Encode(absl::StrCat("entry ", i)));
  suite.Api(200, "POST", absl::StrCat(kLog, "/entries:batchAppend"),
            {{"entries", entries}, {"wait", "WAIT_LEVEL_COSIGNED"}});
  // A quorum was waited for; this is about all three.
  REQUIRE(testing::Eventually([&] {
    for (const json& witness : suite.Api(200, "GET", kLog).at("log").at("witnesses")) {
      if (witness.value("cosignedSize", "0") != "300") return false;
    }
    return true;
  }));
  const std::string gateway = "http://" + suite.Address("gateway");
  const std::string ledger = "http://" + suite.Address("ledger_http");
  http::Client client;
  const auto same = [&](const http::Response& passed, const http::Response& direct, int status) {
    INFO(std::string(passed.body_view()));
    CHECK(passed.status == status);
    CHECK(direct.status == status);
    CHECK((passed.body_view() == direct.body_view()));
    for (const char* field : {"Content-Type", "Content-Encoding", "Cache-Control", "ETag"}) {
      if (status == 200) CHECK(passed.headers.Get(field) == direct.headers.Get(field));
    }
  };
  const auto get = [&](const std::string& url) {
    return RequireOk(client.Get(url, absl::Seconds(30)));
  };
  for (const std::string path :
       {"/checkpoint", "/tile/0/000", "/tile/0/001.p/44", "/tile/1/000.p/1", "/tile/entries/000",
        "/tile/entries/001.p/44"}) {
    INFO(path);
    same(get(gateway + path), get(ledger + path), 200);
  }
  for (const std::string path : {"/tile/0/002", "/tile/0/001.p/45", "/tile/entries/002.p/1"}) {
    INFO(path);
    same(get(gateway + path), get(ledger + path), 404);
  }

  const std::string checkpoint(get(gateway + "/checkpoint").body_view());
  const std::string origin = checkpoint.substr(0, checkpoint.find('\n'));
  const std::string latest = absl::StrCat("/", base::HexEncode(Sha256(origin)), "/checkpoint");
  int number = 0;
  for (const json& witness : suite.endpoints().at("witnesses")) {
    ++number;
    const std::string name = witness.at("name").get<std::string>();
    const std::string direct = "http://" + witness.at("http").get<std::string>();
    const auto post = [&](const std::string& url, const std::string& body) {
      return RequireOk(client.Post(url + "/add-checkpoint", "text/plain", body, absl::Seconds(30)));
    };
    for (const std::string& known : {name, absl::StrCat(number)}) {
      INFO(known);
      const std::string passed = gateway + "/witness/" + known;
      // A conflict, whose body is the size; a body that is none; a checkpoint nobody signed.
      const std::string conflict = "old 1\n\n" + checkpoint;
      same(post(passed, conflict), post(direct, conflict), 409);
      CHECK(post(passed, conflict).headers.Get("Content-Type") == "text/x.tlog.size");
      CHECK(post(passed, conflict).body_view() == "300\n");
      same(post(passed, "garbage"), post(direct, "garbage"), 400);
      const std::string unsigned_note =
          "old 300\n\n" + checkpoint.substr(0, checkpoint.find("\n\n") + 2);
      same(post(passed, unsigned_note), post(direct, unsigned_note), 400);
      const http::Response cosigned = post(passed, "old 300\n\n" + checkpoint);
      CHECK(cosigned.status == 200);
      CHECK_THAT(std::string(cosigned.body_view()),
                 Catch::StartsWith(absl::StrCat("\xe2\x80\x94 localhost/", name, " ")));
    }
    same(get(gateway + "/witness/" + name + latest), get(direct + latest), 200);
  }
  CHECK(get(gateway + "/witness/9" + latest).status == 404);
}

}  // namespace
}  // namespace countersign::e2e
