#include "services/verify/verify_service.h"

#include <grpcpp/grpcpp.h>

#include <future>
#include <memory>
#include <string>

#include "catch2/catch.hpp"
#include "libs/base/clock.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/piv/test_attestation.h"
#include "libs/runtime/status.h"
#include "libs/testing/in_process_server.h"
#include "libs/testing/matchers.h"
#include "services/verify/proof_fixture.h"

namespace countersign::verify {
namespace {

using absl::StatusCode;
using crypto::Algorithm;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// The service over a real server, and a client of it.
struct Served {
  explicit Served(int max_waiting = 100)
      : pool(2),
        verifier({.pool = &pool}),
        attestations(RequireOk(Attestations::Create({}, base::Clock::System()))),
        service(&verifier, &attestations, &pool, max_waiting),
        server(&service),
        stub(v1::VerifyService::NewStub(server.channel())) {}

  template <typename Request, typename Response>
  absl::Status Call(grpc::Status (v1::VerifyService::Stub::*method)(grpc::ClientContext*,
                                                                    const Request&, Response*),
                    const Request& request, Response* response) {
    grpc::ClientContext context;
    return runtime::FromGrpcStatus((stub.get()->*method)(&context, request, response));
  }

  base::ThreadPool pool;
  Verifier verifier;
  Attestations attestations;
  VerifyService service;
  testing::InProcessServer server;
  std::unique_ptr<v1::VerifyService::Stub> stub;
};

v1::SignatureCheck SignedCheck(const std::string& message) {
  static const crypto::PrivateKey* key =
      new crypto::PrivateKey(RequireOk(crypto::PrivateKey::Generate(Algorithm::kEcdsaP256Sha256)));
  v1::SignatureCheck check;
  check.set_spki(key->public_key().spki_der());
  check.set_algorithm(v1::ALGORITHM_ECDSA_P256_SHA256);
  check.set_message(message);
  check.set_signature(RequireOk(key->SignMessage(message)));
  return check;
}

TEST_CASE("A verdict is an answer, whether good or bad") {
  Served served;
  v1::VerifySignatureRequest request;
  v1::VerifySignatureResponse response;
  // The second is long enough to go by the executor.
  const std::string message = GENERATE(std::string("short"), std::string(100'000, 'x'));
  *request.mutable_check() = SignedCheck(message);
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::VerifySignature, request, &response), IsOk());
  CHECK(response.verdict().verified());
  CHECK(response.verdict().reason() == v1::REASON_VERIFIED);
  request.mutable_check()->set_message(message + "!");
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::VerifySignature, request, &response), IsOk());
  CHECK_FALSE(response.verdict().verified());
  CHECK(response.verdict().reason() == v1::REASON_SIGNATURE_INVALID);
  CHECK_FALSE(response.verdict().detail().empty());
}

TEST_CASE("A long key or signature goes by the executor, as a long message does") {
  Served served(/*max_waiting=*/0);  // whatever goes there is refused
  v1::VerifySignatureRequest request;
  v1::VerifySignatureResponse response;
  const auto call = [&] {
    return served.Call(&v1::VerifyService::Stub::VerifySignature, request, &response);
  };
  *request.mutable_check() = SignedCheck("short");
  REQUIRE_THAT(call(), IsOk());
  request.mutable_check()->mutable_signature()->resize(100'000);
  CHECK_THAT(call(), StatusIs(StatusCode::kResourceExhausted));
  *request.mutable_check() = SignedCheck("short");
  request.mutable_check()->set_pem(std::string(100'000, '\n'));
  CHECK_THAT(call(), StatusIs(StatusCode::kResourceExhausted));
}

TEST_CASE("What cannot be decided is an error that names the field") {
  Served served;
  v1::VerifySignatureRequest request;
  v1::VerifySignatureResponse response;
  const auto call = [&] {
    return served.Call(&v1::VerifyService::Stub::VerifySignature, request, &response);
  };
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "key"));
  *request.mutable_check() = SignedCheck("m");
  request.mutable_check()->clear_payload();
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "payload"));
  request.mutable_check()->set_digest("short");
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "5 bytes"));
  request.mutable_check()->clear_algorithm();
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "algorithm is required"));
  request.mutable_check()->set_algorithm(static_cast<v1::Algorithm>(99));
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "99"));
  *request.mutable_check() = SignedCheck("m");
  request.mutable_check()->set_pem("-----BEGIN");
  const absl::Status malformed = call();
  CHECK_THAT(malformed, StatusIs(StatusCode::kInvalidArgument));
  CHECK(runtime::ReasonOf(malformed).value_or("") == "KEY_MALFORMED");
}

