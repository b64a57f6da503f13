// Certificates by HTTP through the gateway: authority, issuance, OCSP, revocation, CRL, search,
// queue.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/crypto/private_key.h"
#include "libs/http/client.h"
#include "libs/http/url.h"
#include "libs/pki/certificate.h"
#include "libs/pki/crl.h"
#include "libs/pki/csr.h"
#include "libs/pki/ocsp_request.h"
#include "libs/pki/ocsp_response.h"
#include "libs/testing/eventually.h"
#include "libs/testing/matchers.h"
#include "libs/testing/temp_dir.h"
#include "tests/e2e/suite_process.h"

namespace countersign::e2e {
namespace {

using base::Base64Encode;
using nlohmann::json;
using testing::RequireOk;
using testing::TempDir;
using Kind = pki::OcspResponse::Single::Kind;

constexpr char kTenant[] = "/tenants/default";

std::string Decode(const json& text) {
  return RequireOk(base::Base64Decode(text.get<std::string>()));
}

// A suite with a root and an issuing authority below it, reached through the gateway alone.
class Pki {
 public:
  Pki() : suite_(dir_.path() + "/data", {"--witnesses", "0"}) {
    const std::string gateway = absl::StrCat("http://", suite_.Address("gateway"));
    const json settings = {{"ocspUrls", {gateway + "/ocsp"}},
                           {"crlUrl", gateway + "/crl/default/web/{shard}.crl"},
                           {"issuerUrls", {gateway + "/issuer/default/web.der"}},
                           {"ocspNonces", true}};
    Post("/authorities", {{"authorityId", "root"},
                          {"authority",
                           {{"subject", "CN=Root"},
                            {"algorithm", "ALGORITHM_ECDSA_P256_SHA256"},
                            {"pathLength", 1}}}});
    const json web = Post("/authorities", {{"authorityId", "web"},
                                           {"authority",
                                            {{"subject", "CN=Web"},
                                             {"issuer", "tenants/default/authorities/root"},
                                             {"algorithm", "ALGORITHM_ECDSA_P256_SHA256"},
                                             {"settings", settings}}}});
    issuer_ = RequireOk(pki::ParseCertificate(Decode(web.at("authority").at("chain").at(0))));
  }

  SuiteProcess& suite() { return suite_; }
  const pki::Certificate& issuer() const { return issuer_; }

  json Get(const std::string& path) const { return suite_.Api(200, "GET", kTenant + path); }
  json Post(const std::string& path, const json& body) const {
    return suite_.Api(200, "POST", kTenant + path, body);
  }

  static std::string Csr(const std::string& host) {
    const auto key = RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
    return RequireOk(pki::BuildCsr({}, {{pki::GeneralName::Kind::kDns, host}}, key));
  }

  json Issue(const std::string& host, const json& more = json::object()) const {
    json body = {{"profile", "CERTIFICATE_PROFILE_TLS_SERVER"}, {"csr", Base64Encode(Csr(host))}};
    body.update(more);
    return Post("/authorities/web/certificates", body).at("certificate");
  }

  std::string OcspRequest(const pki::Certificate& certificate, pki::OcspHash hash,
                          const std::string& nonce = "") const {
    return pki::BuildOcspRequest(hash, issuer_.subject_der, issuer_.key_bits, certificate.serial,
                                 nonce);
  }

  http::Response Raw(const std::string& method, const std::string& target,
                     const std::string& body = "", http::Headers headers = {}) const {
    http::ClientRequest request;
    request.method = method;
    request.url = absl::StrCat("http://", suite_.Address("gateway"), target);
    if (!body.empty()) headers.Add("Content-Type", "application/ocsp-request");
    request.headers = std::move(headers);
    request.body = body;
    http::Client client;
    return RequireOk(client.Call(std::move(request)));
  }

  // The one answer of a response, which must be signed for this issuer.
  pki::OcspResponse::Single Verified(const http::Response& response,
                                     const std::string& nonce = "") const {
    CHECK(response.status == 200);
    CHECK(response.headers.Get("Content-Type") == "application/ocsp-response");
    const auto parsed = RequireOk(pki::ParseOcspResponse(response.body_view()));
    REQUIRE(parsed.response_status == 0);
    CHECK_THAT(pki::CheckOcspResponse(parsed, issuer_, absl::Now()), testing::IsOk());
    CHECK(parsed.nonce == nonce);
    REQUIRE(parsed.singles.size() == 1);
    return parsed.singles[0];
  }
  Kind StatusOf(const pki::Certificate& certificate) const {
    return Verified(Raw("POST", "/ocsp", OcspRequest(certificate, pki::OcspHash::kSha256))).kind;
  }

