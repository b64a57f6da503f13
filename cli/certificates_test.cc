// The commands of certificates: ca, cert, ocsp, queue, upstream.
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "catch2/catch.hpp"
#include "cli/test_user.h"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/secret.h"
#include "libs/http/server.h"
#include "libs/pki/certificate.h"
#include "libs/pki/csr.h"
#include "libs/pki/name.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/pem.h"
#include "libs/testing/matchers.h"

namespace countersign::cli {
namespace {

namespace pb = ::countersign::sign::v1;
using absl::StrContains;
using nlohmann::json;
using testing::RequireOk;

void RequireRefused(User& user, const std::vector<std::string>& arguments,
                    const std::string& message) {
  const Result result = user.Run(arguments);
  CAPTURE(message, result.err, result.out);
  CHECK(result.exit_code == 2);
  CHECK(StrContains(result.err, message));
}

// A user whose authority is there.
struct Issuer : User {
  Issuer() { RequireRun(*this, {"ca", "create", "web", "--subject", "CN=Fake Root"}); }

  // `cert issue` for a new key in `name`.key.
  Result Issue(const std::string& name, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"cert",      "issue",
                                          "--ca",      "web",
                                          "--profile", "tls-server",
                                          "--new-key", Path(name + ".key"),
                                          "--dns",     name + ".example.com"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Run(arguments);
  }
  std::string Path(const std::string& name) const { return folder() + "/" + name; }
};

TEST_CASE("A certificate is issued for a new key, whose file nobody else can read") {
  Issuer user;
  const Result result =
      user.Issue("a", {"--ip", "2001:db8::1", "--subject", "CN=a,O=Example", "--owner", "web team",
                       "--label", "tier=1", "--lifetime", "30d"});
  CAPTURE(result.out, result.err);
  REQUIRE(result.exit_code == 0);
  CHECK(StrContains(result.out, "Issued certificate "));
  CHECK(StrContains(result.out, "a.example.com, 2001:db8::1"));
  CHECK(StrContains(result.out, user.Path("a.chain.pem")));

  struct stat info = {};
  REQUIRE(stat(user.Path("a.key").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  const auto key_der =
      RequireOk(pki::DerFromDerOrPem(RequireOk(base::ReadFile(user.Path("a.key"))), "PRIVATE KEY"));
  const auto key = RequireOk(crypto::PrivateKey::FromPkcs8(crypto::SecretBytes(key_der),
                                                           crypto::Algorithm::kEcdsaP256Sha256));
  const auto certificate =
      RequireOk(pki::ParseCertificateDerOrPem(RequireOk(base::ReadFile(user.Path("a.cert.pem")))));
  CHECK(certificate.spki_der == key.public_key().spki_der());

  const pb::IssueCertificateRequest& request = user.suite().pki.issued;
  CHECK(request.parent() == "tenants/default/authorities/web");
  CHECK(request.profile() == pb::CERTIFICATE_PROFILE_TLS_SERVER);
  CHECK(request.lifetime().seconds() == 30 * 86400);
  CHECK(request.owner_team() == "web team");
  CHECK(request.labels().at("tier") == "1");
  CHECK(request.request_id().size() == 36);
  CHECK(request.subject().empty());
  const auto csr = RequireOk(pki::ParseCsr(request.csr()));
  CHECK(csr.CheckSignature().ok());
  CHECK(pki::FormatName(csr.subject) == "CN=a,O=Example");
  CHECK(csr.extensions.subject_alt_names.size() == 2);

  // The chain of a server has no root.
  const auto blocks = RequireOk(pki::ParsePem(RequireOk(base::ReadFile(user.Path("a.chain.pem")))));
  REQUIRE(blocks.size() == 1);
  CHECK(blocks[0].der == certificate.der);
}

TEST_CASE("A request from a file is passed on, with names and subject beside it") {
  Issuer user;
  const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP384Sha384));
  const std::string der =
      RequireOk(pki::BuildCsr(RequireOk(pki::ParseNameText("CN=from the request")), {}, key));
  const std::string csr = user.File("server.csr.pem", pki::FormatPem("CERTIFICATE REQUEST", der));
  const Result result = user.Run({"cert", "issue", csr, "--ca", "tenants/other/authorities/x",
                                  "--profile", "code-signing", "--subject", "CN=instead", "--email",
                                  "a@example.com", "--uri", "https://example.com/x", "--json"});
  CAPTURE(result.out, result.err);
  REQUIRE(result.exit_code == 0);
  const pb::IssueCertificateRequest& request = user.suite().pki.issued;
  CHECK(request.csr() == der);
  CHECK(request.parent() == "tenants/other/authorities/x");
  CHECK(request.subject() == "CN=instead");
  REQUIRE(request.subject_alt_names_size() == 2);
  CHECK(request.subject_alt_names(0) == "email:a@example.com");
  const json root = ParsedJson(result.out);
  CHECK(root["files"]["certificate"] == user.Path("server.cert.pem"));
  CHECK(root["certificate"]["profile"] == "CERTIFICATE_PROFILE_CODE_SIGNING");
  CHECK_FALSE(root["files"].contains("key"));
}

TEST_CASE("A refused request leaves no file; one whose end is unknown leaves the key") {
  Issuer user;
  user.suite().pki.refusal =
      grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "the name is forbidden");
  Result result = user.Issue("a");
  CHECK(result.exit_code == 2);
  CHECK(StrContains(result.err, "the name is forbidden"));
  for (const char* file : {"a.key", "a.cert.pem", "a.chain.pem"}) {
    CHECK_FALSE(base::FileExists(user.Path(file)));
  }

