// Keys on cards: in the key store on both engines, in use, and how databases of before get them.
#include <future>

#include "catch2/catch.hpp"
#include "libs/runtime/error_details.h"
#include "libs/storage/testing.h"
#include "services/sign/errors.h"
#include "services/sign/fake_cards.h"
#include "services/sign/jobs.h"
#include "services/sign/testing.h"

namespace countersign::sign {
namespace {

using ::countersign::storage::Engine;
using ::countersign::testing::IsOk;
using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

constexpr char kRelease[] = "tenants/default/keys/release";
constexpr char kVersion1[] = "tenants/default/keys/release/versions/1";
constexpr char kVersion2[] = "tenants/default/keys/release/versions/2";
constexpr char kSlot[] = "cards/1/slots/9c";
constexpr char kOtherSlot[] = "cards/2/slots/9c";
constexpr char kRequestId[] = "9f1b0000-0000-4000-8000-000000000001";

const auto kPrecondition = StatusIs(absl::StatusCode::kFailedPrecondition);
const auto kInvalid = StatusIs(absl::StatusCode::kInvalidArgument);

std::string Reason(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

v1::CreateKeyRequest Request(const std::string& card_key,
                             v1::Algorithm algorithm = v1::ALGORITHM_UNSPECIFIED) {
  v1::CreateKeyRequest request;
  request.set_parent("tenants/default");
  request.set_key_id("release");
  request.mutable_key()->set_algorithm(algorithm);
  request.mutable_key()->mutable_backend()->mutable_yubikey()->set_key(card_key);
  return request;
}

v1::RotateKeyRequest Rotation(const std::string& card_key) {
  v1::RotateKeyRequest request = Named<v1::RotateKeyRequest>(kRelease);
  request.mutable_backend()->mutable_yubikey()->set_key(card_key);
  return request;
}

// The message must outlive the job.
SigningJob Job(const std::string& name, absl::string_view message) {
  SigningJob job;
  job.name = name;
  job.payloads.push_back({Payload::Kind::kMessage, message});
  return job;
}

// All below the gRPC service, with cards.
struct Fixture {
  explicit Fixture(Engine engine) : empty(engine) { Reopen(true); }

  void Reopen(bool with_cards) {
    signing.reset();
    ring.reset();
    store.reset();
    store =
        RequireOk(KeyStore::Open(empty.Open(), TestKek(), &clock, with_cards ? &cards : nullptr));
    ring = std::make_unique<KeyRing>(store.get(), &executor, KeyRing::Options{.clock = &clock});
    signing =
        std::make_unique<Signing>(Signing::Options{.keys = ring.get(),
                                                   .store = store.get(),
                                                   .ledger = &ledger,
                                                   .executor = &executor,
                                                   .default_log = "tenants/default/logs/main"});
  }

  absl::StatusOr<std::vector<v1::Signature>> Sign(SigningJob job) {
    std::promise<absl::StatusOr<std::vector<v1::Signature>>> promise;
    signing->Sign(std::move(job), [&](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

  storage::EmptyDatabase empty;
  base::ManualClock clock{absl::FromUnixSeconds(1700000000)};
  FakeCards cards;
  base::ThreadPool executor{2};
  FakeLedger ledger;
  std::unique_ptr<KeyStore> store;
  std::unique_ptr<KeyRing> ring;
  std::unique_ptr<Signing> signing;
};

TEST_CASE("A key on a card is made by its name, and kept as the key that it is") {
  for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
    Fixture f(engine);
    const std::string name = f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP384Sha384);
    const auto created = RequireOk(f.store->CreateKey(Request(kSlot)));
    CHECK(created.key().algorithm() == v1::ALGORITHM_ECDSA_P384_SHA384);
    CHECK(created.key().backend().yubikey().key() == name);
    CHECK(created.key().primary_version() == kVersion1);
    CHECK("keys/" + created.key_version().fingerprint() == name);
    CHECK(f.cards.generated() == 0);

    f.Reopen(true);
    CHECK(
        Same(RequireOk(f.store->GetKey(Named<v1::GetKeyRequest>(kRelease))).key(), created.key()));
    v1::ListKeysRequest list;
    list.set_parent("tenants/default");
    CHECK(Same(RequireOk(f.store->ListKeys(list)).keys(0), created.key()));
    CHECK(RequireOk(f.store->GetPublicKey(Named<v1::GetPublicKeyRequest>(kRelease))).spki() ==
          created.key_version().spki());
    const auto loaded = RequireOk(f.store->Load({"default", "release", 0}));
    CHECK_FALSE(loaded.key.has_value());
    CHECK(loaded.card_key == name);

    const std::string message = "release 1.2.3";
    const auto signatures = RequireOk(f.Sign(Job(kRelease, message)));
    CHECK(signatures[0].key_version() == kVersion1);
    CHECK(signatures[0].algorithm() == v1::ALGORITHM_ECDSA_P384_SHA384);
    CHECK(RequireOk(
        loaded.public_key.VerifyMessage(loaded.algorithm, message, signatures[0].signature())));
  }
}

TEST_CASE("An RSA card key signs by the padding that is asked for") {
  Fixture f(Engine::kSqlite);
  f.cards.Insert(kSlot, crypto::Algorithm::kRsaPkcs1_2048Sha256);
  for (const auto algorithm : {v1::ALGORITHM_UNSPECIFIED, v1::ALGORITHM_RSA_PKCS1_2048_SHA256,
                               v1::ALGORITHM_RSA_PSS_2048_SHA256}) {
    v1::CreateKeyRequest request = Request(kSlot, algorithm);
    request.set_key_id("k" + std::to_string(algorithm));
    const auto created = RequireOk(f.store->CreateKey(request));
    const auto expected =
        algorithm == v1::ALGORITHM_UNSPECIFIED ? v1::ALGORITHM_RSA_PKCS1_2048_SHA256 : algorithm;
    CHECK(created.key().algorithm() == expected);
    const auto live = RequireOk(f.ring->Load(created.key().name()));
    const auto signatures = RequireOk(f.Sign(Job(created.key().name(), "m")));
    CHECK(
        RequireOk(live->public_key.VerifyMessage(live->algorithm, "m", signatures[0].signature())));
  }
}

TEST_CASE("A key is made on a card, once for a request id") {
  Fixture f(Engine::kSqlite);
  v1::CreateKeyRequest request = Request(kSlot, v1::ALGORITHM_ECDSA_P256_SHA256);
  request.mutable_key()->mutable_backend()->mutable_yubikey()->set_generate(true);
  request.set_request_id(kRequestId);
  const auto created = RequireOk(f.store->CreateKey(request));
  CHECK(f.cards.generated() == 1);
  CHECK_FALSE(created.key().backend().yubikey().generate());
  CHECK(Same(RequireOk(f.store->CreateKey(request)), created));
  CHECK(f.cards.generated() == 1);

  // What has no place here is not made on the card.
  request.clear_request_id();
  request.mutable_key()->mutable_backend()->mutable_yubikey()->set_key(kOtherSlot);
  CHECK_THAT(f.store->CreateKey(request), StatusIs(absl::StatusCode::kAlreadyExists));
  CHECK(f.cards.generated() == 1);

  request.set_key_id("other");
  request.mutable_key()->mutable_backend()->mutable_yubikey()->set_key(kSlot);
  CHECK(Reason(f.store->CreateKey(request).status()) == "SLOT_IN_USE");
  request.mutable_key()->clear_algorithm();
  CHECK_THAT(f.store->CreateKey(request), kInvalid);
}

TEST_CASE("What no card key can be is refused, and the agent's failures are passed on") {
  Fixture f(Engine::kSqlite);
  f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
  CHECK_THAT(f.store->CreateKey(Request("")), kInvalid);
  CHECK_THAT(f.store->CreateKey(Request(kSlot, v1::ALGORITHM_ECDSA_P384_SHA384)), kInvalid);
  CHECK_THAT(f.store->CreateKey(Request(kSlot, v1::ALGORITHM_HPKE_X25519)), kInvalid);
  CHECK_THAT(f.store->CreateKey(Request(kSlot, v1::ALGORITHM_RSA_PSS_4096_SHA256)), kInvalid);
  v1::CreateKeyRequest empty = Request(kSlot);
  empty.mutable_key()->mutable_backend()->clear_yubikey();
  CHECK_THAT(f.store->CreateKey(empty), kInvalid);
  CHECK_THAT(f.store->CreateKey(Request("cards/9/slots/9a")),
             StatusIs(absl::StatusCode::kNotFound, "yubikey-agent: "));
  f.cards.FailWith(CardRemoved());
  CHECK(Reason(f.store->CreateKey(Request(kSlot)).status()) == "CARD_REMOVED");
  CHECK_THAT(f.store->GetKey(Named<v1::GetKeyRequest>(kRelease)),
             StatusIs(absl::StatusCode::kNotFound));

  f.Reopen(false);
  CHECK(Reason(f.store->CreateKey(Request(kSlot)).status()) == kNoYubikeyAgent);
}

TEST_CASE("A card key belongs to one tenant, and to each of its keys once") {
  for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
    Fixture f(engine);
    const std::string name = f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
    RequireOk(f.store->CreateKey(Request(kSlot)));
    v1::CreateKeyRequest others = Request(name);
    others.set_parent("tenants/other");
    const auto refused = f.store->CreateKey(others);
    CHECK_THAT(refused, StatusIs(absl::StatusCode::kPermissionDenied));
    CHECK(Reason(refused.status()) == kKeyOfAnotherTenant);
    v1::CreateKeyRequest again = Request(name);
    again.set_key_id("again");
    CHECK_THAT(f.store->CreateKey(again), IsOk());
    CHECK_THAT(f.store->RotateKey(Rotation(kSlot)), StatusIs(absl::StatusCode::kAlreadyExists));
    // Others would sign by the key that is known as this tenant's.
    for (const char* version : {kVersion1, "tenants/default/keys/again/versions/1"}) {
      RequireOk(f.store->DestroyKeyVersion(Named<v1::DestroyKeyVersionRequest>(version)));
    }
    CHECK(Reason(f.store->CreateKey(others).status()) == kKeyOfAnotherTenant);
    CHECK_THAT(f.store->RotateKey(Rotation(kSlot)), IsOk());
  }
}

TEST_CASE("A card key's new version is another card key") {
  for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
    Fixture f(engine);
    f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
    const std::string second = f.cards.Insert(kOtherSlot, crypto::Algorithm::kEcdsaP256Sha256);
    f.cards.Insert("cards/2/slots/9a", crypto::Algorithm::kEcdsaP384Sha384);
    RequireOk(f.store->CreateKey(Request(kSlot)));
    const auto refused = f.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease));
    CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "backend"));
    CHECK(Reason(refused.status()) == kBackendRequired);
    CHECK_THAT(f.store->RotateKey(Rotation("cards/2/slots/9a")), kInvalid);

    RequireOk(f.Sign(Job(kRelease, "m")));
    const auto rotated = RequireOk(f.store->RotateKey(Rotation(kOtherSlot)));
    CHECK(rotated.key().backend().yubikey().key() == second);
    CHECK(rotated.key().primary_version() == kVersion2);
    CHECK(RequireOk(f.Sign(Job(kRelease, "m")))[0].key_version() == kVersion2);
    CHECK(RequireOk(f.Sign(Job(kVersion1, "m")))[0].key_version() == kVersion1);

    v1::CreateKeyRequest software;
    software.set_parent("tenants/default");
    software.set_key_id("software");
    software.mutable_key()->set_algorithm(v1::ALGORITHM_ED25519);
    CHECK_FALSE(RequireOk(f.store->CreateKey(software)).key().has_backend());
    v1::RotateKeyRequest onto_card = Rotation(kOtherSlot);
    onto_card.set_name("tenants/default/keys/software");
    CHECK_THAT(f.store->RotateKey(onto_card), kInvalid);
  }
}

