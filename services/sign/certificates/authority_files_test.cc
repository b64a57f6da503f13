// Authorities taken over from other programs' files, and given out to them.
#include "catch2/catch.hpp"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"
#include "services/sign/certificates/authorities_testing.h"
#include "services/sign/errors.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;
using storage::Engine;

const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);
constexpr char kPassphrase[] = "correct horse";

std::string Read(const std::string& path) { return RequireOk(base::ReadFile(path)); }

// An authority that openssl has made: a root and one below it.
struct Foreign {
  explicit Foreign(OpenSsl* the_openssl,
                   const std::string& key_options = "ec -pkeyopt ec_paramgen_curve:P-256",
                   const std::string& days = "3650")
      : openssl(the_openssl) {
    root_key = Key(key_options);
    root = openssl->NewPath();
    Run("req -x509 -key " + root_key + " -out " + root +
        " -days 3650 -subj /O=Elsewhere/CN=Root -addext keyUsage=critical,keyCertSign,cRLSign");
    key = Key(key_options);
    certificate = Certify("CA:TRUE,pathlen:0", "keyCertSign,cRLSign", days);
  }

  std::string Key(const std::string& options) {
    const std::string path = openssl->NewPath();
    Run("genpkey -algorithm " + options + " -out " + path);
    return path;
  }
  std::string Certify(const std::string& constraints, const std::string& usage,
                      const std::string& days) {
    const std::string request = openssl->NewPath();
    const std::string path = openssl->NewPath();
    Run("req -new -key " + key + " -subj /O=Elsewhere/CN=Issuing -out " + request);
    const std::string extensions =
        openssl->Write("basicConstraints=critical," + constraints + "\nkeyUsage=critical," + usage +
                       "\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n");
    Run("x509 -req -in " + request + " -CA " + root + " -CAkey " + root_key +
        " -set_serial 4660 -days " + days + " -extfile " + extensions + " -out " + path);
    return path;
  }
  void Run(const std::string& arguments) {
    const auto result = openssl->Run(arguments);
    INFO(arguments << "\n" << result.output);
    REQUIRE(result.exit_code == 0);
  }

  OpenSsl* const openssl;
  std::string root_key;
  std::string root;
  std::string key;
  std::string certificate;
};

v1::ImportAuthorityRequest Import(const std::string& pem) {
  v1::ImportAuthorityRequest request;
  request.set_parent("tenants/default");
  request.set_authority_id("taken-over");
  request.set_pem(pem);
  return request;
}

constexpr char kName[] = "tenants/default/authorities/taken-over";

TEST_CASE("An authority of openssl's is taken over from PEM, in any order, and goes on issuing") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  test.clock.Set(absl::Now() + absl::Minutes(10));
  OpenSsl openssl(&test.clock);
  const Foreign foreign(&openssl);
  auto request = Import(Read(foreign.root) + Read(foreign.key) + Read(foreign.certificate));
  request.set_request_id(crypto::RandomUuid());
  const v1::Authority authority =
      RequireOk(test.process.authorities.ImportAuthority(request)).authority();
  CHECK(authority.subject() == "CN=Issuing,O=Elsewhere");
  CHECK(authority.chain_size() == 2);
  CHECK(authority.path_length() == 0);
  CHECK(authority.issuer().empty());
  CHECK(authority.serial_number() == "1234");
  CHECK(RequireOk(test.process.authorities.ImportAuthority(request)).authority().name() == kName);
  // Its certificate is tracked; its root answers for it.
  const auto tracked = RequireOk(test.process.certificates.Get("tenants/default/certificates/fp-" +
                                                               authority.fingerprint_sha256()));
  CHECK(tracked.authority().empty());

  const v1::Certificate leaf = test.process.Issue(kName, "www.example.com");
  const auto verified =
      openssl.Verify(absl::StrCat("-CAfile ", foreign.root, " -untrusted ", foreign.certificate,
                                  " ", openssl.File("CERTIFICATE", {leaf.der()})));
  INFO(verified.output);
  CHECK(verified.exit_code == 0);

  request.set_authority_id("again");
  request.clear_request_id();
  CHECK_THAT(test.process.authorities.ImportAuthority(request),
             StatusIs(absl::StatusCode::kAlreadyExists));
}