  user.suite().pki.refusal = grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "late");
  result = user.Issue("b");
  CHECK(result.exit_code == 2);
  CHECK(StrContains(result.err, "go on with --key " + user.Path("b.key")));
  CHECK(base::FileExists(user.Path("b.key")));

  user.suite().pki.refusal = grpc::Status::OK;
  RequireRefused(user,
                 {"cert", "issue", "--ca", "web", "--profile", "tls-server", "--new-key",
                  user.Path("b.key"), "--dns", "b.example.com"},
                 "is there already");
  const std::string before = RequireOk(base::ReadFile(user.Path("b.key")));
  RequireRun(user, {"cert", "issue", "--ca", "web", "--profile", "tls-server", "--key",
                    user.Path("b.key"), "--dns", "b.example.com"});
  CHECK(RequireOk(base::ReadFile(user.Path("b.key"))) == before);
  CHECK(base::FileExists(user.Path("b.cert.pem")));
}

TEST_CASE("A certificate for another key is not written") {
  Issuer user;
  user.suite().pki.wrong_key = true;
  const Result result = user.Issue("a");
  CHECK(result.exit_code == 2);
  CHECK(StrContains(result.err, "a certificate for another key, nothing was written"));
  CHECK_FALSE(base::FileExists(user.Path("a.cert.pem")));
}

TEST_CASE("What cannot be asked for is refused before anything is made or called") {
  Issuer user;
  const std::string junk = user.File("junk", "junk");
  const std::vector<std::string> issue = {"cert", "issue",     "--ca",
                                          "web",  "--profile", "tls-server"};
  const auto refused = [&](std::vector<std::string> more, const std::string& message) {
    more.insert(more.begin(), issue.begin(), issue.end());
    RequireRefused(user, more, message);
  };
  refused({}, "name one of: a file with a certification request");
  refused({junk, "--new-key", user.Path("k")}, "name one of");
  refused({junk}, "holds no certification request");
  refused({"--key", junk}, "holds no key of a kind known here");
  refused({"--new-key", user.Path("k"), "--dns", "not a name"}, "not a name");
  refused({"--new-key", user.Path("k"), "--subject", "nonsense"}, "--subject nonsense: ");
  refused({"--new-key", user.Path("k"), "--lifetime", "30"}, "30d, 12h");
  refused({"--new-key", user.Path("k"), "--profile", "nope"}, "--profile");
  refused({user.Path("none")}, user.Path("none"));
  CHECK_FALSE(base::FileExists(user.Path("k")));
  CHECK(user.suite().pki.issued.csr().empty());
}