TEST_CASE("A disabled card key is of no use at once, and a destroyed one is forgotten here alone") {
  for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
    Fixture f(engine);
    const std::string name = f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
    RequireOk(f.store->CreateKey(Request(kSlot)));
    RequireOk(f.Sign(Job(kRelease, "m")));
    REQUIRE(f.ring->Find(kRelease) != nullptr);
    RequireOk(f.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(kVersion1)));
    CHECK(f.ring->Find(kRelease) == nullptr);
    CHECK(Reason(f.Sign(Job(kRelease, "m")).status()) == kKeyVersionDisabled);
    RequireOk(f.store->EnableKeyVersion(Named<v1::EnableKeyVersionRequest>(kVersion1)));
    RequireOk(f.Sign(Job(kRelease, "m")));

    const auto destroyed =
        RequireOk(f.store->DestroyKeyVersion(Named<v1::DestroyKeyVersionRequest>(kVersion1)));
    CHECK(destroyed.key_version().state() == v1::KEY_VERSION_STATE_DESTROYED);
    CHECK("keys/" + destroyed.key_version().fingerprint() == name);
    CHECK(Reason(f.Sign(Job(kVersion1, "m")).status()) == kKeyVersionDestroyed);
    const auto key = RequireOk(f.store->GetKey(Named<v1::GetKeyRequest>(kRelease))).key();
    CHECK(key.primary_version().empty());
    CHECK(key.has_backend());
    CHECK(key.backend().yubikey().key().empty());
    const auto rows = RequireOk(f.store->database()->Query(
        "SELECT COUNT(*) FROM key_versions WHERE sealed_key IS NOT NULL"));
    CHECK(rows[0].Int(0) == 0);
    RequireOk(f.cards.Describe(kSlot));
    // A card key it is still.
    CHECK(Reason(f.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)).status()) ==
          kBackendRequired);
    CHECK(RequireOk(f.store->RotateKey(Rotation(kSlot))).key().primary_version() == kVersion2);
  }
}

