#include "services/sign/signing.h"

#include "catch2/catch.hpp"
#include "libs/bundle/hashedrekord.h"
#include "libs/crypto/random.h"
#include "libs/runtime/error_details.h"
#include "services/sign/errors.h"
#include "services/sign/testing.h"

namespace countersign::sign {
namespace {

using ::countersign::testing::RequireOk;
using ::countersign::testing::StatusIs;

constexpr char kRelease[] = "tenants/default/keys/release";
constexpr char kVersion1[] = "tenants/default/keys/release/versions/1";
constexpr absl::string_view kMessage = "the message";

SigningJob Job(v1::LedgerWait ledger = v1::LEDGER_WAIT_NONE, const std::string& request_id = "") {
  SigningJob job;
  job.name = kRelease;
  job.payloads = {{Payload::Kind::kMessage, kMessage}};
  job.ledger = ledger;
  job.request_id = request_id;
  job.fingerprint = request_id.empty() ? "" : "print";
  return job;
}

crypto::PublicKey KeyOf(const v1::CreateKeyResponse& created) {
  return RequireOk(crypto::PublicKey::FromSpkiDer(created.key_version().spki()));
}

TEST_CASE("A signature names its algorithm and version, and verifies") {
  TestSigning s;
  const auto created = s.keys.Create("release");
  for (const char* name : {kRelease, kVersion1}) {
    SigningJob job = Job();
    job.name = name;
    const auto signatures = RequireOk(s.Sign(std::move(job)));
    REQUIRE(signatures.size() == 1);
    CHECK(signatures[0].key_version() == kVersion1);
    CHECK(signatures[0].algorithm() == v1::ALGORITHM_ECDSA_P256_SHA256);
    CHECK_FALSE(signatures[0].has_ledger_proof());
    CHECK(RequireOk(KeyOf(created).VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, kMessage,
                                                 signatures[0].signature())));
  }
  CHECK(s.ledger.size() == 0);
}

TEST_CASE("A warm key signs without a look at the database") {
  TestSigning s;
  s.keys.Create("release");
  RequireOk(s.Sign(Job()));
  // Were the database asked, the key would be gone.
  RequireOk(RequireOk(storage::Database::Open(DatabaseUrl(s.keys.dir)))
                ->Run("DELETE FROM key_versions")
                .status());
  const uint64_t misses = s.ring.stats().misses;
  for (int i = 0; i < 100; ++i) RequireOk(s.Sign(Job()));
  CHECK(s.ring.stats().misses == misses);
}

TEST_CASE("An Ed25519 key signs messages plainly, digests and logged messages as Ed25519ph") {
  TestSigning s;
  const auto created = s.keys.Create("release", v1::ALGORITHM_ED25519);
  const crypto::PublicKey key = KeyOf(created);

  const auto plain = RequireOk(s.Sign(Job()));
  CHECK(plain[0].algorithm() == v1::ALGORITHM_ED25519);
  CHECK(RequireOk(key.VerifyMessage(crypto::Algorithm::kEd25519, kMessage, plain[0].signature())));

  const std::string digest = crypto::Digest(crypto::DigestAlgorithm::kSha512, kMessage);
  SigningJob job = Job();
  job.payloads = {{Payload::Kind::kDigest, digest}};
  const auto prehashed = RequireOk(s.Sign(std::move(job)));
  CHECK(prehashed[0].algorithm() == v1::ALGORITHM_ED25519PH);
  CHECK(
      RequireOk(key.VerifyDigest(crypto::Algorithm::kEd25519ph, digest, prehashed[0].signature())));

  const auto logged = RequireOk(s.Sign(Job(v1::LEDGER_WAIT_INTEGRATED)));
  CHECK(logged[0].algorithm() == v1::ALGORITHM_ED25519PH);
  CHECK(RequireOk(key.VerifyDigest(crypto::Algorithm::kEd25519ph, digest, logged[0].signature())));
  const auto entry =
      RequireOk(bundle::ParseHashedRekord(logged[0].ledger_proof().canonicalized_body()));
  CHECK(entry.algorithm == crypto::Algorithm::kEd25519ph);
  CHECK(RequireOk(bundle::CheckSignature(entry)));
}

TEST_CASE("A logged signature's entry names digest, signature and key") {
  TestSigning s;
  const auto created = s.keys.Create("release", v1::ALGORITHM_ECDSA_P384_SHA384);
  const auto signatures = RequireOk(s.Sign(Job(v1::LEDGER_WAIT_COSIGNED)));
  const v1::LedgerProof& proof = signatures[0].ledger_proof();
  CHECK(proof.log_origin() == "tenants/default/logs/main");
  CHECK(proof.log_key_id() == std::string(32, 'i'));
  CHECK(proof.index() == 0);
  CHECK(proof.checkpoint() == "checkpoint");
  const auto entry = RequireOk(bundle::ParseHashedRekord(proof.canonicalized_body()));
  CHECK(entry.digest == crypto::Digest(crypto::DigestAlgorithm::kSha384, kMessage));
  CHECK(entry.signature == signatures[0].signature());
  CHECK(entry.spki_der == created.key_version().spki());
  CHECK(RequireOk(bundle::CheckSignature(entry)));

  SigningJob elsewhere = Job(v1::LEDGER_WAIT_SEQUENCED);
  elsewhere.log = "tenants/default/logs/other";
  CHECK(RequireOk(s.Sign(std::move(elsewhere)))[0].ledger_proof().log_origin() ==
        "tenants/default/logs/other");
}

TEST_CASE("A batch is signed and logged in order") {
  TestSigning s;
  const auto created = s.keys.Create("release");
  std::vector<std::string> messages;
  for (int i = 0; i < 200; ++i) messages.push_back(std::to_string(i));
  for (v1::LedgerWait ledger : {v1::LEDGER_WAIT_NONE, v1::LEDGER_WAIT_INTEGRATED}) {
    SigningJob job = Job(ledger);
    job.payloads.clear();
    for (const std::string& message : messages) {
      job.payloads.push_back({Payload::Kind::kMessage, message});
    }
    const auto signatures = RequireOk(s.Sign(std::move(job)));
    REQUIRE(signatures.size() == messages.size());
    for (size_t i = 0; i < messages.size(); ++i) {
      CHECK(RequireOk(KeyOf(created).VerifyMessage(crypto::Algorithm::kEcdsaP256Sha256, messages[i],
                                                   signatures[i].signature())));
      if (ledger != v1::LEDGER_WAIT_NONE) {
        CHECK(signatures[i].ledger_proof().index() == static_cast<int64_t>(i));
      }
    }
  }
  CHECK(s.ledger.size() == 200);
}

TEST_CASE("A logged job repeated with its request id has one signature and one entry") {
  TestSigning s;
  s.keys.Create("release");
  const std::string id = crypto::RandomUuid();
  s.ledger.FailNext(absl::UnavailableError("no ledger"));
  CHECK_THAT(s.Sign(Job(v1::LEDGER_WAIT_INTEGRATED, id)), StatusIs(absl::StatusCode::kUnavailable));
  const auto first = RequireOk(s.Sign(Job(v1::LEDGER_WAIT_INTEGRATED, id)));

  // Even when the version that signed is no longer primary, or of use at all.
  RequireOk(s.keys.store->RotateKey(Named<v1::RotateKeyRequest>(kRelease)));
  RequireOk(s.keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(kVersion1)));
  const auto second = RequireOk(s.Sign(Job(v1::LEDGER_WAIT_INTEGRATED, id)));
  CHECK(Same(first[0], second[0]));
  CHECK(s.ledger.size() == 1);