TEST_CASE("Keys come in the forms that openssl writes") {
  TestAuthorities test(Engine::kSqlite);
  test.clock.Set(absl::Now() + absl::Minutes(10));
  OpenSsl openssl(&test.clock);
  int made = 0;
  const auto take = [&](const Foreign& foreign, const std::string& key) {
    auto request = Import(key + Read(foreign.certificate) + Read(foreign.root));
    request.set_authority_id(absl::StrCat("authority-", ++made));
    return RequireOk(test.process.authorities.ImportAuthority(request)).authority().algorithm();
  };
  const Foreign ec(&openssl, "ec -pkeyopt ec_paramgen_curve:P-384");
  const std::string ec_key = openssl.NewPath();
  // "EC PARAMETERS", then "EC PRIVATE KEY".
  REQUIRE(openssl.Run("ec -in " + ec.key + " -out " + ec_key).exit_code == 0);
  REQUIRE(Read(ec_key).find("BEGIN EC PRIVATE KEY") != std::string::npos);
  CHECK(take(ec, Read(ec_key)) == v1::ALGORITHM_ECDSA_P384_SHA384);
  const Foreign rsa(&openssl, "RSA -pkeyopt rsa_keygen_bits:2048");
  const std::string rsa_key = openssl.NewPath();
  REQUIRE(openssl.Run("rsa -traditional -in " + rsa.key + " -out " + rsa_key).exit_code == 0);
  REQUIRE(Read(rsa_key).find("BEGIN RSA PRIVATE KEY") != std::string::npos);
  CHECK(take(rsa, Read(rsa_key)) == v1::ALGORITHM_RSA_PKCS1_2048_SHA256);
  const Foreign ed(&openssl, "ED25519");
  CHECK(take(ed, Read(ed.key)) == v1::ALGORITHM_ED25519);
}

TEST_CASE("What does not belong together is not taken over, and nothing is left of the try") {
  TestAuthorities test(Engine::kSqlite);
  test.clock.Set(absl::Now() + absl::Minutes(10));
  OpenSsl openssl(&test.clock);
  Foreign foreign(&openssl);
  const Foreign other(&openssl);
  const std::string key = Read(foreign.key);
  const std::string certificate = Read(foreign.certificate);
  const std::string root = Read(foreign.root);
  const auto refused = [&](const std::string& pem, const std::string& why) {
    CHECK_THAT(test.process.authorities.ImportAuthority(Import(pem)),
               StatusIs(absl::StatusCode::kInvalidArgument, why));
  };
  refused("", "no private key");
  refused(certificate + root, "no private key");
  refused(key, "no certificate");
  refused(Read(other.key) + certificate + root, "no certificate in it is of its private key");
  refused(key + Read(other.key) + certificate + root, "more than one private key");
  refused(key + certificate, "is missing");
  refused(key + certificate + root + Read(other.root), "does not belong");
  refused(key + certificate + Read(other.root), "is missing");
  const std::string encrypted = openssl.NewPath();
  foreign.Run("pkcs8 -topk8 -passout pass:secret -in " + foreign.key + " -out " + encrypted);
  refused(Read(encrypted) + certificate + root, "encrypted");
  refused(key.substr(0, key.size() - 20) + certificate + root, "pem");
  refused(key + Read(foreign.Certify("CA:FALSE", "digitalSignature", "30")) + root,
          "not an authority's");
  refused(key + Read(foreign.Certify("CA:TRUE", "cRLSign", "30")) + root, "keyCertSign");
  refused(key + Read(foreign.Certify("CA:TRUE", "keyCertSign", "30")) + root.substr(0, 300), "pem");
  CHECK_THAT(test.process.authorities.ImportAuthority([] {
    auto request = Import("");
    request.clear_pem();
    return request;
  }()),
             kInvalid);

  // One that has expired since, or whose root has.
  test.clock.Advance(absl::Hours(24 * 3651));
  refused(key + certificate + root, "");

  CHECK(RequireOk(test.process.authorities.ListIds()).empty());
  v1::ListKeysRequest keys;
  keys.set_parent("tenants/default");
  CHECK(RequireOk(test.process.store->ListKeys(keys)).keys().empty());
}