TEST_CASE("A batch answers in its order, with errors in their places") {
  Served served;
  v1::BatchVerifySignaturesRequest request;
  v1::BatchVerifySignaturesResponse response;
  for (int i = 0; i < 100; ++i) {
    *request.add_checks() = SignedCheck(std::to_string(i));
    if (i % 5 == 1) request.mutable_checks(i)->set_message("other");
    if (i % 5 == 2) request.mutable_checks(i)->clear_key();
    if (i % 5 == 3) request.mutable_checks(i)->set_spki("no key");
  }
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::BatchVerifySignatures, request, &response),
               IsOk());
  REQUIRE(response.results_size() == 100);
  for (int i = 0; i < 100; ++i) {
    INFO(i);
    const v1::SignatureResult& result = response.results(i);
    if (i % 5 == 2 || i % 5 == 3) {
      CHECK(result.error().code() == static_cast<int>(StatusCode::kInvalidArgument));
      CHECK(result.error().reason() == (i % 5 == 2 ? "FIELD_MISSING" : "KEY_MALFORMED"));
    } else {
      CHECK(result.verdict().verified() == (i % 5 != 1));
    }
  }
}

TEST_CASE("A batch has from 1 to 10,000 items") {
  Served served;
  v1::BatchVerifySignaturesRequest request;
  v1::BatchVerifySignaturesResponse response;
  CHECK_THAT(served.Call(&v1::VerifyService::Stub::BatchVerifySignatures, request, &response),
             StatusIs(StatusCode::kInvalidArgument, "not 0"));
  for (int i = 0; i < 10'001; ++i) request.add_checks();
  CHECK_THAT(served.Call(&v1::VerifyService::Stub::BatchVerifySignatures, request, &response),
             StatusIs(StatusCode::kInvalidArgument, "not 10001"));
}

TEST_CASE("A bundle's verdict carries the facts that were proved") {
  Served served;
  const ProofFixture fixture = MakeProofFixture();
  v1::VerifyBundleRequest request;
  v1::VerifyBundleResponse response;
  request.set_bundle(fixture.bundle);
  request.set_trust_file(fixture.trust_file);
  v1::ArtifactDigest* digest = request.add_artifact_digests();
  digest->set_algorithm(v1::DIGEST_ALGORITHM_SHA256);
  digest->set_digest(crypto::Digest(crypto::DigestAlgorithm::kSha256, fixture.artifact));
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::VerifyBundle, request, &response), IsOk());
  const v1::ProofVerdict& verdict = response.verdict();
  INFO(verdict.detail());
  CHECK(verdict.verified());
  CHECK(verdict.reason() == v1::REASON_VERIFIED);
  CHECK(verdict.format() == "sigstore-bundle");
  CHECK(verdict.signer_name() == "alice");
  CHECK(verdict.signer_fingerprint() == fixture.signer_fingerprint);
  CHECK(verdict.algorithm() == v1::ALGORITHM_ECDSA_P256_SHA256);
  CHECK(verdict.digest_algorithm() == v1::DIGEST_ALGORITHM_SHA256);
  CHECK(verdict.digest() == digest->digest());
  CHECK(verdict.log_origin() == "log.example/one");
  CHECK(verdict.log_index() == 0);
  CHECK(verdict.tree_size() == 1);
  CHECK(verdict.root_hash().size() == 32);
  REQUIRE(verdict.witnesses_size() == 1);
  CHECK(verdict.witnesses(0).name() == "north");
  CHECK(verdict.witnesses(0).cosign_time().seconds() == ProofFixture::kCosignTime);

  request.set_trust_file(fixture.strict_trust_file);
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::VerifyBundle, request, &response), IsOk());
  CHECK_FALSE(response.verdict().verified());
  CHECK(response.verdict().reason() == v1::REASON_QUORUM_NOT_MET);
  request.set_bundle("{");
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::VerifyBundle, request, &response), IsOk());
  CHECK(response.verdict().reason() == v1::REASON_MALFORMED);
}

TEST_CASE("A tlog-proof is judged for the artifact's bytes too") {
  Served served;
  const ProofFixture fixture = MakeProofFixture();
  v1::VerifyTlogProofRequest request;
  v1::VerifyTlogProofResponse response;
  request.set_proof(fixture.tlog_proof);
  request.set_trust_file(fixture.trust_file);
  request.set_artifact(fixture.artifact);
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::VerifyTlogProof, request, &response), IsOk());
  INFO(response.verdict().detail());
  CHECK(response.verdict().verified());
  CHECK(response.verdict().format() == "tlog-proof");
  request.set_artifact("");
  REQUIRE_THAT(served.Call(&v1::VerifyService::Stub::VerifyTlogProof, request, &response), IsOk());
  CHECK(response.verdict().reason() == v1::REASON_ARTIFACT_MISMATCH);
}

TEST_CASE("The artifact is given once, and by the hash that the proof was made with") {
  Served served;
  const ProofFixture fixture = MakeProofFixture();
  v1::VerifyBundleRequest request;
  v1::VerifyBundleResponse response;
  request.set_bundle(fixture.bundle);
  const auto call = [&] {
    return served.Call(&v1::VerifyService::Stub::VerifyBundle, request, &response);
  };
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "exactly one"));
  request.set_artifact(fixture.artifact);
  CHECK_THAT(call(), StatusIs(StatusCode::kFailedPrecondition, "trust"));
  request.set_trust_file(fixture.trust_file);
  v1::ArtifactDigest* digest = request.add_artifact_digests();
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "exactly one"));
  request.clear_artifact();
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "algorithm is required"));
  digest->set_algorithm(v1::DIGEST_ALGORITHM_SHA384);
  digest->set_digest("short");
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "48 bytes"));
  digest->set_digest(std::string(48, 'x'));
  const absl::Status missing = call();
  CHECK_THAT(missing, StatusIs(StatusCode::kInvalidArgument, "sha256"));
  CHECK(runtime::ReasonOf(missing).value_or("") == "ARTIFACT_DIGEST_MISSING");
  *request.add_artifact_digests() = *digest;
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "twice"));
}

