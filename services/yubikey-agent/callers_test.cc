#include "services/yubikey-agent/callers.h"

#include <sys/stat.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/piv/test_attestation.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"

namespace countersign::yubikey {
namespace {

using countersign::testing::IsOk;
using countersign::testing::RequireOk;
using countersign::testing::StatusIs;
using countersign::testing::TempDir;

std::shared_ptr<const Scope> EveryScope() {
  auto scope = std::make_shared<Scope>();
  scope->operations = AllOperations();
  scope->names = {"*"};
  return scope;
}

std::string Hash(absl::string_view key) { return std::string(base::AsBytes(crypto::Sha256(key))); }

Caller WithApiKey(const std::string& name, absl::string_view key) {
  return {.name = name, .api_key_hash = Hash(key), .scope = EveryScope()};
}

crypto::PrivateKey NewKey(crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm));
}

// A file of callers, and whom the registry said it lost.
struct Fixture {
  TempDir dir;
  std::string path = dir.path() + "/callers.json";
  std::vector<std::string> lost;
  std::vector<std::string> roots;
  std::string served;  // fingerprint of the key that the agent has on a card

  void Write(const std::vector<Caller>& callers) {
    REQUIRE_THAT(base::WriteFileDurably(path, FormatCallers(callers), 0600), IsOk());
  }
  std::unique_ptr<Callers> Open() {
    return RequireOk(Callers::Open(
        {.path = path,
         .attestation_roots = roots,
         .is_served = [this](const std::string& fingerprint) { return fingerprint == served; },
         .on_lost = [this](const std::string& name) { lost.push_back(name); }}));
  }
};

constexpr char kGood[] = R"({"version": 1, "callers": [{"name": "build",
  "api_key_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  "operations": ["sign", "use-sub-key"], "names": ["cards/7", "keys/release"],
  "max_lifetime_seconds": 600}]})";

TEST_CASE("the file says who may do what") {
  const std::vector<Caller> callers = RequireOk(ParseCallers(kGood));
  REQUIRE(callers.size() == 1);
  CHECK(callers[0].name == "build");
  CHECK(callers[0].api_key_hash == Hash("test"));
  CHECK(callers[0].scope->operations == ((1u << static_cast<int>(Operation::kSign)) |
                                         (1u << static_cast<int>(Operation::kUseSubKey))));
  CHECK(callers[0].scope->names == std::vector<std::string>{"cards/7", "keys/release"});
  CHECK(callers[0].max_lifetime == absl::Minutes(10));
}

TEST_CASE("what is written reads the same") {
  std::vector<Caller> callers = {WithApiKey("a", "1"), WithApiKey("b", "2")};
  callers[0].key = NewKey(crypto::Algorithm::kEd25519).public_key();
  callers[1].card_serial = 4294967295;
  auto scope = std::make_shared<Scope>();
  scope->operations = 1u << static_cast<int>(Operation::kWriteCertificate);
  scope->names = {"cards/1", "subKeys/x", "tenants/t/authorities/a"};
  callers[1].scope = scope;
  callers[1].max_lifetime = absl::Hours(24);
  const std::string text = FormatCallers(callers);
  const std::vector<Caller> again = RequireOk(ParseCallers(text));
  REQUIRE(again.size() == 2);
  CHECK(again[0].SameProofs(callers[0]));
  CHECK(again[1].SameProofs(callers[1]));
  CHECK(again[1].scope->names == scope->names);
  CHECK(again[1].max_lifetime == absl::Hours(24));
  CHECK(FormatCallers(again) == text);
}