TEST_CASE("Certificates are found page after page, the options making the filter") {
  Issuer user;
  CHECK(user.Run({"cert", "find"}).out == "No certificate is found.\n");
  for (const char* name : {"a", "b", "c"}) {
    CHECK(user.Issue(name, {"--owner", "ops"}).exit_code == 0);
  }
  const absl::Time before = absl::Now();
  const Result all = user.Run({"cert",
                               "find",
                               "--expires-within",
                               "30d",
                               "--owner",
                               "ops",
                               "--host",
                               "A.example.com",
                               "--status",
                               "active",
                               "--status",
                               "on-hold",
                               "--environment",
                               "production",
                               "--ca",
                               "web",
                               "--fingerprint",
                               "AB:CD",
                               "--serial",
                               "0A"});
  CAPTURE(all.out, all.err);
  CHECK(all.exit_code == 0);
  CHECK(StrContains(all.out, "CERTIFICATE"));
  CHECK(StrContains(all.out, "b.example.com"));
  CHECK(StrContains(all.out, "  89 d 23 h\n"));
  CHECK(std::count(all.out.begin(), all.out.end(), '\n') == 4);
  CHECK(all.err.empty());
  const pb::CertificateFilter& filter = user.suite().pki.listed.filter();
  CHECK(filter.expires_before().seconds() - filter.expires_from().seconds() == 30 * 86400);
  CHECK(filter.expires_from().seconds() >= absl::ToUnixSeconds(before));
  CHECK(filter.owner_team() == "ops");
  CHECK(filter.host_name() == "a.example.com");
  CHECK(filter.statuses_size() == 2);
  CHECK(filter.environment() == "production");
  CHECK(filter.authority() == "tenants/default/authorities/web");
  CHECK(filter.fingerprint_sha256() == "abcd");
  CHECK(filter.serial_number() == "0a");

  const Result two = user.Run({"cert", "find", "--limit", "2"});
  CHECK(std::count(two.out.begin(), two.out.end(), '\n') == 3);
  CHECK(StrContains(two.err, "more than these 2"));
  CHECK(ParsedJson(user.Run({"cert", "find", "--json"}).out)["certificates"].size() == 3);
  CHECK(RequireOk(pki::ParsePem(user.Run({"cert", "find", "--pem"}).out)).size() == 3);
  user.Run({"cert", "find", "--expired"});
  CHECK_FALSE(user.suite().pki.listed.filter().has_expires_from());
  CHECK(user.suite().pki.listed.filter().has_expires_before());
}

TEST_CASE("A certificate is named by its serial, its resource name or its file") {
  Issuer user;
  REQUIRE(user.Issue("a").exit_code == 0);
  const pb::Certificate certificate = user.suite().pki.certificates.begin()->second;
  for (const std::string& name :
       {certificate.serial_number(), certificate.name(), user.Path("a.cert.pem")}) {
    CAPTURE(name);
    const Result got = user.Run({"cert", "get", name});
    CHECK(got.exit_code == 0);
    CHECK(StrContains(got.out, certificate.name()));
    CHECK(StrContains(got.out, "active"));
    CHECK(user.Run({"cert", "export", name}).out ==
          RequireOk(base::ReadFile(user.Path("a.cert.pem"))));
  }
  RequireRun(user, {"cert", "export", certificate.serial_number(), "--chain", "--out",
                    user.Path("exported")});
  CHECK(RequireOk(base::ReadFile(user.Path("exported"))) ==
        RequireOk(base::ReadFile(user.Path("a.chain.pem"))));
  RequireRefused(user, {"cert", "get", "77"}, "there is no tenants/default/certificates/77");
  RequireRefused(user, {"cert", "get", user.File("junk", "junk")}, "holds no certificate");
}