TEST_CASE("Batches and logged signatures are made by cards as by keys in memory") {
  Fixture f(Engine::kSqlite);
  f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
  RequireOk(f.store->CreateKey(Request(kSlot)));
  v1::BatchSignRequest batch;
  batch.set_name(kRelease);
  for (int i = 0; i < 100; ++i) batch.add_items()->set_message("m" + std::to_string(i));
  const auto live = RequireOk(f.ring->Load(kRelease));
  const auto plain = RequireOk(f.Sign(RequireOk(MakeJob(batch, nullptr))));
  REQUIRE(plain.size() == 100);
  for (size_t i = 0; i < plain.size(); ++i) {
    CHECK(RequireOk(live->public_key.VerifyMessage(live->algorithm, "m" + std::to_string(i),
                                                   plain[i].signature())));
  }
  batch.set_ledger(v1::LEDGER_WAIT_INTEGRATED);
  batch.set_request_id(kRequestId);
  const auto logged = RequireOk(f.Sign(RequireOk(MakeJob(batch, nullptr))));
  CHECK(f.ledger.size() == 100);
  const int before = f.cards.signatures();
  const auto again = RequireOk(f.Sign(RequireOk(MakeJob(batch, nullptr))));
  CHECK(f.cards.signatures() == before);
  CHECK(again[99].signature() == logged[99].signature());
  CHECK(f.ledger.size() == 100);
}

