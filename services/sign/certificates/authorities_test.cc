#include "services/sign/certificates/authorities.h"

#include <thread>

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

constexpr char kRoot[] = "tenants/default/authorities/root";
constexpr char kIssuing[] = "tenants/default/authorities/issuing";

const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);

std::string ReasonOf(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

pki::Certificate Own(const v1::Authority& authority) {
  return RequireOk(pki::ParseCertificate(authority.chain(0)));
}

template <typename Request>
Request Named(const std::string& name) {
  Request request;
  request.set_name(name);
  return request;
}

TEST_CASE("openssl accepts the chain of a root, two authorities below it and a server") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  v1::AuthoritySettings settings;
  settings.add_ocsp_urls("http://ocsp.example.com");
  settings.add_issuer_urls("http://ca.example.com/issuing.cer");
  settings.set_crl_url("http://ca.example.com/crl");
  const v1::Authority root = test.process.Create("root", "", settings);
  const v1::Authority policy =
      test.process.Create("policy", kRoot, settings, v1::ALGORITHM_ED25519);
  auto request =
      SignProcess::Request("issuing", policy.name(), settings, v1::ALGORITHM_ECDSA_P384_SHA384);
  request.mutable_authority()->set_path_length(0);
  const v1::Authority issuing =
      RequireOk(test.process.authorities.CreateAuthority(request)).authority();
  const v1::Certificate leaf = test.process.Issue(kIssuing, "www.example.com");

  CHECK(root.chain_size() == 1);
  CHECK(root.path_length() == -1);
  CHECK(issuing.chain_size() == 3);
  CHECK(issuing.path_length() == 0);
  CHECK(issuing.issuer() == policy.name());
  CHECK(issuing.subject() == "CN=issuing,O=Example,C=DE");
  CHECK(issuing.algorithm() == v1::ALGORITHM_ECDSA_P384_SHA384);
  CHECK(issuing.settings().crl_lifetime().seconds() == 7 * 86400);
  CHECK(Own(policy).extensions.ocsp_urls == std::vector<std::string>{"http://ocsp.example.com"});
  CHECK(Own(root).extensions.ocsp_urls.empty());

  OpenSsl openssl(&test.clock);
  const auto verified = openssl.Verify(
      absl::StrCat("-CAfile ", openssl.File("CERTIFICATE", {root.chain(0)}), " -untrusted ",
                   openssl.File("CERTIFICATE", {issuing.chain(0), issuing.chain(1)}), " ",
                   openssl.File("CERTIFICATE", {leaf.der()})));
  INFO(verified.output);
  CHECK(verified.exit_code == 0);

  const auto list = RequireOk(test.process.authorities.ListAuthorities([] {
    v1::ListAuthoritiesRequest request;
    request.set_parent("tenants/default");
    return request;
  }()));
  REQUIRE(list.authorities_size() == 3);
  CHECK(list.authorities(0).name() == kIssuing);
  CHECK(list.authorities(0).SerializeAsString() == issuing.SerializeAsString());
}

TEST_CASE("Every kind of key that signs can be an authority's, RSA-PSS too") {
  TestAuthorities test(Engine::kSqlite);
  OpenSsl openssl(&test.clock);
  for (const auto algorithm : {v1::ALGORITHM_RSA_PKCS1_2048_SHA256,
                               v1::ALGORITHM_RSA_PSS_2048_SHA256, v1::ALGORITHM_ED25519}) {
    const std::string id = absl::StrCat("root-", algorithm);
    const v1::Authority root = test.process.Create(id, "", {}, algorithm);
    const v1::Authority below = test.process.Create("below-" + id, root.name());
    const auto verified = openssl.Verify(
        absl::StrCat("-check_ss_sig -CAfile ", openssl.File("CERTIFICATE", {root.chain(0)}), " ",
                     openssl.File("CERTIFICATE", {below.chain(0)}), " ",
                     openssl.File("CERTIFICATE", {root.ocsp_signer()})));
    INFO(verified.output);
    CHECK(verified.exit_code == 0);
  }
  CHECK_THAT(test.process.authorities.CreateAuthority(
                 SignProcess::Request("hpke", "", {}, v1::ALGORITHM_HPKE_X25519)),
             kInvalid);
}