TEST_CASE("An attestation's verdict carries what the card says of the key") {
  Served served;
  const auto key = RequireOk(crypto::PrivateKey::Generate(Algorithm::kEcdsaP256Sha256));
  piv::Attestation stated = piv::TestFacts(key.public_key());
  stated.fips = true;
  const piv::TestChain chain = piv::MakeTestChain(stated);
  v1::VerifyAttestationRequest request;
  v1::VerifyAttestationResponse response;
  const auto call = [&] {
    return served.Call(&v1::VerifyService::Stub::VerifyAttestation, request, &response);
  };
  CHECK_THAT(call(), StatusIs(StatusCode::kInvalidArgument, "certificate is required"));
  request.set_certificate(chain.attestation);
  request.add_intermediates(chain.card.certificate.der);
  const absl::Status missing = call();
  CHECK_THAT(missing, StatusIs(StatusCode::kFailedPrecondition, "--attestation-roots"));
  CHECK(runtime::ReasonOf(missing).value_or("") == "ROOTS_MISSING");
  request.add_roots(chain.root.certificate.der);
  request.set_expected_spki(key.public_key().spki_der());
  request.set_expected_serial_number(stated.serial);
  REQUIRE_THAT(call(), IsOk());
  INFO(response.verdict().detail());
  CHECK(response.verdict().verified());
  CHECK(response.verdict().reason() == v1::ATTESTATION_REASON_VERIFIED);
  CHECK(response.verdict().detail().empty());
  const v1::AttestationFacts& facts = response.verdict().facts();
  CHECK(facts.spki() == key.public_key().spki_der());
  CHECK(facts.fingerprint() == key.public_key().Fingerprint());
  CHECK(facts.serial_number() == stated.serial);
  CHECK(facts.firmware_version() == "5.4.3");
  CHECK(facts.pin_policy() == v1::PIN_POLICY_ALWAYS);
  CHECK(facts.touch_policy() == v1::TOUCH_POLICY_CACHED);
  CHECK(facts.form_factor() == "USB-C nano");
  CHECK(facts.fips());
  CHECK(facts.slot() == "9c");

  request.set_expected_serial_number(1);
  REQUIRE_THAT(call(), IsOk());
  CHECK_FALSE(response.verdict().verified());
  CHECK(response.verdict().reason() == v1::ATTESTATION_REASON_SERIAL_MISMATCH);
  request.set_expected_spki("another");
  REQUIRE_THAT(call(), IsOk());
  CHECK(response.verdict().reason() == v1::ATTESTATION_REASON_KEY_MISMATCH);
  request.clear_intermediates();
  REQUIRE_THAT(call(), IsOk());
  CHECK(response.verdict().reason() == v1::ATTESTATION_REASON_NOT_TRUSTED);
  CHECK(response.verdict().has_facts());
  request.set_certificate("no certificate");
  REQUIRE_THAT(call(), IsOk());
  CHECK(response.verdict().reason() == v1::ATTESTATION_REASON_MALFORMED);
  CHECK_FALSE(response.verdict().has_facts());
}

TEST_CASE("Work beyond what may wait is refused, and what waits is done") {
  Served served(/*max_waiting=*/1);
  // Both threads are kept busy, so that the first call waits.
  std::promise<void> release;
  std::shared_future<void> released(release.get_future());
  std::promise<void> busy[2];
  for (std::promise<void>& thread : busy) {
    served.pool.Schedule([&thread, released] {
      thread.set_value();
      released.wait();
    });
  }
  for (std::promise<void>& thread : busy) thread.get_future().wait();
  v1::VerifySignatureRequest request;
  *request.mutable_check() = SignedCheck(std::string(100'000, 'x'));
  // One of these waits and the other is refused, whichever comes first. The refusal lets both end.
  const auto call = [&] {
    v1::VerifySignatureResponse response;
    const absl::Status status =
        served.Call(&v1::VerifyService::Stub::VerifySignature, request, &response);
    if (!status.ok()) release.set_value();
    return status;
  };
  auto other = std::async(std::launch::async, call);
  const absl::Status first = call();
  const absl::Status second = other.get();
  CHECK(first.ok() != second.ok());
  const absl::Status refused = first.ok() ? second : first;
  CHECK_THAT(refused, StatusIs(StatusCode::kResourceExhausted, "try again"));
  CHECK(runtime::RetryAfterOf(refused).has_value());
}

}  // namespace
}  // namespace countersign::verify
