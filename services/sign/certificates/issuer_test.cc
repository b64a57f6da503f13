#include "services/sign/certificates/issuer.h"

#include <future>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/base/manual_clock.h"
#include "libs/base/thread_pool.h"
#include "libs/crypto/digest.h"
#include "libs/pki/csr.h"
#include "libs/pki/ocsp_record.h"
#include "libs/pki/oid.h"
#include "libs/pki/path.h"
#include "libs/pki/pem.h"
#include "libs/runtime/error_details.h"
#include "libs/storage/testing.h"
#include "libs/testing/command.h"
#include "libs/testing/matchers.h"
#include "services/sign/certificates/profiles.h"
#include "services/sign/errors.h"
#include "services/sign/testing.h"

namespace countersign::sign {
namespace {

using absl::StatusCode;
using storage::Engine;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kRoot[] = "tenants/default/authorities/root";
constexpr char kIssuing[] = "tenants/default/authorities/issuing";
constexpr char kRequestId[] = "9f1b0000-0000-4000-8000-000000000001";
constexpr char kOtherRequestId[] = "9f1b0000-0000-4000-8000-000000000002";

crypto::PrivateKey NewKey(crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm));
}

std::string CsrFor(const std::string& subject, const std::vector<std::string>& names,
                   const crypto::PrivateKey& key) {
  std::vector<pki::GeneralName> general;
  for (const std::string& name : names) general.push_back(RequireOk(pki::ParseGeneralName(name)));
  const pki::Name name = subject.empty() ? pki::Name() : RequireOk(pki::ParseNameText(subject));
  return RequireOk(pki::BuildCsr(name, general, key));
}

v1::IssueCertificateRequest RequestFor(v1::CertificateProfile profile, const std::string& csr) {
  v1::IssueCertificateRequest request;
  request.set_parent(kIssuing);
  request.set_profile(profile);
  request.set_csr(csr);
  return request;
}

v1::IssueCertificateRequest ServerRequest(const std::string& host = "www.example.com") {
  return RequestFor(v1::CERTIFICATE_PROFILE_TLS_SERVER, CsrFor("", {"DNS:" + host}, NewKey()));
}

// A sign process with a root and, below it, an issuing authority that has no name constraints.
struct TestIssuer {
  explicit TestIssuer(Engine engine, v1::Algorithm algorithm = v1::ALGORITHM_ECDSA_P256_SHA256)
      : empty(engine), keys(RequireOk(KeyStore::Open(empty.Open(), TestKek(), &clock))) {
    v1::Authority root;
    root.set_subject("CN=Example Root,O=Example,C=DE");
    root.set_algorithm(algorithm);
    root.set_path_length(-1);
    Create("root", root);
    v1::Authority issuing = root;
    issuing.set_subject("CN=Example Issuing,O=Example,C=DE");
    issuing.set_issuer(kRoot);
    v1::AuthoritySettings& settings = *issuing.mutable_settings();
    settings.add_ocsp_urls("http://ocsp.example.com/");
    settings.add_issuer_urls("http://ca.example.com/issuing.crt");
    settings.set_crl_url("http://crl.example.com/{shard}.crl");
    settings.set_crl_shards(4);
    Create("issuing", issuing);
  }

  void Create(const std::string& id, const v1::Authority& authority) {
    v1::CreateAuthorityRequest request;
    request.set_parent("tenants/default");
    request.set_authority_id(id);
    *request.mutable_authority() = authority;
    RequireOk(authorities.CreateAuthority(request).status());
  }

  void Disable(const std::string& name) {
    v1::UpdateAuthorityRequest request;
    request.mutable_authority()->set_name(name);
    request.mutable_authority()->set_disabled(true);
    request.mutable_update_mask()->add_paths("disabled");
    RequireOk(authorities.UpdateAuthority(request).status());
  }