TEST_CASE("An authority, its signer and their certificates are there together") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  const v1::Authority root = test.process.Create("root");
  const int64_t head = test.process.Head();
  CHECK(head > 0);
  CHECK(test.process.notifier.last() == head);
  const v1::Authority issuing = test.process.Create("issuing", kRoot);
  CHECK(test.process.Head() > head);

  const auto get = [&](const std::string& id) {
    return RequireOk(test.process.certificates.Get("tenants/default/certificates/" + id));
  };
  const v1::Certificate own = get(root.serial_number());
  CHECK(own.authority() == kRoot);
  CHECK(own.profile() == v1::CERTIFICATE_PROFILE_ROOT_CA);
  CHECK(own.der() == root.chain(0));
  // A sub-authority's serial number is its issuer's to answer for.
  const v1::Certificate below = get(issuing.serial_number());
  CHECK(below.authority() == kRoot);
  CHECK(below.profile() == v1::CERTIFICATE_PROFILE_INTERMEDIATE_CA);
  const pki::Certificate signer = RequireOk(pki::ParseCertificate(issuing.ocsp_signer()));
  const v1::Certificate signer_row = get(signer.SerialHex());
  CHECK(signer_row.authority() == kIssuing);
  CHECK(signer_row.profile() == v1::CERTIFICATE_PROFILE_OCSP_SIGNER);
  for (const v1::Certificate& certificate : {own, below, signer_row}) {
    const std::string packed = test.process.Record(certificate);
    const pki::OcspRecord record = RequireOk(pki::UnpackOcspRecord(packed));
    CHECK_FALSE(record.status.revoked);
    CHECK(record.not_after == certificate.not_after().seconds());
  }
  const v1::GetKeyResponse key = RequireOk(test.process.store->GetKey(
      Named<v1::GetKeyRequest>(root.key_version().substr(0, root.key_version().rfind("/ver")))));
  CHECK(key.key().owner() == kRoot);

  // A process that starts later finds it all.
  SignProcess other(test.database, &test.clock);
  const auto again =
      RequireOk(other.authorities.GetAuthority(Named<v1::GetAuthorityRequest>(kIssuing)));
  CHECK(again.authority().SerializeAsString() == issuing.SerializeAsString());
  other.Issue(kIssuing, "www.example.com");
}

TEST_CASE("A repeated creation makes nothing; the same name or another request's id is refused") {
  TestAuthorities test(Engine::kSqlite);
  auto request = SignProcess::Request("root");
  request.set_request_id(crypto::RandomUuid());
  const auto first = RequireOk(test.process.authorities.CreateAuthority(request));
  const auto again = RequireOk(test.process.authorities.CreateAuthority(request));
  CHECK(again.SerializeAsString() == first.SerializeAsString());

  auto taken = SignProcess::Request("root");
  const auto exists = test.process.authorities.CreateAuthority(taken);
  CHECK(ReasonOf(exists.status()) == kAuthorityExists);
  auto reused = SignProcess::Request("other");
  reused.set_request_id(request.request_id());
  CHECK(ReasonOf(test.process.authorities.CreateAuthority(reused).status()) == kRequestIdReused);

  // The same subject and key would be one issuer to OCSP clients.
  auto twin = SignProcess::Request("twin");
  twin.mutable_authority()->set_subject(first.authority().subject());
  twin.mutable_authority()->set_key_version(first.authority().key_version());
  twin.mutable_authority()->clear_algorithm();
  CHECK(ReasonOf(test.process.authorities.CreateAuthority(twin).status()) == kAuthorityExists);
  twin.mutable_authority()->set_subject("CN=Another name");
  CHECK_THAT(test.process.authorities.CreateAuthority(twin), IsOk());
  // What failed left no key behind.
  v1::ListKeysRequest list;
  list.set_parent("tenants/default");
  CHECK(RequireOk(test.process.store->ListKeys(list)).keys_size() == 1);
}