 private:
  TempDir dir_;
  SuiteProcess suite_;
  pki::Certificate issuer_;
};

TEST_CASE("A certificate is good from the moment it is issued, and revoked from the moment it is") {
  Pki pki;
  const json issued = pki.Issue("www.example.com", {{"ownerTeam", "web"}});
  const auto certificate = RequireOk(pki::ParseCertificate(Decode(issued.at("der"))));
  CHECK_THAT(certificate.CheckIssuedBy(pki.issuer()), testing::IsOk());
  CHECK(issued.at("hostNames") == json::array({"www.example.com"}));
  for (const pki::OcspHash hash : {pki::OcspHash::kSha1, pki::OcspHash::kSha256}) {
    const std::string request = pki.OcspRequest(certificate, hash);
    const http::Response posted = pki.Raw("POST", "/ocsp", request);
    const auto single = pki.Verified(posted);
    CHECK(single.kind == Kind::kGood);
    CHECK(single.serial == certificate.serial);
    CHECK(single.hash == hash);
    // GET answers the same bytes, however its base64 is written.
    const std::string base64 = Base64Encode(request);
    for (const std::string& path : {base64, http::PercentEncode(base64), "/" + base64,
                                    absl::StrReplaceAll(base64, {{"/", "%2F"}, {"+", "%2b"}})}) {
      CAPTURE(path);
      CHECK(pki.Raw("GET", "/ocsp/" + path).body_view() == posted.body_view());
    }
    const http::Headers known = {{"If-None-Match", std::string(posted.headers.Get("ETag"))}};
    CHECK(pki.Raw("GET", "/ocsp/" + base64, "", known).status == 304);
  }
  const std::string nonce(32, 'n');
  const http::Response live =
      pki.Raw("POST", "/ocsp", pki.OcspRequest(certificate, pki::OcspHash::kSha1, nonce));
  CHECK(pki.Verified(live, nonce).kind == Kind::kGood);
  CHECK(pki.Get(absl::StrCat("/authorities/web/certificateStatus?serialNumber=",
                             certificate.SerialHex()))
            .at("status") == "CERTIFICATE_STATUS_GOOD");

  const std::string path = absl::StrCat("/certificates/", certificate.SerialHex());
  const json revoked = pki.Post(path + ":revoke", {{"reason", "REVOCATION_REASON_KEY_COMPROMISE"}});
  CHECK(revoked.at("certificate").at("status") == "CERTIFICATE_STATUS_REVOKED");
  // The answer means that the responder says so.
  const auto gone =
      pki.Verified(pki.Raw("POST", "/ocsp", pki.OcspRequest(certificate, pki::OcspHash::kSha256)));
  CHECK(gone.kind == Kind::kRevoked);
  CHECK(gone.reason == 1);
  CHECK(pki.Post(path + ":revoke", {{"reason", "REVOCATION_REASON_KEY_COMPROMISE"}}) == revoked);
  CHECK(pki.suite()
            .Problem(400, "POST", kTenant + path + ":revoke",
                     {{"reason", "REVOCATION_REASON_SUPERSEDED"}})
            .at("reason") == "ALREADY_REVOKED");

  // A compromised key is on the CRL at once, where the certificate says.
  REQUIRE(certificate.extensions.crl_urls.size() == 1);
  const http::Url url = RequireOk(http::ParseHttpUrl(certificate.extensions.crl_urls[0]));
  pki::Crl crl;
  CHECK(testing::Eventually([&] {
    const http::Response file = pki.Raw("GET", url.target);
    if (file.status != 200) return false;
    crl = RequireOk(pki::ParseCrl(file.body_view()));
    return crl.revoked.size() == 1;
  }));
  REQUIRE(crl.revoked.size() == 1);
  CHECK(crl.revoked[0].serial == certificate.serial);
  CHECK(crl.revoked[0].reason == 1);
  CHECK(Decode(pki.Get("/authorities/web/crl?shard=0").at("der")) == crl.der);
  REQUIRE(certificate.extensions.issuer_urls.size() == 1);
  const http::Url issuer = RequireOk(http::ParseHttpUrl(certificate.extensions.issuer_urls[0]));
  CHECK(pki.Raw("GET", issuer.target).body_view() == pki.issuer().der);
}

TEST_CASE("A hold ends, and a serial that was never issued is nobody's") {
  Pki pki;
  const json issued = pki.Issue("www.example.com");
  const auto certificate = RequireOk(pki::ParseCertificate(Decode(issued.at("der"))));
  const std::string path = absl::StrCat("/certificates/", certificate.SerialHex());
  pki.Post(path + ":revoke", {{"reason", "REVOCATION_REASON_CERTIFICATE_HOLD"}});
  CHECK(pki.StatusOf(certificate) == Kind::kRevoked);
  pki.Post(path + ":release", json::object());
  CHECK(pki.StatusOf(certificate) == Kind::kGood);
  pki::Certificate other = certificate;
  other.serial[0] = static_cast<char>(other.serial[0] ^ 1);
  const http::Response unknown =
      pki.Raw("POST", "/ocsp", pki.OcspRequest(other, pki::OcspHash::kSha256));
  CHECK(unknown.status == 200);
  CHECK(unknown.body_view() == absl::string_view("0\x03\x0a\x01\x06", 5));
  CHECK(pki.Raw("GET", "/ocsp/!").body_view() == absl::string_view("0\x03\x0a\x01\x01", 5));
  CHECK(pki.Get("/authorities/web").at("authority").at("subject") == "CN=Web");
  CHECK(pki.suite()
            .Problem(404, "GET",
                     absl::StrCat(kTenant, "/authorities/none/certificateStatus?serialNumber=1"))
            .at("code") == "NOT_FOUND");
}

TEST_CASE("Certificates are found by each of their columns, and changed in bulk") {
  Pki pki;
  std::vector<std::string> names;
  for (int i = 0; i < 5; ++i) {
    const json issued = pki.Issue(absl::StrCat("h", i, ".example.com"),
                                  {{"ownerTeam", i < 3 ? "ops" : "dev"},
                                   {"environment", "production"},
                                   {"lifetime", absl::StrCat((i + 1) * 86400, "s")}});
    names.push_back(issued.at("name"));
  }
  const auto found = [&](const std::string& query) {
    std::vector<std::string> result;
    const json answer = pki.Get("/certificates?" + query);
    for (const json& certificate : answer.at("certificates")) {
      if (certificate.at("hostNames").empty()) continue;  // the authorities' own
      result.push_back(certificate.at("name"));
    }
    return result;
  };
  // Those that expire first come first.
  CHECK(found("filter.environment=production") == names);
  CHECK(found("filter.ownerTeam=ops") ==
        std::vector<std::string>(names.begin(), names.begin() + 3));
  CHECK(found("filter.hostName=h3.example.com") == std::vector<std::string>{names[3]});
  const std::string soon =
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now() + absl::Hours(36), absl::UTCTimeZone());
  CHECK(found("filter.environment=production&filter.expiresBefore=" + soon) ==
        std::vector<std::string>{names[0]});
  const json one =
      pki.Get(names[2].substr(std::string("tenants/default").size())).at("certificate");
  CHECK(found("filter.fingerprintSha256=" + one.at("fingerprintSha256").get<std::string>()) ==
        std::vector<std::string>{names[2]});
  CHECK(found("filter.keyFingerprint=" + one.at("keyFingerprint").get<std::string>()) ==
        std::vector<std::string>{names[2]});
  const json page = pki.Get("/certificates?filter.environment=production&pageSize=2");
  CHECK(page.at("certificates").size() == 2);
  CHECK(found("filter.environment=production&pageSize=2&pageToken=" +
              http::PercentEncode(page.at("nextPageToken").get<std::string>())) ==
        std::vector<std::string>(names.begin() + 2, names.begin() + 4));