  absl::StatusOr<v1::IssueCertificateResponse> Issue(const v1::IssueCertificateRequest& request) {
    std::promise<absl::StatusOr<v1::IssueCertificateResponse>> promise;
    issuer.Issue(request, nullptr, [&](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  absl::StatusOr<v1::BatchIssueCertificatesResponse> IssueBatch(
      const v1::BatchIssueCertificatesRequest& request) {
    std::promise<absl::StatusOr<v1::BatchIssueCertificatesResponse>> promise;
    issuer.IssueBatch(request, [&](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  // The reason for which `request` is refused; nothing of it is in the inventory then.
  std::string Refusal(const v1::IssueCertificateRequest& request,
                      StatusCode code = StatusCode::kInvalidArgument) {
    const int64_t before = Count();
    const auto result = Issue(request);
    CHECK(result.status().code() == code);
    CHECK(Count() == before);
    return runtime::ReasonOf(result.status()).value_or(std::string(result.status().message()));
  }

  int64_t Count() {
    return RequireOk(keys->database()->Query("SELECT COUNT(*) FROM certificates"))[0].Int(0);
  }

  base::ManualClock clock{absl::FromUnixSeconds(1800000000)};
  const storage::EmptyDatabase empty;
  base::ThreadPool executor{2};
  const std::unique_ptr<KeyStore> keys;
  KeyRing ring{keys.get(), &executor, {.clock = &clock}};
  FakeLedger ledger;
  Signing signing{{.keys = &ring,
                   .store = keys.get(),
                   .ledger = &ledger,
                   .executor = &executor,
                   .default_log = "tenants/default/logs/main"}};
  CertificateStore certificates{{.database = keys->database(), .clock = &clock}};
  pki::WeakKeys weak_keys;
  Authorities authorities{{.keys = keys.get(),
                           .key_ring = &ring,
                           .certificates = &certificates,
                           .ocsp_kek = TestKek('o'),
                           .clock = &clock}};
  Issuer issuer{{.authorities = &authorities,
                 .certificates = &certificates,
                 .weak_keys = &weak_keys,
                 .signing = &signing,
                 .executor = &executor,
                 .clock = &clock}};
};

pki::Certificate Parsed(const v1::IssueCertificateResponse& response) {
  return RequireOk(pki::ParseCertificate(response.certificate().der()));
}

TEST_CASE("Each profile's certificates verify, here and by openssl") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestIssuer test(engine);
  const testing::TempDir dir;
  const auto verify = [&](const v1::IssueCertificateResponse& response,
                          const std::string& purpose) {
    std::vector<pki::Certificate> path = {Parsed(response)};
    REQUIRE(response.issuers_size() == 2);
    for (const std::string& der : response.issuers()) {
      path.push_back(RequireOk(pki::ParseCertificate(der)));
    }
    CHECK_THAT(pki::CheckPath(path, test.clock.Now()), IsOk());
    const auto write = [&](const std::string& name, const std::string& der) {
      const std::string file = dir.path() + "/" + name;
      RequireOk(base::WriteFileDurably(file, pki::FormatPem("CERTIFICATE", der)));
      return file;
    };
    const std::string leaf = write("leaf", response.certificate().der());
    const std::string untrusted = write("issuing", response.issuers(0));
    const std::string root = write("root", response.issuers(1));
    const auto result = testing::RunCommand(
        absl::StrCat("openssl verify -x509_strict -attime ", absl::ToUnixSeconds(test.clock.Now()),
                     " ", purpose, " -CAfile ", root, " -untrusted ", untrusted, " ", leaf));
    INFO(result.output);
    CHECK(result.exit_code == 0);
  };

  SECTION("tls-server") {
    auto request = RequestFor(
        v1::CERTIFICATE_PROFILE_TLS_SERVER,
        CsrFor("CN=www.example.com,O=Example", {"DNS:www.example.com", "IP:192.0.2.1"}, NewKey()));
    request.set_owner_team("web");
    request.set_environment("production");
    (*request.mutable_labels())["app"] = "shop";
    const auto response = RequireOk(test.Issue(request));
    verify(response, "-purpose sslserver -verify_hostname www.example.com");
    const v1::Certificate& answered = response.certificate();
    const pki::Certificate parsed = Parsed(response);
    CHECK(answered.serial_number() == parsed.SerialHex());
    CHECK(parsed.serial.size() == 16);
    CHECK(answered.subject() == "CN=www.example.com,O=Example");
    CHECK(answered.issuer() == "CN=Example Issuing,O=Example,C=DE");
    CHECK(answered.authority() == kIssuing);
    CHECK(answered.owner_team() == "web");
    CHECK(answered.labels().at("app") == "shop");
    CHECK(parsed.extensions.ocsp_urls == std::vector<std::string>{"http://ocsp.example.com/"});
    CHECK(parsed.extensions.issuer_urls ==
          std::vector<std::string>{"http://ca.example.com/issuing.crt"});
    const auto row = RequireOk(test.keys->database()->Query(
        "SELECT crl_shard, csr FROM certificates WHERE certificate_id = $1",
        {storage::Value::Text(answered.serial_number())}));
    CHECK(parsed.extensions.crl_urls ==
          std::vector<std::string>{absl::StrCat("http://crl.example.com/", row[0].Int(0), ".crl")});
    CHECK(row[0].Bytes(1) == request.csr());
    CHECK(answered.not_before().seconds() == absl::ToUnixSeconds(test.clock.Now()) - 300);
    const double life =
        static_cast<double>(answered.not_after().seconds() - answered.not_before().seconds());
    const double renewed =
        static_cast<double>(answered.renew_time().seconds() - answered.not_before().seconds());
    CHECK(renewed / life > 0.6);
    CHECK(renewed / life < 0.73);
    // With its first OCSP response for both hashes.
    const auto record =
        RequireOk(test.keys->database()->Query("SELECT record FROM ocsp_records WHERE serial = $1",
                                               {storage::Value::Bytes(parsed.serial)}));
    const auto unpacked = RequireOk(pki::UnpackOcspRecord(record[0].Bytes(0)));
    CHECK(unpacked.status.serial == parsed.serial);
    CHECK_FALSE(unpacked.status.revoked);
    CHECK(unpacked.not_after == answered.not_after().seconds());
    CHECK_FALSE(unpacked.sha1_signature.empty());
    CHECK_FALSE(unpacked.sha256_signature.empty());
  }
  SECTION("tls-client") {
    verify(RequireOk(test.Issue(RequestFor(
               v1::CERTIFICATE_PROFILE_TLS_CLIENT,
               CsrFor("CN=someone", {"email:a@example.com", "URI:spiffe://example.com/a"},
                      NewKey(crypto::Algorithm::kEd25519))))),
           "-purpose sslclient");
  }
  SECTION("code-signing") {
    verify(RequireOk(test.Issue(RequestFor(
               v1::CERTIFICATE_PROFILE_CODE_SIGNING,
               CsrFor("CN=Example Ltd,C=DE", {}, NewKey(crypto::Algorithm::kEcdsaP384Sha384))))),
           "");
  }
  SECTION("intermediate-ca") {
    const auto response = RequireOk(test.Issue(
        RequestFor(v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA, CsrFor("CN=Sub", {}, NewKey()))));
    verify(response, "");
    CHECK(Parsed(response).extensions.basic_constraints->path_length == 0);
  }
  SECTION("ocsp-signer") {
    const auto response = RequireOk(test.Issue(
        RequestFor(v1::CERTIFICATE_PROFILE_OCSP_SIGNER, CsrFor("CN=OCSP", {}, NewKey()))));
    verify(response, "-purpose ocsphelper");
    CHECK(Parsed(response).extensions.ocsp_no_check);
    CHECK(Parsed(response).extensions.ocsp_urls.empty());
  }
  SECTION("short-lived") {
    const auto response = RequireOk(test.Issue(RequestFor(
        v1::CERTIFICATE_PROFILE_SHORT_LIVED, CsrFor("", {"DNS:a.example.com"}, NewKey()))));
    verify(response, "-purpose sslserver");
    CHECK(Parsed(response).extensions.ocsp_urls.empty());
    CHECK(Parsed(response).extensions.crl_urls.empty());
  }
}

TEST_CASE("Authorities of every algorithm issue") {
  const auto algorithm =
      GENERATE(v1::ALGORITHM_ED25519, v1::ALGORITHM_ECDSA_P384_SHA384,
               v1::ALGORITHM_RSA_PSS_2048_SHA256, v1::ALGORITHM_RSA_PKCS1_2048_SHA256);
  TestIssuer test(Engine::kSqlite, algorithm);
  const auto response = RequireOk(test.Issue(ServerRequest()));
  std::vector<pki::Certificate> path = {Parsed(response)};
  for (const std::string& der : response.issuers()) {
    path.push_back(RequireOk(pki::ParseCertificate(der)));
  }
  CHECK_THAT(pki::CheckPath(path, test.clock.Now()), IsOk());
}

TEST_CASE("A PEM request and names of the caller's choice are taken") {
  TestIssuer test(Engine::kSqlite);
  auto request =
      RequestFor(v1::CERTIFICATE_PROFILE_TLS_SERVER,
                 pki::FormatPem("CERTIFICATE REQUEST",
                                CsrFor("CN=old.example.com", {"DNS:old.example.com"}, NewKey())));
  request.add_subject_alt_names("DNS:New.example.com");
  request.set_subject("CN=new.example.com,O=Other");
  request.mutable_lifetime()->set_seconds(86400);
  request.mutable_not_before()->set_seconds(1800000060);
  const v1::Certificate issued = RequireOk(test.Issue(request)).certificate();
  CHECK(issued.subject() == "CN=new.example.com,O=Other");
  REQUIRE(issued.host_names_size() == 1);
  CHECK(issued.host_names(0) == "new.example.com");
  CHECK(issued.not_before().seconds() == 1800000060);
  CHECK(issued.not_after().seconds() == 1800000060 + 86399);
}

TEST_CASE("What must not be issued is refused with its reason, and leaves nothing behind") {
  TestIssuer test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  const auto server = [](const std::string& csr) {
    return RequestFor(v1::CERTIFICATE_PROFILE_TLS_SERVER, csr);
  };
  const std::string good = CsrFor("", {"DNS:www.example.com"}, NewKey());
  CHECK(test.Refusal(server("garbage")) == kBadCsr);
  CHECK(test.Refusal(server(good.substr(0, good.size() - 1))) == kBadCsr);
  CHECK(test.Refusal(server(good + "x")) == kBadCsr);
  CHECK(test.Refusal(server(std::string(1 << 20, 'A'))) == kBadCsr);
  CHECK(test.Refusal(server("-----BEGIN CERTIFICATE REQUEST-----\n")) == kBadCsr);
  std::string forged = good;
  forged[forged.size() - 5] ^= 1;
  CHECK(test.Refusal(server(forged)) == kBadCsrSignature);
  std::string altered = good;
  altered[altered.find("www")] = 'x';
  CHECK(test.Refusal(server(altered)) == kBadCsrSignature);
  CHECK(test.Refusal(server(CsrFor("CN=www.example.com", {}, NewKey()))) == kProfile);
  CHECK(test.Refusal(server(CsrFor("", {"email:a@example.com"}, NewKey()))) == kProfile);
  CHECK(test.Refusal(RequestFor(v1::CERTIFICATE_PROFILE_ROOT_CA, good)) == kProfile);

  auto request = server(good);
  request.add_subject_alt_names("DNS:bad..example");
  CHECK(test.Refusal(request) == kBadName);
  request = server(good);
  request.set_subject("not a name");
  CHECK(test.Refusal(request) == kBadName);
  request = server(good);
  request.mutable_lifetime()->set_seconds(399 * 86400);
  CHECK(test.Refusal(request) == kBadValidity);
  request.mutable_lifetime()->set_seconds(-1);
  CHECK(test.Refusal(request) == kBadValidity);
  request = server(good);
  request.mutable_not_before()->set_seconds(1500000000);
  CHECK(test.Refusal(request) == kBadValidity);

  const auto field = [&](auto set, const std::string& name) {
    auto wrong = server(good);
    set(wrong);
    CHECK(absl::StartsWith(test.Refusal(wrong), name));
  };
  field([](auto& r) { r.clear_csr(); }, "csr");
  field([](auto& r) { r.clear_profile(); }, "profile");
  field([](auto& r) { r.set_owner_team(std::string(129, 'x')); }, "owner_team");
  field([](auto& r) { r.set_environment("a\nb"); }, "environment");
  field([](auto& r) { (*r.mutable_labels())["Bad Key"] = ""; }, "labels");
  field([](auto& r) { r.set_request_id("no uuid"); }, "request_id");
  field([](auto& r) { r.set_replaces("tenants/default/certificates/XYZ"); }, "replaces");
  field([](auto& r) { r.set_replaces("tenants/other/certificates/12"); }, "replaces");

  request = server(good);
  request.set_parent("tenants/default/authorities/unknown");
  CHECK_THAT(test.Issue(request), StatusIs(StatusCode::kNotFound));
  request.set_parent("nonsense");
  CHECK_THAT(test.Issue(request), StatusIs(StatusCode::kInvalidArgument));
  request = server(good);
  request.set_replaces("tenants/default/certificates/12");
  CHECK_THAT(test.Issue(request), StatusIs(StatusCode::kNotFound, "to replace"));
  CHECK_THAT(test.Issue(server(good)), IsOk());
}

TEST_CASE("Names outside of the constraints of any authority above are refused") {
  TestIssuer test(Engine::kSqlite);
  v1::Authority middle;
  middle.set_subject("CN=Constrained");
  middle.set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
  middle.set_issuer(kRoot);
  middle.set_path_length(-1);
  middle.mutable_settings()->add_permitted_names("example.com");
  middle.mutable_settings()->add_permitted_names("10.0.0.0/8");
  middle.mutable_settings()->add_excluded_names("secret.example.com");
  test.Create("middle", middle);
  v1::Authority below = middle;
  below.clear_settings();
  below.set_subject("CN=Below");
  below.set_issuer("tenants/default/authorities/middle");
  test.Create("below", below);

  const auto issue = [&](const std::string& name) {
    auto request = RequestFor(v1::CERTIFICATE_PROFILE_TLS_SERVER, CsrFor("", {name}, NewKey()));
    request.set_parent("tenants/default/authorities/below");
    return request;
  };
  CHECK_THAT(test.Issue(issue("DNS:www.example.com")), IsOk());
  CHECK_THAT(test.Issue(issue("IP:10.1.2.3")), IsOk());
  CHECK(test.Refusal(issue("DNS:www.example.org")) == kForbiddenName);
  CHECK(test.Refusal(issue("DNS:a.secret.example.com")) == kForbiddenName);
  CHECK(test.Refusal(issue("IP:192.0.2.1")) == kForbiddenName);
}

TEST_CASE("An authority that is disabled, has expired or may not issue says so") {
  TestIssuer test(Engine::kSqlite);
  auto request =
      RequestFor(v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA, CsrFor("CN=Sub", {}, NewKey()));
  v1::Authority last;
  last.set_subject("CN=Last");
  last.set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
  last.set_issuer(kRoot);
  last.set_path_length(0);
  test.Create("last", last);
  request.set_parent("tenants/default/authorities/last");
  CHECK(test.Refusal(request, StatusCode::kFailedPrecondition) == kIssuerCannot);

  test.Disable("tenants/default/authorities/last");
  auto server = ServerRequest();
  server.set_parent("tenants/default/authorities/last");
  CHECK(test.Refusal(server, StatusCode::kFailedPrecondition) == kAuthorityDisabled);

  test.clock.Advance(absl::Hours(24 * 366 * 5));
  CHECK(test.Refusal(ServerRequest(), StatusCode::kFailedPrecondition) == kIssuerExpired);
}

TEST_CASE("A usual life ends with the authority's, one that was asked for must fit") {
  TestIssuer test(Engine::kSqlite);
  test.clock.Advance(absl::Hours(24 * (5 * 365 - 10)));
  RequireOk(test.authorities.RotateExpiringOcspSigners());
  const auto response = RequireOk(test.Issue(ServerRequest()));
  CHECK(Parsed(response).not_after ==
        RequireOk(pki::ParseCertificate(response.issuers(0))).not_after);
  auto request = ServerRequest();
  request.mutable_lifetime()->set_seconds(90 * 86400);
  CHECK(test.Refusal(request) == kBadValidity);
}

TEST_CASE("A repeated request is answered with the first certificate, whatever happened since") {
  TestIssuer test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  auto request = ServerRequest();
  request.set_request_id(kRequestId);
  const auto first = RequireOk(test.Issue(request));
  CHECK(RequireOk(test.Issue(request)).certificate().name() == first.certificate().name());
  // In a batch too.
  v1::BatchIssueCertificatesRequest batch;
  batch.set_parent(kIssuing);
  *batch.add_requests() = request;
  batch.mutable_requests(0)->clear_parent();
  CHECK(RequireOk(test.IssueBatch(batch)).results(0).certificate().name() ==
        first.certificate().name());

  auto other = ServerRequest("other.example.com");
  other.set_request_id(kRequestId);
  CHECK(test.Refusal(other, StatusCode::kAlreadyExists) == kRequestIdReused);

  test.Disable(kIssuing);
  CHECK(RequireOk(test.Issue(request)).certificate().name() == first.certificate().name());
  other.set_request_id(kOtherRequestId);
  CHECK(test.Refusal(other, StatusCode::kFailedPrecondition) == kAuthorityDisabled);
}

TEST_CASE("A renewal replaces its predecessor") {
  TestIssuer test(Engine::kSqlite);
  const v1::Certificate old = RequireOk(test.Issue(ServerRequest())).certificate();
  auto request = ServerRequest();
  request.set_replaces(old.name());
  CHECK(RequireOk(test.Issue(request)).certificate().replaces() == old.name());
  CHECK(RequireOk(test.certificates.Get(old.name())).status() == v1::CERTIFICATE_STATUS_REPLACED);
}

TEST_CASE("An issuance is logged when that is asked for, once however often it is repeated") {
  TestIssuer test(Engine::kSqlite);
  auto request = ServerRequest();
  request.set_request_id(kRequestId);
  request.set_ledger(v1::LEDGER_WAIT_INTEGRATED);
  const auto first = RequireOk(test.Issue(request));
  CHECK(first.ledger_proof().log_origin() == "tenants/default/logs/main");
  CHECK(first.ledger_proof().checkpoint() == "checkpoint");
  const std::string digest =
      base::Base64Encode(base::AsBytes(crypto::Sha256(first.certificate().der())));
  CHECK(absl::StrContains(first.ledger_proof().canonicalized_body(), digest));
  const auto second = RequireOk(test.Issue(request));
  CHECK(second.certificate().name() == first.certificate().name());
  CHECK(second.ledger_proof().canonicalized_body() == first.ledger_proof().canonicalized_body());
  CHECK(test.ledger.size() == 1);

  // A log that fails leaves a certificate that the same request goes on with.
  auto failing = ServerRequest();
  failing.set_request_id(kOtherRequestId);
  failing.set_ledger(v1::LEDGER_WAIT_SEQUENCED);
  failing.set_log("tenants/default/logs/other");
  test.ledger.FailNext(absl::UnavailableError("the log is away"));
  CHECK_THAT(test.Issue(failing), StatusIs(StatusCode::kUnavailable));
  const int64_t count = test.Count();
  CHECK(RequireOk(test.Issue(failing)).ledger_proof().log_origin() == "tenants/default/logs/other");
  CHECK(test.Count() == count);

  Issuer without({.authorities = &test.authorities,
                  .certificates = &test.certificates,
                  .weak_keys = &test.weak_keys,
                  .executor = &test.executor,
                  .clock = &test.clock});
  std::promise<absl::Status> promise;
  without.Issue(ServerRequest(), nullptr, [](const auto&) {});
  auto wanting = ServerRequest();
  wanting.set_ledger(v1::LEDGER_WAIT_SEQUENCED);
  without.Issue(wanting, nullptr, [&](const auto& result) { promise.set_value(result.status()); });
  CHECK(runtime::ReasonOf(promise.get_future().get()) == kNoLedger);
}

TEST_CASE("Items of a batch succeed or fail on their own, in their order") {
  TestIssuer test(GENERATE(Engine::kSqlite, Engine::kPostgres));
  v1::BatchIssueCertificatesRequest batch;
  batch.set_parent(kIssuing);
  CHECK_THAT(test.IssueBatch(batch), StatusIs(StatusCode::kInvalidArgument, "requests"));
  for (int i = 0; i < 100; ++i) {
    *batch.add_requests() = ServerRequest(absl::StrCat("host-", i, ".example.com"));
    if (i % 2 == 0) batch.mutable_requests(i)->clear_parent();
  }
  batch.mutable_requests(7)->set_csr("garbage");
  batch.mutable_requests(8)->set_parent(kRoot);
  batch.mutable_requests(9)->set_ledger(v1::LEDGER_WAIT_SEQUENCED);
  batch.mutable_requests(10)->set_replaces("tenants/default/certificates/12");
  const int64_t before = test.Count();
  const auto response = RequireOk(test.IssueBatch(batch));
  REQUIRE(response.results_size() == 100);
  CHECK(response.issuers_size() == 2);
  std::set<std::string> names;
  for (int i = 0; i < 100; ++i) {
    const v1::IssuanceResult& result = response.results(i);
    INFO(i);
    if (i >= 7 && i <= 10) {
      CHECK(result.error().code() == (i == 10 ? 5 : 3));
      if (i == 7) CHECK(result.error().reason() == kBadCsr);
      continue;
    }
    CHECK(result.certificate().host_names(0) == absl::StrCat("host-", i, ".example.com"));
    names.insert(result.certificate().name());
  }
  CHECK(names.size() == 96);
  CHECK(test.Count() == before + 96);
  for (int i = 100; i <= 1000; ++i) batch.add_requests();
  CHECK_THAT(test.IssueBatch(batch), StatusIs(StatusCode::kInvalidArgument, "1001"));
}

}  // namespace
}  // namespace countersign::sign