TEST_CASE("An issuer gives no more than it has") {
  TestAuthorities test(Engine::kSqlite);
  auto root_request = SignProcess::Request("root");
  root_request.mutable_authority()->set_path_length(1);
  *root_request.mutable_authority()->mutable_settings()->add_permitted_names() = "example.com";
  RequireOk(test.process.authorities.CreateAuthority(root_request));
  const auto cannot = [&](const v1::CreateAuthorityRequest& request) {
    const auto status = test.process.authorities.CreateAuthority(request).status();
    INFO(status);
    CHECK(absl::IsFailedPrecondition(status));
    return ReasonOf(status) == kIssuerCannot;
  };
  auto deeper = SignProcess::Request("deeper", kRoot);
  deeper.mutable_authority()->set_path_length(1);
  CHECK(cannot(deeper));
  // No limit below a limited one is what is left.
  CHECK(test.process.Create("issuing", kRoot).path_length() == 0);
  CHECK(cannot(SignProcess::Request("too-deep", kIssuing)));
  auto longer = SignProcess::Request("longer", kRoot);
  longer.mutable_authority()->mutable_not_after()->set_seconds(1700000000 + 20LL * 365 * 86400);
  CHECK(cannot(longer));

  auto update = v1::UpdateAuthorityRequest();
  update.mutable_authority()->set_name(kRoot);
  update.mutable_authority()->set_disabled(true);
  update.mutable_update_mask()->add_paths("disabled");
  CHECK(RequireOk(test.process.authorities.UpdateAuthority(update)).authority().disabled());
  CHECK(cannot(SignProcess::Request("late", kRoot)));

  test.clock.Advance(absl::Hours(24 * 365 * 11));
  update.mutable_authority()->set_disabled(false);
  RequireOk(test.process.authorities.UpdateAuthority(update));
  CHECK(cannot(SignProcess::Request("later", kRoot)));
}

TEST_CASE("What makes no authority is refused, and the field named") {
  TestAuthorities test(Engine::kSqlite);
  const auto refused = [&](const std::string& field, auto change) {
    auto request = SignProcess::Request("root");
    change(&request);
    CHECK_THAT(test.process.authorities.CreateAuthority(request),
               StatusIs(absl::StatusCode::kInvalidArgument, field));
  };
  refused("parent", [](auto* r) { r->set_parent("default"); });
  refused("authority_id", [](auto* r) { r->set_authority_id("Root"); });
  refused("authority.subject", [](auto* r) { r->mutable_authority()->set_subject("nobody"); });
  refused("authority.subject", [](auto* r) { r->mutable_authority()->set_subject(""); });
  refused("authority.algorithm", [](auto* r) { r->mutable_authority()->clear_algorithm(); });
  refused("authority.path_length", [](auto* r) { r->mutable_authority()->set_path_length(-2); });
  refused("authority.not_after",
          [](auto* r) { r->mutable_authority()->mutable_not_after()->set_seconds(1); });
  refused("authority.issuer",
          [](auto* r) { r->mutable_authority()->set_issuer("tenants/other/authorities/root"); });
  refused("authority.key_version", [](auto* r) {
    r->mutable_authority()->set_key_version("tenants/other/keys/k/versions/1");
  });
  refused("request_id", [](auto* r) { r->set_request_id("1"); });
  const auto settings = [](auto* r) { return r->mutable_authority()->mutable_settings(); };
  refused("ocsp_urls", [&](auto* r) { settings(r)->add_ocsp_urls("ftp://example.com"); });
  refused("crl_shards", [&](auto* r) { settings(r)->set_crl_shards(1025); });
  refused("crl_url", [&](auto* r) {
    settings(r)->set_crl_shards(2);
    settings(r)->set_crl_url("http://ca.example.com/crl");
  });
  refused("crl_lifetime", [&](auto* r) { settings(r)->mutable_crl_lifetime()->set_seconds(60); });
  refused("ocsp_lifetime",
          [&](auto* r) { settings(r)->mutable_ocsp_lifetime()->set_seconds(11 * 86400); });
  refused("ocsp_max_age",
          [&](auto* r) { settings(r)->mutable_ocsp_max_age()->set_seconds(5 * 86400); });
  refused("permitted_names", [&](auto* r) { settings(r)->add_permitted_names("10.0.0.0/40"); });
  refused("log", [&](auto* r) { settings(r)->set_log("main"); });
  CHECK_THAT(test.process.authorities.CreateAuthority(
                 SignProcess::Request("issuing", "tenants/default/authorities/none")),
             StatusIs(absl::StatusCode::kNotFound));
}