  CHECK(pki.Post("/certificates:bulkUpdate",
                 {{"filter", {{"ownerTeam", "ops"}}}, {"ownerTeam", "platform"}})
            .at("updated") == "3");
  CHECK(found("filter.ownerTeam=ops").empty());
  CHECK(pki.Post("/certificates:batchRevoke",
                 {{"ownerTeam", "platform"}, {"reason", "REVOCATION_REASON_SUPERSEDED"}})
            .at("names")
            .size() == 3);
  CHECK(found("filter.environment=production&filter.statuses=CERTIFICATE_STATUS_ACTIVE") ==
        std::vector<std::string>(names.begin() + 3, names.end()));
}

TEST_CASE("The queue issues in the background, and a renewal replaces what it finds") {
  Pki pki;
  const json first = pki.Issue("www.example.com", {{"ownerTeam", "web"}});
  const json queued =
      pki.Post("/issuances", {{"request",
                               {{"parent", "tenants/default/authorities/web"},
                                {"profile", "CERTIFICATE_PROFILE_TLS_SERVER"},
                                {"csr", Base64Encode(Pki::Csr("queued.example.com"))},
                                {"ownerTeam", "queue"}}}});
  const std::string name = queued.at("issuance").at("name");
  json issuance;
  CHECK(testing::Eventually([&] {
    issuance = pki.suite().Api(200, "GET", "/" + name).at("issuance");
    return issuance.at("state") == "ISSUANCE_STATE_SUCCEEDED";
  }));
  INFO(issuance.dump());
  CHECK(pki.suite()
            .Api(200, "GET", "/" + issuance.at("certificate").get<std::string>())
            .at("certificate")
            .at("ownerTeam") == "queue");
  const std::string renewal =
      pki.Post("/renewals", {{"filter", {{"ownerTeam", "web"}}}}).at("renewal").at("name");
  json state;
  CHECK(testing::Eventually([&] {
    state = pki.suite().Api(200, "GET", "/" + renewal).at("renewal");
    return state.at("done") == true;
  }));
  INFO(state.dump());
  CHECK(state.at("succeeded") == "1");
  CHECK(pki.Get(first.at("name").get<std::string>().substr(std::string("tenants/default").size()))
            .at("certificate")
            .at("status") == "CERTIFICATE_STATUS_REPLACED");
  CHECK(pki.Get("/issuanceQueue").at("waiting") == "0");
  pki.Post("/upstreams",
           {{"upstreamId", "other"},
            {"upstream",
             {{"countersign",
               {{"address", "127.0.0.1:1"}, {"authority", "tenants/x/authorities/y"}}}}}});
  CHECK(pki.Get("/upstreams").at("upstreams").size() == 1);
  pki.suite().Api(200, "DELETE", absl::StrCat(kTenant, "/upstreams/other"));
  CHECK(pki.Get("/upstreams").at("upstreams").empty());
}

TEST_CASE("From the command line: authority, certificate, status, revocation") {
  TempDir dir;
  const SuiteProcess suite(dir.path() + "/data", {"--witnesses", "0"});
  const auto run = [&](std::vector<std::string> args, int exit_code = 0) {
    const CommandResult result = suite.Run(std::move(args));
    INFO(result.output);
    CHECK(result.exit_code == exit_code);
    return result.output;
  };
  // Nothing of a PKI is there by itself.
  CHECK_THAT(run({"ca", "list"}), Catch::Contains("No authorities yet"));
  const std::string gateway = absl::StrCat("http://", suite.Address("gateway"));
  run({"ca", "create", "root", "--subject", "CN=Root", "--public-url", gateway});
  RequireOk(
      base::WriteFileAtomically(dir.path() + "/root.pem", run({"ca", "get", "root", "--pem"})));
  const std::string stem = dir.path() + "/server";
  run({"cert", "issue", "--ca", "root", "--profile", "tls-server", "--new-key", stem + ".key",
       "--dns", "www.example.com", "--owner", "web"});
  const std::vector<std::string> status = {"ocsp", "status", stem + ".cert.pem", "--issuer",
                                           dir.path() + "/root.pem"};
  CHECK_THAT(run(status), Catch::Contains("Good"));
  CHECK_THAT(run({"cert", "find", "--owner", "web", "--expires-within", "91d"}),
             Catch::Contains("www.example.com"));
  CHECK_THAT(run({"cert", "renew", "--owner", "web"}), Catch::Contains("Renewed 1 of 1"));
  run({"cert", "revoke", stem + ".cert.pem", "--reason", "superseded"});
  CHECK_THAT(run(status, 1), Catch::Contains("REVOKED"));
  CHECK_THAT(run({"ca", "crl", "root", "--publish"}), Catch::Contains("1 certificate"));
}

}  // namespace
}  // namespace countersign::e2e