TEST_CASE("PKCS#12 goes both ways between openssl and an authority") {
  TestAuthorities test(Engine::kSqlite, /*allow_key_export=*/true);
  test.clock.Set(absl::Now() + absl::Minutes(10));
  OpenSsl openssl(&test.clock);
  Foreign foreign(&openssl);
  const std::string p12 = openssl.NewPath();
  foreign.Run(absl::StrCat("pkcs12 -export -inkey ", foreign.key, " -in ", foreign.certificate,
                           " -certfile ", foreign.root, " -passout 'pass:", kPassphrase, "' -out ",
                           p12));
  auto request = Import("");
  request.set_pkcs12(Read(p12));
  request.set_passphrase("wrong horse");
  CHECK_THAT(test.process.authorities.ImportAuthority(request),
             StatusIs(absl::StatusCode::kInvalidArgument, "pkcs12"));
  request.set_passphrase(kPassphrase);
  const auto imported = RequireOk(test.process.authorities.ImportAuthority(request)).authority();
  CHECK(imported.chain_size() == 2);

  v1::ExportAuthorityRequest give;
  give.set_name(kName);
  give.set_format(v1::EXPORT_FORMAT_PKCS12);
  give.set_include_key(true);
  give.set_passphrase("short");
  CHECK_THAT(test.process.authorities.ExportAuthority(give), kInvalid);
  give.set_passphrase(kPassphrase);
  const std::string given =
      openssl.Write(RequireOk(test.process.authorities.ExportAuthority(give)).data());
  const auto info = openssl.Run(
      absl::StrCat("pkcs12 -info -nodes -in ", given, " -passin 'pass:", kPassphrase, "'"));
  INFO(info.output);
  CHECK(info.exit_code == 0);
  CHECK(info.output.find("BEGIN PRIVATE KEY") != std::string::npos);
  CHECK(info.output.find("CN = Issuing") != std::string::npos);
  CHECK(info.output.find("CN = Root") != std::string::npos);
  CHECK(openssl.Run("pkcs12 -noout -in " + given + " -passin pass:wrong").exit_code != 0);
  give.set_include_key(false);
  CHECK_THAT(test.process.authorities.ExportAuthority(give), kInvalid);
}

TEST_CASE("An exported PEM is read back; keys are given out only where that was allowed") {
  TestAuthorities test(Engine::kSqlite, /*allow_key_export=*/true);
  test.process.Create("root");
  const v1::Authority issuing = test.process.Create("issuing", "tenants/default/authorities/root");
  v1::ExportAuthorityRequest give;
  give.set_name(issuing.name());
  const std::string certificates = RequireOk(test.process.authorities.ExportAuthority(give)).data();
  CHECK(certificates.find("PRIVATE KEY") == std::string::npos);
  const auto blocks = RequireOk(pki::ParsePem(certificates));
  REQUIRE(blocks.size() == 2);
  CHECK(blocks[0].der == issuing.chain(0));
  CHECK(blocks[1].der == issuing.chain(1));

  give.set_include_key(true);
  TestAuthorities elsewhere(Engine::kSqlite);
  auto request = Import(RequireOk(test.process.authorities.ExportAuthority(give)).data());
  const auto moved = RequireOk(elsewhere.process.authorities.ImportAuthority(request)).authority();
  CHECK(moved.fingerprint_sha256() == issuing.fingerprint_sha256());

  give.set_name(kName);
  for (const auto format : {v1::EXPORT_FORMAT_PEM, v1::EXPORT_FORMAT_PKCS12}) {
    give.set_format(format);
    give.set_passphrase(kPassphrase);
    const auto refused = elsewhere.process.authorities.ExportAuthority(give);
    CHECK_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied, "--allow-key-export"));
  }
  give.set_include_key(false);
  give.set_format(v1::EXPORT_FORMAT_PEM);
  CHECK_THAT(elsewhere.process.authorities.ExportAuthority(give), IsOk());
  give.set_name("tenants/default/authorities/none");
  CHECK_THAT(test.process.authorities.ExportAuthority(give), StatusIs(absl::StatusCode::kNotFound));
}

}  // namespace
}  // namespace countersign::sign