TEST_CASE("Name constraints stand in the certificate, and openssl heeds them") {
  TestAuthorities test(Engine::kSqlite);
  v1::AuthoritySettings settings;
  settings.add_permitted_names("example.com");
  settings.add_permitted_names("10.0.0.0/8");
  settings.add_excluded_names("secret.example.com");
  const v1::Authority root = test.process.Create("root");
  const v1::Authority issuing = test.process.Create("issuing", kRoot, settings);
  OpenSsl openssl(&test.clock);
  const auto accepted = [&](const std::string& host) {
    const v1::Certificate leaf = test.process.Issue(kIssuing, host);
    return openssl
               .Verify(absl::StrCat("-CAfile ", openssl.File("CERTIFICATE", {root.chain(0)}),
                                    " -untrusted ", openssl.File("CERTIFICATE", {issuing.chain(0)}),
                                    " ", openssl.File("CERTIFICATE", {leaf.der()})))
               .exit_code == 0;
  };
  CHECK(accepted("www.example.com"));
  CHECK_FALSE(accepted("www.example.org"));
  CHECK_FALSE(accepted("a.secret.example.com"));
}

TEST_CASE("Settings change; what certificates depend on does not") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  v1::AuthoritySettings settings;
  settings.set_crl_shards(4);
  settings.set_crl_url("http://ca.example.com/{shard}.crl");
  settings.add_permitted_names("example.com");
  test.process.Create("root", "", settings);
  const int64_t head = test.process.Head();

  v1::UpdateAuthorityRequest update;
  update.mutable_authority()->set_name(kRoot);
  update.mutable_update_mask()->add_paths("settings");
  v1::AuthoritySettings* changed = update.mutable_authority()->mutable_settings();
  *changed = settings;
  changed->clear_permitted_names();
  changed->set_crl_shards(8);
  changed->set_ocsp_nonces(true);
  const auto updated = RequireOk(test.process.authorities.UpdateAuthority(update)).authority();
  CHECK(updated.settings().crl_shards() == 8);
  CHECK(updated.settings().ocsp_nonces());
  CHECK(updated.settings().permitted_names_size() == 1);
  CHECK(test.process.Head() > head);
  CHECK(RequireOk(test.process.authorities.Load(kRoot))->settings.crl_shards() == 8);

  test.process.Issue(kRoot, "www.example.com");
  changed->set_ocsp_nonces(false);
  CHECK_THAT(test.process.authorities.UpdateAuthority(update), IsOk());
  changed->set_crl_shards(4);
  CHECK(ReasonOf(test.process.authorities.UpdateAuthority(update).status()) == kSettingsFixed);
  changed->set_crl_shards(8);
  changed->set_crl_url("http://elsewhere.example.com/{shard}.crl");
  CHECK(ReasonOf(test.process.authorities.UpdateAuthority(update).status()) == kSettingsFixed);
  *changed = settings;
  changed->set_crl_shards(8);
  changed->add_permitted_names("example.org");
  CHECK_THAT(test.process.authorities.UpdateAuthority(update), kInvalid);
  update.mutable_update_mask()->add_paths("subject");
  CHECK_THAT(test.process.authorities.UpdateAuthority(update), kInvalid);
}