TEST_CASE("a file that is not of the format is refused, saying why") {
  const auto with = [](absl::string_view from, absl::string_view to) {
    std::string text = absl::StrReplaceAll(kGood, {{from, to}});
    REQUIRE(text != kGood);
    return ParseCallers(text).status();
  };
  const auto code = absl::StatusCode::kInvalidArgument;
  CHECK_THAT(ParseCallers(""), StatusIs(code, "not JSON"));
  CHECK_THAT(ParseCallers("[]"), StatusIs(code, "version"));
  CHECK_THAT(with("\"version\": 1", "\"version\": 2"), StatusIs(code, "version"));
  CHECK_THAT(with("\"version\": 1", "\"version\": 1, \"version\": 1"), StatusIs(code, "twice"));
  CHECK_THAT(with("\"version\": 1", "\"version\": 1, \"other\": 1"),
             StatusIs(code, "other members"));
  CHECK_THAT(with("\"build\"", "\"\""), StatusIs(code, "name"));
  CHECK_THAT(with("\"build\"", "\"a b\""), StatusIs(code, "name"));
  CHECK_THAT(with("\"build\"", "\"*\""), StatusIs(code, "name"));
  CHECK_THAT(with("9f86", "9f8"), StatusIs(code, "api_key_sha256"));
  CHECK_THAT(with("api_key_sha256", "api_key"), StatusIs(code, "\"api_key\" is not known"));
  CHECK_THAT(with("\"sign\"", "\"sing\""), StatusIs(code, "sing"));
  CHECK_THAT(with("\"sign\", \"use-sub-key\"", ""), StatusIs(code, "operations"));
  CHECK_THAT(with("\"sign\"", "1"), StatusIs(code, "operations"));
  CHECK_THAT(with("\"cards/7\"", "\"card/7\""), StatusIs(code, "names"));
  CHECK_THAT(with("\"cards/7\", \"keys/release\"", ""), StatusIs(code, "names"));
  CHECK_THAT(with("600", "0"), StatusIs(code, "max_lifetime_seconds"));
  CHECK_THAT(with("600", "86401"), StatusIs(code, "max_lifetime_seconds"));
  CHECK_THAT(with("600", "-1"), StatusIs(code, "max_lifetime_seconds"));
  CHECK_THAT(with("600", "6e2"), StatusIs(code, "max_lifetime_seconds"));
  CHECK_THAT(with("\"max_lifetime_seconds\": 600", "\"card_serial\": 0"),
             StatusIs(code, "card_serial"));
  CHECK_THAT(with("\"max_lifetime_seconds\": 600", "\"public_key\": \"x\""),
             StatusIs(code, "public_key"));
  CHECK_THAT(with("\"max_lifetime_seconds\": 600", "\"names\": [\"*\"]"), StatusIs(code, "twice"));
  Caller caller = WithApiKey("a", "1");
  CHECK_THAT(ParseCallers(FormatCallers({caller, caller})), StatusIs(code, "twice"));
  caller.api_key_hash.clear();
  CHECK_THAT(ParseCallers(FormatCallers({caller})), StatusIs(code, "no proof"));
  caller.key = NewKey(crypto::Algorithm::kHpkeX25519).public_key();
  CHECK_THAT(ParseCallers(FormatCallers({caller})), StatusIs(code, "X25519"));
}