TEST_CASE("One certificate is revoked at once, many only when it is confirmed") {
  Issuer user;
  REQUIRE(user.Issue("a").exit_code == 0);
  const std::string file = user.Path("a.cert.pem");
  Result result = user.Run({"cert", "revoke", file, "--reason", "certificate-hold"});
  CHECK(result.exit_code == 0);
  CHECK(StrContains(result.out, "On hold: "));
  RequireRun(user, {"cert", "release", file});
  result = user.Run({"cert", "revoke", file, "--reason", "unspecified"});
  CHECK(StrContains(result.out, "Revoked "));
  CHECK(StrContains(result.out, ", unspecified"));
  CHECK(user.suite().pki.certificates.begin()->second.revocation_reason() ==
        pb::REVOCATION_REASON_UNSPECIFIED_REASON);

  RequireRefused(user, {"cert", "revoke"}, "name one of: a certificate, --fingerprint");
  RequireRefused(user, {"cert", "revoke", file, "--owner", "ops"}, "name one of");
  RequireRefused(user, {"cert", "revoke", "--owner", "ops"}, "nothing was revoked");
  RequireRefused(user, {"cert", "revoke", file, "--reason", "boredom"}, "--reason");
  const Result many = user.Run({"cert", "revoke", "--key-fingerprint", "sha256:AB:CD", "--reason",
                                "key-compromise", "--yes"});
  CHECK(many.exit_code == 0);
  CHECK(StrContains(many.out, "Revoked 2 certificates"));
  CHECK(user.suite().pki.revoked.key_fingerprint() == "abcd");
  CHECK(user.suite().pki.revoked.reason() == pb::REVOCATION_REASON_KEY_COMPROMISE);
}

TEST_CASE("Certificates are changed and imported in bulk") {
  Issuer user;
  RequireRefused(user, {"cert", "update", "--set-owner", "x"}, "say which certificates");
  RequireRefused(user, {"cert", "update", "--owner", "x"}, "say what to change");
  const Result updated =
      user.Run({"cert", "update", "--owner", "old", "--set-owner", "", "--set-status", "retired"});
  CHECK(StrContains(updated.out, "Changed 42 certificates"));
  CHECK(user.suite().pki.changed.filter().owner_team() == "old");
  CHECK(user.suite().pki.changed.has_owner_team());
  CHECK(user.suite().pki.changed.owner_team().empty());
  CHECK_FALSE(user.suite().pki.changed.has_environment());
  CHECK(user.suite().pki.changed.status() == pb::CERTIFICATE_STATUS_RETIRED);

  std::vector<std::string> import = {"cert", "import", "--owner", "them", "--json"};
  const std::string file = user.File("foreign", "a certificate");
  import.insert(import.end(), 1001, file);
  CHECK(ParsedJson(user.Run(import).out)["certificates"].size() == 1001);
}

TEST_CASE("A renewal is watched to its end, across a service that is started again") {
  Issuer user;
  user.suite().pki.broken_watches = 1;
  const Result result =
      user.Run({"cert", "renew", "--ca", "web", "--expires-within", "30d", "--only-due",
                "--concurrency", "20", "--upstream", "other", "--lifetime", "12h"});
  CAPTURE(result.out, result.err);
  CHECK(result.exit_code == 0);
  CHECK(StrContains(result.out, "Renewed 1000 of 1000 certificates"));
  CHECK(StrContains(result.out, "21 s"));
  CHECK(StrContains(result.err, "countersign cert renew --watch r1"));
  CHECK(user.suite().pki.broken_watches == 0);
  const pb::StartRenewalRequest& request = user.suite().pki.renewed;
  CHECK(request.only_due());
  CHECK(request.concurrency() == 20);
  CHECK(request.upstream() == "tenants/default/upstreams/other");
  CHECK(request.lifetime().seconds() == 12 * 3600);
  CHECK(request.filter().has_expires_before());
}