TEST_CASE("An Ed25519 card key signs without the ledger only") {
  Fixture f(Engine::kSqlite);
  f.cards.Insert(kSlot, crypto::Algorithm::kEd25519);
  RequireOk(f.store->CreateKey(Request(kSlot)));
  CHECK(RequireOk(f.Sign(Job(kRelease, "m")))[0].algorithm() == v1::ALGORITHM_ED25519);
  SigningJob logged = Job(kRelease, "m");
  logged.ledger = v1::LEDGER_WAIT_INTEGRATED;
  CHECK(Reason(f.Sign(logged).status()) == kWrongAlgorithm);
  CHECK(f.ledger.size() == 0);
}

TEST_CASE("What a card says reaches who signs, with its reason") {
  Fixture f(Engine::kSqlite);
  f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
  RequireOk(f.store->CreateKey(Request(kSlot)));
  f.cards.FailWith(CardRemoved());
  CHECK_THAT(f.Sign(Job(kRelease, "m")), StatusIs(absl::StatusCode::kUnavailable));
  CHECK(Reason(f.Sign(Job(kRelease, "m")).status()) == "CARD_REMOVED");
  f.cards.FailWith(PinNeeded());
  CHECK_THAT(f.Sign(Job(kRelease, "m")), kPrecondition);
  CHECK(Reason(f.Sign(Job(kRelease, "m")).status()) == "PIN_NEEDED");
  f.cards.FailWith(QueueFull());
  const auto busy = f.Sign(Job(kRelease, "m"));
  CHECK(Reason(busy.status()) == "QUEUE_FULL");
  CHECK(runtime::RetryAfterOf(busy.status()) == absl::Seconds(2));
  f.cards.FailWith(absl::OkStatus());
  CHECK_THAT(f.Sign(Job(kRelease, "m")), IsOk());

  f.Reopen(false);
  CHECK(Reason(f.Sign(Job(kRelease, "m")).status()) == kNoYubikeyAgent);
  CHECK_THAT(f.store->GetPublicKey(Named<v1::GetPublicKeyRequest>(kRelease)), IsOk());
}