TEST_CASE("callers are added to the file, for its owner's eyes, and never over one another") {
  Fixture f;
  const NewApiKey made = MakeApiKey();
  CHECK(made.key.size() == 43);
  const std::string key(made.key.Expose(crypto::SecretAccess::Grant()));
  Caller caller = WithApiKey("admin", key);
  CHECK(caller.api_key_hash == made.hash);
  REQUIRE_THAT(AddCaller(f.path, caller), IsOk());
  REQUIRE_THAT(AddCaller(f.path, WithApiKey("build", "2")), IsOk());
  CHECK_THAT(AddCaller(f.path, WithApiKey("admin", "3")),
             StatusIs(absl::StatusCode::kAlreadyExists, "admin"));
  caller.name = "no proof";
  CHECK_THAT(AddCaller(f.path, caller), StatusIs(absl::StatusCode::kInvalidArgument));
  struct stat info;
  REQUIRE(stat(f.path.c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0600);
  CHECK(RequireOk(base::ReadFile(f.path)).find(key) == std::string::npos);
  CHECK_THAT(f.Open()->VerifyApiKey("admin", key), IsOk());
}

TEST_CASE("an API key proves its caller, and a failure never says what was wrong") {
  Fixture f;
  Caller signs = WithApiKey("signs", "");
  signs.api_key_hash.clear();
  signs.key = NewKey().public_key();
  f.Write({WithApiKey("build", "secret"), signs});
  const auto callers = f.Open();
  CHECK(RequireOk(callers->VerifyApiKey("build", "secret"))->name == "build");
  const absl::Status wrong = callers->VerifyApiKey("build", "secreT").status();
  CHECK_THAT(wrong, StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK(callers->VerifyApiKey("nobody", "secret").status() == wrong);
  CHECK(callers->VerifyApiKey("signs", "").status() == wrong);
  CHECK(callers->VerifySignature("build", "message", "signature", {}).status() == wrong);
  CHECK(callers->VerifySignature("nobody", "message", "signature", {}).status() == wrong);
}

TEST_CASE("a signature by a registered key of each type proves its caller") {
  Fixture f;
  for (const crypto::Algorithm algorithm :
       {crypto::Algorithm::kEd25519, crypto::Algorithm::kEcdsaP256Sha256,
        crypto::Algorithm::kEcdsaP384Sha384, crypto::Algorithm::kRsaPkcs1_2048Sha256}) {
    const crypto::PrivateKey key = NewKey(algorithm);
    Caller caller = WithApiKey("build", "1");
    caller.key = key.public_key();
    f.Write({caller});
    const auto callers = f.Open();
    const std::string signature = RequireOk(key.SignMessage("message"));
    CHECK_THAT(callers->VerifySignature("build", "message", signature, {}), IsOk());
    CHECK_THAT(callers->VerifySignature("build", "massage", signature, {}),
               StatusIs(absl::StatusCode::kUnauthenticated));
    // It is what an unknown caller's signature is checked against, and still proves nothing.
    CHECK_THAT(callers->VerifySignature("nobody", "message", signature, {}),
               StatusIs(absl::StatusCode::kUnauthenticated));
  }
}

TEST_CASE("a caller registered by its card signs with any key that the card attests") {
  Fixture f;
  const crypto::PrivateKey key = NewKey();
  piv::Attestation facts = piv::TestFacts(key.public_key());
  facts.serial = 14289367;
  const piv::TestChain chain = piv::MakeTestChain(facts);
  const piv::TestChain forged = piv::MakeTestChain(facts);
  facts.serial = 14289368;
  const std::string others = piv::MakeAttestation(chain.card, facts);
  f.roots = {chain.root.certificate.der};
  Caller caller = WithApiKey("card", "1");
  caller.card_serial = 14289367;
  f.Write({caller, WithApiKey("build", "2")});
  const auto callers = f.Open();
  const std::string signature = RequireOk(key.SignMessage("message"));
  const std::string card = chain.card.certificate.der;

  const auto verify = [&](absl::string_view name, std::vector<std::string> attestation,
                          absl::string_view message = "message") {
    return callers->VerifySignature(name, message, signature, attestation).status();
  };
  CHECK_THAT(verify("card", {chain.attestation, card}), IsOk());
  const absl::Status refused = Callers::Refused();
  CHECK(verify("build", {chain.attestation, card}) == refused);
  CHECK(verify("nobody", {chain.attestation, card}) == refused);
  CHECK(verify("card", {chain.attestation, card}, "massage") == refused);
  CHECK(verify("card", {chain.attestation}) == refused);
  CHECK(verify("card", {others, card}) == refused);
  CHECK(verify("card", {forged.attestation, forged.card.certificate.der}) == refused);
  CHECK(verify("card", {card, card}) == refused);
  CHECK(verify("card", {}) == refused);
  CHECK(verify("card", std::vector<std::string>(9, chain.attestation)) == refused);
  // Whoever may sign by a card of the agent's would be the caller.
  f.served = key.public_key().Fingerprint();
  CHECK(verify("card", {chain.attestation, card}) == refused);
}

TEST_CASE("a change of the file takes effect, and who has less than before is lost") {
  Fixture f;
  std::vector<Caller> list = {WithApiKey("gone", "1"),     WithApiKey("rekeyed", "2"),
                              WithApiKey("narrowed", "3"), WithApiKey("shortened", "4"),
                              WithApiKey("same", "5"),     WithApiKey("widened", "6")};
  auto narrow = std::make_shared<Scope>(*EveryScope());
  narrow->names = {"cards/7"};
  list[5].scope = narrow;
  f.Write(list);
  const auto callers = f.Open();
  const auto rekeyed = RequireOk(callers->VerifyApiKey("rekeyed", "2"));
  const auto same = RequireOk(callers->VerifyApiKey("same", "5"));
  CHECK_THAT(callers->Refresh(), IsOk());
  CHECK(f.lost.empty());

  list.erase(list.begin());
  list[0].api_key_hash = Hash("new");
  list[1].scope = narrow;
  list[2].max_lifetime = absl::Hours(1);
  list[4].scope = EveryScope();
  f.Write(list);
  CHECK_THAT(callers->Refresh(), IsOk());
  std::sort(f.lost.begin(), f.lost.end());
  CHECK(f.lost == std::vector<std::string>{"gone", "narrowed", "rekeyed", "shortened"});
  CHECK_THAT(callers->VerifyApiKey("gone", "1"), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK_THAT(callers->VerifyApiKey("rekeyed", "2"), StatusIs(absl::StatusCode::kUnauthenticated));
  CHECK_THAT(callers->VerifyApiKey("rekeyed", "new"), IsOk());
  CHECK_FALSE(callers->IsCurrent(rekeyed));
  CHECK(callers->IsCurrent(same));
}

TEST_CASE("a file that is broken or away leaves the callers as they were") {
  Fixture f;
  f.Write({WithApiKey("build", "1")});
  const auto callers = f.Open();
  REQUIRE_THAT(base::WriteFileDurably(f.path, "{", 0600), IsOk());
  CHECK_THAT(callers->Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, f.path));
  CHECK_THAT(callers->Refresh(), StatusIs(absl::StatusCode::kInvalidArgument, f.path));
  CHECK_THAT(callers->VerifyApiKey("build", "1"), IsOk());
  REQUIRE(unlink(f.path.c_str()) == 0);
  CHECK_THAT(callers->Refresh(), StatusIs(absl::StatusCode::kNotFound));
  CHECK_THAT(callers->VerifyApiKey("build", "1"), IsOk());
  CHECK(f.lost.empty());
  f.Write({WithApiKey("deploy", "1")});
  CHECK_THAT(callers->Refresh(), IsOk());
  CHECK(f.lost == std::vector<std::string>{"build"});
}

TEST_CASE("an agent without a file of callers does not start") {
  CHECK_THAT(Callers::Open({.path = "/nowhere/callers.json"}),
             StatusIs(absl::StatusCode::kNotFound, "/nowhere/callers.json"));
}

}  // namespace
}  // namespace countersign::yubikey