TEST_CASE("When some were not renewed the exit code is 1, and they can be tried again") {
  Issuer user;
  user.suite().pki.failing_renewals = 30;
  const Result result = user.Run({"cert", "renew", "--owner", "ops"});
  CAPTURE(result.out, result.err);
  CHECK(result.exit_code == 1);
  CHECK(StrContains(result.out, "Renewed 970 of 1000 certificates, 30 failed"));
  CHECK(StrContains(result.out, "the upstream is asleep"));
  CHECK(StrContains(result.out, "and 28 more: countersign queue list --state failed --renewal r1"));
  CHECK(StrContains(result.out, "countersign cert renew --retry-failed r1"));
  const json failed = ParsedJson(user.Run({"cert", "renew", "--owner", "ops", "--json"}).out);
  CHECK(failed["failed"] == "30");

  CHECK(user.Run({"cert", "renew", "--retry-failed", "r1"}).exit_code == 0);
  CHECK(user.Run({"cert", "renew", "--watch", "r1"}).exit_code == 0);
  const Result started = user.Run({"cert", "renew", "--owner", "ops", "--no-wait"});
  CHECK(started.exit_code == 0);
  CHECK(StrContains(started.out, "countersign cert renew --watch r1"));
  RequireRefused(user, {"cert", "renew"}, "say which certificates");
  RequireRefused(user, {"cert", "renew", "--watch", "r2"}, "there is no");
}

TEST_CASE("OCSP: good, revoked and unknown, by gRPC, with what was verified") {
  Issuer user;
  REQUIRE(user.Issue("a").exit_code == 0);
  const std::string file = user.Path("a.cert.pem");
  const std::string issuer =
      user.File("root.pem", pki::FormatPem("CERTIFICATE", user.suite().pki.root.der));
  const auto ask = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"ocsp", "status", file});
    return user.Run(more);
  };
  Result result = ask({"--issuer", issuer});
  CAPTURE(result.out, result.err);
  CHECK(result.exit_code == 0);
  CHECK(StrContains(result.out, "Good: "));
  CHECK(StrContains(result.out, "signed for this question"));
  json status = ParsedJson(ask({"--issuer", issuer, "--no-nonce", "--hash", "sha1", "--json"}).out);
  CHECK(status["status"] == "good");
  CHECK(status["nonce"] == false);

  RequireRun(user, {"cert", "revoke", file, "--reason", "key-compromise"});
  result = ask({"--issuer", issuer});
  CHECK(result.exit_code == 1);
  CHECK(StrContains(result.out, "REVOKED: "));
  CHECK(StrContains(result.out, ", key-compromise"));
  user.suite().pki.certificates.clear();
  result = ask({"--issuer", issuer, "--json"});
  CHECK(result.exit_code == 1);
  CHECK(ParsedJson(result.out)["status"] == "unknown");

  // The issuer may stand behind the certificate in its file.
  const std::string both =
      user.File("both", RequireOk(base::ReadFile(file)) + RequireOk(base::ReadFile(issuer)));
  CHECK(user.Run({"ocsp", "status", both}).exit_code == 1);
}

TEST_CASE("OCSP: an answer that does not hold decides nothing") {
  Issuer user;
  REQUIRE(user.Issue("a").exit_code == 0);
  const std::string file = user.Path("a.cert.pem");
  const std::string issuer =
      user.File("root.pem", pki::FormatPem("CERTIFICATE", user.suite().pki.root.der));
  const std::vector<std::string> ask = {"ocsp", "status", file, "--issuer", issuer};
  user.suite().pki.ocsp_wrong_nonce = true;
  RequireRefused(user, ask, "another request's nonce");
  user.suite().pki.ocsp_wrong_nonce = false;
  user.suite().pki.ocsp_expired = true;
  RequireRefused(user, ask, "out of date");
  user.suite().pki.ocsp_expired = false;
  user.suite().pki.ocsp_unknown = true;
  RequireRefused(user, ask, "unauthorized (6)");
  user.suite().pki.ocsp_unknown = false;
  RequireRefused(user, {"ocsp", "status", file}, "name a file with its certificate by --issuer");
  FakePki other;
  const std::string wrong = user.File("wrong.pem", pki::FormatPem("CERTIFICATE", other.root.der));
  RequireRefused(user, {"ocsp", "status", file, "--issuer", wrong}, "is not in " + wrong);
  user.StopSuite();
  RequireRefused(user, ask, "no ocsp service at");
}

