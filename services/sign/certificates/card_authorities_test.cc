// Authorities whose keys are on cards.
#include <future>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/pki/csr.h"
#include "libs/pki/ocsp_record.h"
#include "libs/pki/weak_keys.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/eventually.h"
#include "services/sign/card_client.h"
#include "services/sign/card_signer.h"
#include "services/sign/certificates/authorities_testing.h"
#include "services/sign/certificates/issuer.h"
#include "services/sign/errors.h"
#include "services/sign/fake_cards.h"

namespace countersign::sign {
namespace {

using storage::Engine;
using testing::Eventually;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

constexpr char kRoot[] = "tenants/default/authorities/root";
constexpr char kIssuing[] = "tenants/default/authorities/issuing";

std::string Reason(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

// A sign process with an agent, whose card has keys in three slots.
struct Fixture {
  explicit Fixture(Engine engine = Engine::kSqlite,
                   crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256)
      : database(engine), process(database, &clock, true, 'o', &cards) {
    cards.Insert("cards/1/slots/9a", algorithm);
    cards.Insert("cards/1/slots/9c", algorithm);
    cards.Insert("cards/1/slots/9d", algorithm);
  }

  // A key of this service's on the card.
  std::string Key(const std::string& id, const std::string& slot,
                  v1::Algorithm algorithm = v1::ALGORITHM_UNSPECIFIED) {
    v1::CreateKeyRequest request;
    request.set_parent("tenants/default");
    request.set_key_id(id);
    request.mutable_key()->set_algorithm(algorithm);
    request.mutable_key()->mutable_backend()->mutable_yubikey()->set_key(slot);
    return RequireOk(process.store->CreateKey(request)).key().name();
  }

  absl::StatusOr<v1::Authority> Make(const std::string& id, const std::string& key,
                                     const std::string& issuer = "") {
    v1::CreateAuthorityRequest request =
        SignProcess::Request(id, issuer, {}, v1::ALGORITHM_UNSPECIFIED);
    request.mutable_authority()->set_key_version(key);
    auto response = process.authorities.CreateAuthority(request);
    if (!response.ok()) return response.status();
    return response->authority();
  }
  v1::Authority MakeRoot() { return RequireOk(Make("root", Key("root", "cards/1/slots/9a"))); }

  static v1::IssueCertificateRequest Server(const std::string& parent) {
    const crypto::PrivateKey key =
        RequireOk(crypto::PrivateKey::Generate(crypto::Algorithm::kEcdsaP256Sha256));
    v1::IssueCertificateRequest request;
    request.set_parent(parent);
    request.set_profile(v1::CERTIFICATE_PROFILE_TLS_SERVER);
    request.set_csr(
        RequireOk(pki::BuildCsr({}, {{pki::GeneralName::Kind::kDns, "www.example.com"}}, key)));
    return request;
  }
  absl::StatusOr<v1::IssueCertificateResponse> Issue(const std::string& parent) {
    std::promise<absl::StatusOr<v1::IssueCertificateResponse>> promise;
    issuer.Issue(Server(parent), nullptr,
                 [&](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  void CheckVerifies(const v1::IssueCertificateResponse& response) {
    OpenSsl openssl(&clock);
    const std::vector<std::string> issuers(response.issuers().begin(), response.issuers().end());
    const auto verified = openssl.Verify(
        absl::StrCat("-purpose sslserver -CAfile ", openssl.File("CERTIFICATE", {issuers.back()}),
                     " -untrusted ", openssl.File("CERTIFICATE", issuers), " ",
                     openssl.File("CERTIFICATE", {response.certificate().der()})));
    INFO(verified.output);
    CHECK(verified.exit_code == 0);
  }

  storage::EmptyDatabase database;
  base::ManualClock clock{absl::FromUnixSeconds(1700000000)};
  FakeCards cards;
  SignProcess process;
  pki::WeakKeys weak_keys;
  base::ThreadPool executor{2};
  Issuer issuer{{.authorities = &process.authorities,
                 .certificates = &process.certificates,
                 .weak_keys = &weak_keys,
                 .executor = &executor,
                 .clock = &clock}};
};

TEST_CASE("A root on a card signs itself, its OCSP signer, its CRLs and certificates") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  Fixture f(engine);
  const v1::Authority root = f.MakeRoot();
  CHECK(root.algorithm() == v1::ALGORITHM_ECDSA_P256_SHA256);
  CHECK(root.key_version() == "tenants/default/keys/root/versions/1");
  CHECK(f.cards.signatures() == 2);  // itself and the OCSP signer
  const auto live = RequireOk(f.process.authorities.Load(kRoot));
  CHECK(live->key->key == nullptr);
  CHECK_THAT(live->certificate.CheckIssuedBy(live->certificate), IsOk());

  const auto issued = RequireOk(f.Issue(kRoot));
  f.CheckVerifies(issued);
  // OCSP records are the delegated signer's, for whom no card is asked.
  CHECK(f.cards.signatures() == 3);
  CHECK_FALSE(
      RequireOk(pki::UnpackOcspRecord(f.process.Record(issued.certificate()))).status.revoked);
  v1::RevokeCertificateRequest revoke;
  revoke.set_name(issued.certificate().name());
  revoke.set_reason(v1::REVOCATION_REASON_SUPERSEDED);
  RequireOk(f.process.revocation.Revoke(revoke));
  CHECK(RequireOk(pki::UnpackOcspRecord(f.process.Record(issued.certificate()))).status.revoked);
  CHECK(f.cards.signatures() == 3);

  v1::GetCrlRequest get;
  get.set_name(kRoot);
  const auto crl = RequireOk(f.process.crls.GetCrl(get));
  CHECK(crl.entries() == 1);
  OpenSsl openssl(&f.clock);
  const auto read =
      openssl.Run(absl::StrCat("crl -noout -CAfile ", openssl.File("CERTIFICATE", {root.chain(0)}),
                               " -verify -in ", openssl.File("X509 CRL", {crl.der()})));
  INFO(read.output);
  CHECK(read.output.find("verify OK") != std::string::npos);

  v1::RotateOcspSignerRequest rotate;
  rotate.set_name(kRoot);
  const auto before = live->ocsp_signer_id;
  RequireOk(f.process.authorities.RotateOcspSigner(rotate).status());
  CHECK(RequireOk(f.process.authorities.Load(kRoot))->ocsp_signer_id > before);
}

TEST_CASE("Authorities below a root on a card are issued by the card, with keys here or there") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  Fixture f(engine);
  f.MakeRoot();
  const v1::Authority software = f.process.Create("issuing", kRoot);
  CHECK(software.chain_size() == 2);
  f.CheckVerifies(RequireOk(f.Issue(kIssuing)));
  const v1::Authority card =
      RequireOk(f.Make("second", f.Key("second", "cards/1/slots/9c"), kRoot));
  CHECK(card.chain_size() == 2);
  f.CheckVerifies(RequireOk(f.Issue(card.name())));
  // A card's authority below one of ours.
  f.process.Create("soft-root");
  const v1::Authority below = RequireOk(
      f.Make("below", f.Key("below", "cards/1/slots/9d"), "tenants/default/authorities/soft-root"));
  f.CheckVerifies(RequireOk(f.Issue(below.name())));
}

TEST_CASE("A card cross-signs, and is cross-signed") {
  Fixture f;
  f.MakeRoot();
  f.process.Create("new");
  const auto cross = [&](const std::string& by, const std::string& whom) {
    v1::CrossSignAuthorityRequest request;
    request.set_name(by);
    request.set_authority(whom);
    return RequireOk(pki::ParseCertificate(
        RequireOk(f.process.authorities.CrossSignAuthority(request)).certificate().der()));
  };
  constexpr char kNew[] = "tenants/default/authorities/new";
  const auto root = RequireOk(f.process.authorities.Load(kRoot));
  const auto other = RequireOk(f.process.authorities.Load(kNew));
  CHECK_THAT(cross(kRoot, kNew).CheckIssuedBy(root->certificate), IsOk());
  CHECK_THAT(cross(kNew, kRoot).CheckIssuedBy(other->certificate), IsOk());
}

TEST_CASE("Authorities on cards are of each algorithm that suits one") {
  for (const auto& [on_card, wanted] :
       {std::pair{crypto::Algorithm::kEcdsaP384Sha384, v1::ALGORITHM_UNSPECIFIED},
        std::pair{crypto::Algorithm::kRsaPkcs1_2048Sha256, v1::ALGORITHM_UNSPECIFIED},
        std::pair{crypto::Algorithm::kRsaPkcs1_2048Sha256, v1::ALGORITHM_RSA_PSS_2048_SHA256}}) {
    Fixture f(Engine::kSqlite, on_card);
    const v1::Authority root = RequireOk(f.Make("root", f.Key("root", "cards/1/slots/9a", wanted)));
    if (wanted != v1::ALGORITHM_UNSPECIFIED) CHECK(root.algorithm() == wanted);
    f.CheckVerifies(RequireOk(f.Issue(kRoot)));
  }
  Fixture f(Engine::kSqlite, crypto::Algorithm::kEd25519);
  const auto refused = f.Make("root", f.Key("root", "cards/1/slots/9a"));
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "2048 bytes"));
  CHECK(Reason(refused.status()) == kWrongAlgorithm);
}

TEST_CASE("A batch of certificates keeps a card busy and does not flood it") {
  Fixture f;
  f.MakeRoot();
  v1::BatchIssueCertificatesRequest request;
  request.set_parent(kRoot);
  for (int i = 0; i < 50; ++i) {
    v1::IssueCertificateRequest* const item = request.add_requests();
    *item = Fixture::Server(kRoot);
  }
  f.cards.Hold();
  std::promise<absl::StatusOr<v1::BatchIssueCertificatesResponse>> promise;
  f.issuer.IssueBatch(request, [&](auto result) { promise.set_value(std::move(result)); });
  CHECK(f.cards.held() == CardSigner::kInFlight);
  f.cards.Release();
  const auto response = RequireOk(promise.get_future().get());
  REQUIRE(response.results_size() == 50);
  for (const v1::IssuanceResult& result : response.results()) {
    INFO(result.error().message());
    CHECK(result.has_certificate());
  }
}

TEST_CASE("What a card says reaches who asked for a certificate, a CRL or an authority") {
  Fixture f;
  f.MakeRoot();
  const std::string key = f.Key("second", "cards/1/slots/9c");
  const auto check = [&](const std::string& reason) {
    INFO(reason);
    CHECK(Reason(f.Issue(kRoot).status()) == reason);
    v1::PublishCrlsRequest publish;
    publish.set_name(kRoot);
    CHECK(Reason(f.process.crls.PublishCrls(publish).status()) == reason);
    CHECK(Reason(f.Make("second", key).status()) == reason);
    CHECK(Reason(f.Make("third", key, kRoot).status()) == reason);
    v1::RotateOcspSignerRequest rotate;
    rotate.set_name(kRoot);
    CHECK(Reason(f.process.authorities.RotateOcspSigner(rotate).status()) == reason);
    v1::BatchIssueCertificatesRequest batch;
    batch.set_parent(kRoot);
    *batch.add_requests() = Fixture::Server(kRoot);
    std::promise<absl::StatusOr<v1::BatchIssueCertificatesResponse>> promise;
    f.issuer.IssueBatch(batch, [&](auto result) { promise.set_value(std::move(result)); });
    CHECK(RequireOk(promise.get_future().get()).results(0).error().reason() == reason);
  };
  f.cards.FailWith(CardRemoved());
  check("CARD_REMOVED");
  CHECK_THAT(f.Issue(kRoot), StatusIs(absl::StatusCode::kUnavailable));
  f.cards.FailWith(PinNeeded());
  check("PIN_NEEDED");
  f.cards.FailWith(QueueFull());
  check("QUEUE_FULL");
  f.cards.FailWith(absl::OkStatus());
  f.CheckVerifies(RequireOk(f.Issue(kRoot)));
  // A CRL that could not be signed is signed when the card is back.
  f.cards.FailWith(CardRemoved());
  CHECK_FALSE(f.process.crls.PublishDue().ok());
  f.cards.FailWith(absl::OkStatus());
  CHECK_THAT(f.process.crls.PublishDue(), IsOk());
  RequireOk(f.Make("second", key).status());
}

TEST_CASE("Nothing is written of an authority whose card fails between its signatures") {
  Fixture f;
  const std::string key = f.Key("root", "cards/1/slots/9a");
  f.cards.FailSignature(2, CardRemoved());
  CHECK(Reason(f.Make("root", key).status()) == "CARD_REMOVED");
  CHECK(RequireOk(f.process.authorities.ListIds()).empty());
  RequireOk(f.Make("root", key).status());
}

TEST_CASE("A card's private key is not exported, its certificates are") {
  Fixture f;
  const v1::Authority root = f.MakeRoot();
  v1::ExportAuthorityRequest request;
  request.set_name(kRoot);
  request.set_format(v1::EXPORT_FORMAT_PEM);
  CHECK(RequireOk(f.process.authorities.ExportAuthority(request)).data() ==
        pki::FormatPem("CERTIFICATE", root.chain(0)));
  request.set_include_key(true);
  for (const auto format : {v1::EXPORT_FORMAT_PEM, v1::EXPORT_FORMAT_PKCS12}) {
    request.set_format(format);
    request.set_passphrase("correct horse");
    const auto refused = f.process.authorities.ExportAuthority(request);
    CHECK_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied, "on a card"));
    CHECK(Reason(refused.status()) == kKeyExportForbidden);
  }
}