  SigningJob other = Job(v1::LEDGER_WAIT_INTEGRATED, id);
  other.fingerprint = "another print";
  const auto refused = s.Sign(std::move(other));
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kAlreadyExists));
  CHECK(runtime::ReasonOf(refused.status()) == kRequestIdReused);

  RequireOk(s.Sign(Job(v1::LEDGER_WAIT_INTEGRATED, crypto::RandomUuid())));
  CHECK(s.ledger.size() == 2);
  CHECK_THAT(s.Sign(Job(v1::LEDGER_WAIT_INTEGRATED, "no uuid")),
             StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_CASE("Failures say exactly what is wrong") {
  TestSigning s;
  s.keys.Create("release");
  const auto sign = [&](const std::string& name, const Payload& payload) {
    SigningJob job = Job();
    job.name = name;
    job.payloads = {payload};
    return s.Sign(std::move(job));
  };
  const Payload message = {Payload::Kind::kMessage, kMessage};
  CHECK_THAT(sign("tenants/default/keys/missing", message), StatusIs(absl::StatusCode::kNotFound));
  CHECK_THAT(sign("tenants/default/keys/release/versions/7", message),
             StatusIs(absl::StatusCode::kNotFound));
  CHECK_THAT(sign("release", message), StatusIs(absl::StatusCode::kInvalidArgument, "name"));
  CHECK_THAT(sign(kRelease, {Payload::Kind::kDigest, kMessage}),
             StatusIs(absl::StatusCode::kInvalidArgument, "32 bytes"));

  s.keys.Create("crypt", v1::ALGORITHM_HPKE_X25519);
  const auto wrong = sign("tenants/default/keys/crypt", message);
  CHECK_THAT(wrong, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(wrong.status()) == kWrongAlgorithm);

  RequireOk(sign(kRelease, message));
  RequireOk(s.keys.store->DisableKeyVersion(Named<v1::DisableKeyVersionRequest>(kVersion1)));
  const auto disabled = sign(kRelease, message);
  CHECK_THAT(disabled, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(disabled.status()) == kKeyVersionDisabled);
  RequireOk(s.keys.store->DestroyKeyVersion(Named<v1::DestroyKeyVersionRequest>(kVersion1)));
  const auto destroyed = sign(kVersion1, message);
  CHECK_THAT(destroyed, StatusIs(absl::StatusCode::kFailedPrecondition));
  CHECK(runtime::ReasonOf(destroyed.status()) == kKeyVersionDestroyed);
}

TEST_CASE("Without a ledger, jobs that want one fail and others do not") {
  TestSigning s;
  s.keys.Create("release");
  Signing alone({.keys = &s.ring,
                 .store = s.keys.store.get(),
                 .ledger = nullptr,
                 .executor = &s.executor,
                 .default_log = ""});
  const auto run = [&](SigningJob job) {
    std::promise<absl::StatusOr<std::vector<v1::Signature>>> promise;
    alone.Sign(std::move(job), [&](auto result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  };
  const auto refused = run(Job(v1::LEDGER_WAIT_INTEGRATED));
  CHECK_THAT(refused, StatusIs(absl::StatusCode::kFailedPrecondition, "--ledger"));
  CHECK(runtime::ReasonOf(refused.status()) == kNoLedger);
  RequireOk(run(Job()));
}

TEST_CASE("A level that the contract does not have is refused") {
  TestSigning s;
  s.keys.Create("release");
  CHECK_THAT(s.Sign(Job(static_cast<v1::LedgerWait>(42))),
             StatusIs(absl::StatusCode::kInvalidArgument, "ledger"));
}

}  // namespace
}  // namespace countersign::sign