TEST_CASE("OCSP by HTTP: POST, or GET with the request in the path") {
  Issuer user;
  REQUIRE(user.Issue("a").exit_code == 0);
  std::vector<std::string> asked;
  std::string content_type = "application/ocsp-response";
  const auto server =
      RequireOk(http::Server::Listen({}, [&](http::Request request, http::Responder respond) {
        asked.push_back(request.method + " " + request.target);
        std::string der = request.body;
        if (request.method == "GET") {
          pki::DecodeOcspPath(request.path().substr(std::string("/ocsp/").size()), &der);
        }
        respond(http::MakeResponse(200, content_type, user.suite().ocsp.Answer(der)));
      }));
  const std::string url = absl::StrCat("http://", server->address(), "/ocsp");
  const std::string issuer =
      user.File("root.pem", pki::FormatPem("CERTIFICATE", user.suite().pki.root.der));
  const std::vector<std::string> post = {
      "ocsp", "status", user.Path("a.cert.pem"), "--issuer", issuer, "--url", url};
  std::vector<std::string> get = post;
  get.push_back("--get");
  CHECK(user.Run(post).exit_code == 0);
  CHECK(user.Run(get).exit_code == 0);
  REQUIRE(asked.size() == 2);
  CHECK(asked[0] == "POST /ocsp");
  CHECK(absl::StartsWith(asked[1], "GET /ocsp/M"));
  content_type = "text/html";
  RequireRefused(user, post, "which is no OCSP response");
  std::vector<std::string> tls = post;
  tls.back() = "https://127.0.0.1/";
  CHECK(user.Run(tls).exit_code == 2);
}