TEST_CASE("Without an agent what was issued is still revoked, and nothing new is signed") {
  Fixture f;
  f.MakeRoot();
  const auto issued = RequireOk(f.Issue(kRoot));
  SignProcess without(f.database, &f.clock);
  CHECK(Reason(without.authorities.Load(kRoot).status()) == kNoYubikeyAgent);
  v1::RevokeCertificateRequest revoke;
  revoke.set_name(issued.certificate().name());
  revoke.set_reason(v1::REVOCATION_REASON_SUPERSEDED);
  RequireOk(without.revocation.Revoke(revoke));
  CHECK(RequireOk(pki::UnpackOcspRecord(f.process.Record(issued.certificate()))).status.revoked);
}

TEST_CASE("Authorities are made though every thread for blocking work waits for a card") {
  Fixture f;
  const std::string key = f.Key("root", "cards/1/slots/9a");
  f.cards.Hold();
  std::promise<absl::StatusOr<v1::Authority>> first;
  std::promise<absl::StatusOr<v1::Authority>> second;
  const std::string other = f.Key("other", "cards/1/slots/9c");
  f.process.executor.Schedule([&] { first.set_value(f.Make("root", key)); });
  f.process.executor.Schedule([&] { second.set_value(f.Make("other", other)); });
  CHECK(Eventually([&] { return f.cards.held() == 2; }));
  f.cards.Release();
  RequireOk(first.get_future().get());
  RequireOk(second.get_future().get());
}

}  // namespace
}  // namespace countersign::sign