TEST_CASE("What is in memory is at most five seconds old, and one's own changes are seen at once") {
  const Engine engine = GENERATE(Engine::kSqlite, Engine::kPostgres);
  TestAuthorities test(engine);
  test.process.Create("root");
  CHECK(test.process.authorities.Find(kRoot) == nullptr);
  const auto loaded = RequireOk(test.process.authorities.Load(kRoot));
  CHECK(test.process.authorities.Find(kRoot) == loaded);
  CHECK(RequireOk(test.process.authorities.LoadById(loaded->id)) == loaded);

  SignProcess other(test.database, &test.clock);
  v1::UpdateAuthorityRequest update;
  update.mutable_authority()->set_name(kRoot);
  update.mutable_authority()->set_disabled(true);
  update.mutable_update_mask()->add_paths("disabled");
  RequireOk(other.authorities.UpdateAuthority(update));
  CHECK(RequireOk(other.authorities.Load(kRoot))->disabled);
  CHECK_FALSE(RequireOk(test.process.authorities.Load(kRoot))->disabled);
  test.clock.Advance(absl::Seconds(5));
  CHECK(test.process.authorities.Find(kRoot) == nullptr);
  CHECK(RequireOk(test.process.authorities.Load(kRoot))->disabled);

  test.clock.Advance(absl::Seconds(5));
  const auto same = RequireOk(test.process.authorities.Load(kRoot));
  test.clock.Advance(absl::Seconds(5));
  CHECK(RequireOk(test.process.authorities.Load(kRoot)) == same);
}

TEST_CASE("An authority whose key is disabled issues nothing and answers for what it has issued") {
  TestAuthorities test(Engine::kSqlite);
  const v1::Authority root = test.process.Create("root");
  const int64_t id = RequireOk(test.process.authorities.Load(kRoot))->id;
  RequireOk(test.process.store->DisableKeyVersion(
      Named<v1::DisableKeyVersionRequest>(root.key_version())));
  test.clock.Advance(absl::Seconds(5));
  CHECK(test.process.authorities.Find(kRoot) == nullptr);
  CHECK(ReasonOf(test.process.authorities.Load(kRoot).status()) == kKeyVersionDisabled);
  const auto live = RequireOk(test.process.authorities.LoadById(id));
  CHECK(live->key == nullptr);
  CHECK(test.process.authorities.Find(kRoot) == nullptr);
  CHECK_THAT(live->SignOcspRecord({.serial = "1"}, live->certificate.not_after, test.clock.Now()),
             IsOk());
  RequireOk(
      test.process.store->EnableKeyVersion(Named<v1::EnableKeyVersionRequest>(root.key_version())));
  CHECK(RequireOk(test.process.authorities.Load(kRoot))->key != nullptr);
}

TEST_CASE("Two processes that make authorities at once give each a number of its own") {
  TestAuthorities test(Engine::kPostgres);
  SignProcess other(test.database, &test.clock);
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (SignProcess* process : {&test.process, &other}) {
    threads.emplace_back([&, process] {
      for (int i = 0; i < 5; ++i) {
        // The fourth and fifth are made by both.
        const std::string id =
            absl::StrCat("root-", i < 3 ? (process == &other ? "a" : "b") : "both", i);
        const auto created = process->authorities.CreateAuthority(SignProcess::Request(id));
        if (!created.ok() && ReasonOf(created.status()) != kAuthorityExists) ++failures;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(RequireOk(test.process.authorities.ListIds()) ==
        std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8});
  const auto signers = RequireOk(
      test.process.store->database()->Query("SELECT signer_id FROM ocsp_signers ORDER BY 1"));
  CHECK(signers.size() == 8);
  CHECK(signers.back().Int(0) == 8);
}

}  // namespace
}  // namespace countersign::sign