TEST_CASE("Who can write to the database only cannot exchange a card key") {
  Fixture f(Engine::kSqlite);
  f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
  f.cards.Insert(kOtherSlot, crypto::Algorithm::kEcdsaP256Sha256);
  RequireOk(f.store->CreateKey(Request(kSlot)));
  v1::CreateKeyRequest other = Request(kOtherSlot);
  other.set_key_id("other");
  RequireOk(f.store->CreateKey(other));
  // All of the other's row but what it is bound to.
  RequireOk(f.store->database()->InTransaction([](storage::Transaction& transaction) {
    return transaction.RunScript(
        "UPDATE key_versions SET (spki, sealed_key, backend) = (SELECT spki, sealed_key, backend"
        " FROM key_versions WHERE key_id = 'other') WHERE key_id = 'release'");
  }));
  CHECK_THAT(f.store->Load({"default", "release", 0}), StatusIs(absl::StatusCode::kDataLoss));
  RequireOk(f.store->database()->InTransaction([](storage::Transaction& transaction) {
    return transaction.RunScript("UPDATE key_versions SET backend = '' WHERE key_id = 'other'");
  }));
  CHECK_THAT(f.store->Load({"default", "other", 0}), StatusIs(absl::StatusCode::kDataLoss));
}

// As the last release left it.
constexpr char kOldSchema[] = R"sql(
DROP INDEX key_versions_by_backend;
ALTER TABLE key_versions DROP COLUMN backend;
ALTER TABLE keys DROP COLUMN backend;
DELETE FROM schema_migrations WHERE version = 4;
)sql";

TEST_CASE("A database from before cards is brought over, and its keys are what they were") {
  for (const Engine engine : {Engine::kSqlite, Engine::kPostgres}) {
    Fixture f(engine);
    v1::CreateKeyRequest request;
    request.set_parent("tenants/default");
    request.set_key_id("old");
    request.mutable_key()->set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
    RequireOk(f.store->CreateKey(request));
    const auto old =
        RequireOk(f.store->RotateKey(Named<v1::RotateKeyRequest>("tenants/default/keys/old")));
    RequireOk(f.store->DestroyKeyVersion(
        Named<v1::DestroyKeyVersionRequest>("tenants/default/keys/old/versions/1")));
    RequireOk(f.store->database()->InTransaction(
        [](storage::Transaction& transaction) { return transaction.RunScript(kOldSchema); }));

    f.Reopen(true);
    const auto key =
        RequireOk(f.store->GetKey(Named<v1::GetKeyRequest>("tenants/default/keys/old"))).key();
    CHECK(key.primary_version() == old.key_version().name());
    CHECK_FALSE(key.has_backend());
    CHECK(RequireOk(f.Sign(Job("tenants/default/keys/old", "m")))[0].key_version() ==
          old.key_version().name());
    f.cards.Insert(kSlot, crypto::Algorithm::kEcdsaP256Sha256);
    RequireOk(f.store->CreateKey(Request(kSlot)));
    RequireOk(f.Sign(Job(kRelease, "m")));
  }
}

}  // namespace
}  // namespace countersign::sign