TEST_CASE("An authority is made with what was said, and the rest by what it is") {
  User user;
  CHECK(StrContains(user.Run({"ca", "list"}).out, "countersign ca create root"));
  RequireRun(user, {"ca", "create", "root", "--subject", "CN=Root", "--lifetime", "10y"});
  pb::Authority authority = user.suite().pki.created.authority();
  CHECK(authority.path_length() == -1);
  CHECK(authority.algorithm() == pb::ALGORITHM_ECDSA_P256_SHA256);
  CHECK(authority.not_after().seconds() > 1'700'000'000);
  CHECK_FALSE(authority.settings().has_crl_lifetime());
  RequireRun(user, {"ca",
                    "create",
                    "web",
                    "--subject",
                    "CN=Web",
                    "--issuer",
                    "root",
                    "--algorithm",
                    "rsa-pkcs1-3072-sha256",
                    "--public-url",
                    "http://pki.example.com/",
                    "--crl-shards",
                    "4",
                    "--ocsp-nonces",
                    "--ocsp-lifetime",
                    "2d",
                    "--permit",
                    "example.com",
                    "--permit",
                    "10.0.0.0/8",
                    "--log",
                    "main",
                    "--issuer-url",
                    "http://other.example.com/web.crt"});
  authority = user.suite().pki.created.authority();
  CHECK(authority.issuer() == "tenants/default/authorities/root");
  CHECK(authority.path_length() == 0);
  const pb::AuthoritySettings& settings = authority.settings();
  CHECK(settings.ocsp_urls(0) == "http://pki.example.com/ocsp");
  CHECK(settings.issuer_urls(0) == "http://other.example.com/web.crt");
  CHECK(settings.crl_url() == "http://pki.example.com/crl/default/web/{shard}.crl");
  CHECK(settings.crl_shards() == 4);
  CHECK(settings.ocsp_nonces());
  CHECK(settings.ocsp_lifetime().seconds() == 2 * 86400);
  CHECK(settings.permitted_names_size() == 2);
  CHECK(settings.log() == "tenants/default/logs/main");

  RequireRun(user, {"ca", "update", "web", "--public-url", "http://a"});
  CHECK(user.suite().pki.updated.authority().settings().issuer_urls(0) ==
        "http://a/issuer/default/web.der");

  RequireRun(user, {"keys", "create", "k"});
  RequireRun(user, {"ca", "create", "own", "--subject", "CN=Own", "--key", "k"});
  authority = user.suite().pki.created.authority();
  CHECK(authority.key_version() == "tenants/default/keys/k/versions/1");
  RequireRefused(
      user, {"ca", "create", "own", "--subject", "CN=Own", "--key", "k", "--algorithm", "ed25519"},
      "exclude each other");
  RequireRefused(user, {"ca", "create", "own"}, "--subject");
  CHECK(ParsedJson(user.Run({"ca", "list", "--json"}).out)["authorities"].size() == 3);
  const Result got = user.Run({"ca", "get", "web"});
  CHECK(StrContains(got.out, "http://a/ocsp"));
  CHECK(absl::StartsWith(user.Run({"ca", "get", "web", "--pem"}).out, "-----BEGIN CERTIFICATE"));
}

TEST_CASE("Only the settings that are named change") {
  User user;
  RequireRun(user, {"ca", "create", "web", "--subject", "CN=Web", "--ocsp-url", "http://a/ocsp",
                    "--ocsp-url", "http://b/ocsp", "--ocsp-nonces", "--crl-lifetime", "7d"});
  RequireRun(user, {"ca", "update", "web", "--no-ocsp-nonces", "--ocsp-url", ""});
  const pb::UpdateAuthorityRequest& request = user.suite().pki.updated;
  CHECK(request.update_mask().paths(0) == "settings");
  CHECK_FALSE(request.authority().settings().ocsp_nonces());
  CHECK(request.authority().settings().ocsp_urls().empty());
  CHECK(request.authority().settings().crl_lifetime().seconds() == 7 * 86400);
  RequireRefused(user, {"ca", "update", "web"}, "say what to change");
  CHECK(StrContains(user.Run({"ca", "disable", "web"}).out, "disabled: issues no more"));
  CHECK(request.update_mask().paths(0) == "disabled");
  CHECK(StrContains(user.Run({"ca", "enable", "web"}).out, "enabled"));
  CHECK(StrContains(user.Run({"ca", "rotate-ocsp-signer", "web"}).out, "OCSP signer"));
}

TEST_CASE("Authorities go into files and come from them") {
  User user;
  RequireRun(user, {"ca", "create", "web", "--subject", "CN=Web"});
  const std::string passphrase = user.File("passphrase", "long enough\nmore");
  const std::string p12 = user.folder() + "/web.p12";
  RequireRun(user, {"ca", "export", "web", "--format", "pkcs12", "--include-key",
                    "--passphrase-file", passphrase, "--out", p12});
  CHECK(RequireOk(base::ReadFile(p12)) == "2 with key long enough");
  struct stat info = {};
  REQUIRE(stat(p12.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  RequireRun(user,
             {"ca", "import", "again", p12, "--passphrase-file", passphrase, "--crl-shards", "2"});
  CHECK(user.suite().pki.imported.pkcs12() == "2 with key long enough");
  CHECK(user.suite().pki.imported.passphrase() == "long enough");
  CHECK(user.suite().pki.imported.settings().crl_shards() == 2);
  const std::string pem = user.File("ca.pem", "-----BEGIN CERTIFICATE-----");
  RequireRun(user, {"ca", "import", "again", pem});
  CHECK(user.suite().pki.imported.has_pem());

  RequireRefused(user, {"ca", "cross-sign", "web"}, "name one of: --subject-ca");
  CHECK(absl::StartsWith(user.Run({"ca", "cross-sign", "web", "--subject-ca", "x"}).out,
                         "-----BEGIN CERTIFICATE"));
  const std::string crl = user.folder() + "/web.crl";
  const Result written = user.Run({"ca", "crl", "web", "--publish", "--out", crl});
  CHECK(written.exit_code == 0);
  CHECK(StrContains(written.out, "1 certificate"));
  CHECK(RequireOk(base::ReadFile(crl)) == "a CRL");
  CHECK(absl::StartsWith(user.Run({"ca", "crl", "web", "--pem"}).out, "-----BEGIN X509 CRL"));
  RequireRefused(user, {"ca", "crl", "web", "--shard", "1"}, "there is no such shard");
}

TEST_CASE("A queued request is watched until it is done, and its end is the exit code") {
  Issuer user;
  const std::vector<std::string> add = {"queue",      "add",          "--profile",
                                        "tls-server", "--new-key",    user.Path("q.key"),
                                        "--dns",      "q.example.com"};
  RequireRefused(user, add, "name one of: --ca");
  CHECK_FALSE(base::FileExists(user.Path("q.key")));
  std::vector<std::string> watched = add;
  watched.insert(watched.end(), {"--upstream", "acme", "--watch"});
  Result result = user.Run(watched);
  CAPTURE(result.out, result.err);
  CHECK(result.exit_code == 0);
  CHECK(
      StrContains(result.out, "running, try 1 of 3\nwaiting: the upstream is asleep; next try in"));
  CHECK(StrContains(result.out, "succeeded: tenants/default/certificates/abc"));
  CHECK(user.suite().pki.enqueued.upstream() == "tenants/default/upstreams/acme");
  CHECK(user.suite().pki.enqueued.request().parent().empty());
  CHECK(base::FileExists(user.Path("q.key")));

  user.suite().pki.issuance_fails = true;
  result = user.Run({"queue", "watch", "i1", "--json"});
  CHECK(result.exit_code == 1);
  CHECK(std::count(result.out.begin(), result.out.end(), '\n') == 5);
  CHECK(ParsedJson(result.out.substr(0, result.out.find('\n')))["state"] ==
        "ISSUANCE_STATE_QUEUED");

  CHECK(StrContains(user.Run({"queue", "get", "i1"}).out, "Because"));
  CHECK(
      StrContains(user.Run({"queue", "list", "--state", "failed"}).out, "the upstream is asleep"));
  CHECK(StrContains(user.Run({"queue", "cancel", "i1"}).out, "cancelled"));
  CHECK(StrContains(user.Run({"queue", "retry", "i1"}).out, "queued"));
  const Result status = user.Run({"queue", "status"});
  CHECK(StrContains(status.out, "12 of at most 10000"));
  CHECK(StrContains(status.out, "1 m 1 s ago"));
}

TEST_CASE("Upstream authorities are added, listed and removed") {
  User user;
  const std::string key = user.File("eab", "bWFj\n");
  RequireRun(user,
             {"upstream", "add", "acme", "--acme", "https://acme.example/directory", "--contact",
              "mailto:ops@example.com", "--eab-key-id", "id", "--eab-key-file", key});
  CHECK(user.suite().pki.upstreams["tenants/default/upstreams/acme"].acme().eab_hmac_key() ==
        "bWFj");
  RequireRun(
      user, {"upstream", "add", "other", "--countersign", "ca.example:7101", "--authority", "web"});
  const Result list = user.Run({"upstream", "list"});
  CHECK(StrContains(list.out, "ACME, https://acme.example/directory"));
  CHECK(StrContains(list.out, "Countersign, ca.example:7101, tenants/default/authorities/web"));
  RequireRefused(user, {"upstream", "add", "x"}, "name one of: --acme");
  RequireRefused(user, {"upstream", "add", "x", "--countersign", "h:1"}, "needs --authority");
  RequireRun(user, {"upstream", "remove", "acme"});
  RequireRefused(user, {"upstream", "remove", "acme"}, "there is no");
}

}  // namespace
}  // namespace countersign::cli
