#include "services/verify/verifier.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/crypto/private_key.h"
#include "libs/runtime/error_details.h"
#include "libs/testing/matchers.h"
#include "services/verify/proof_fixture.h"

namespace countersign::verify {
namespace {

using absl::StatusCode;
using crypto::Algorithm;
using testing::IsOk;
using testing::RequireOk;
using testing::StatusIs;

// Everything that a check's views point to.
struct Signed {
  Algorithm algorithm;
  std::string spki;
  std::string message;
  std::string signature;

  SignatureCheck check() const {
    return {SignatureCheck::KeyForm::kSpki, spki, algorithm, false, message, signature};
  }
};

Signed Sign(Algorithm algorithm, std::string message) {
  const auto key = RequireOk(crypto::PrivateKey::Generate(algorithm));
  std::string signature = RequireOk(key.SignMessage(message));
  return {algorithm, key.public_key().spki_der(), std::move(message), std::move(signature)};
}

// Made with openssl: a self-signed P-256 certificate of one day and its key's signature over
// "a message".
constexpr char kCertificate[] =
    "MIIBiDCCAS2gAwIBAgIUSs1rPhwAqQjwxvMWCHGLwb0sW8gwCgYIKoZIzj0EAwIwGTEXMBUGA1UEAwwOc2lnbmVy"
    "LmV4YW1wbGUwHhcNMjYxMTIxMDkxMTA4WhcNMjYxMTIyMDkxMTA4WjAZMRcwFQYDVQQDDA5zaWduZXIuZXhhbXBs"
    "ZTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMQ3zjagdXPA7J7I5Mx4k0qn5ZmI+yXucAe2zCIqjtUOCEgGwjQc"
    "nvYjjTf8fzTVo8F+6jOr3RaKpE9BTfxz8WejUzBRMB0GA1UdDgQWBBSq0aQEG3L1z8XnNupk28i7Ec2MLjAfBgNV"
    "HSMEGDAWgBSq0aQEG3L1z8XnNupk28i7Ec2MLjAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCb"
    "HPLU2+R8LmLWXifGrak+DK5/k6JBNDrmqSO1KACIFgIhAN+X7OSITJbQQZswKeNdxbESYR3eHDBERhwzH8YomR4s";
constexpr char kCertificateSignature[] =
    "MEQCIBQJc4o6t52YlZdZMEbQTNUUyu3OmK/MZjqlA1LvBn+vAiAVQxnCcBtlYpRmoo3Ikj3uV+G9Sy/9MiRnx9my"
    "CpcPzQ==";

std::string ReasonOf(const absl::Status& status) { return runtime::ReasonOf(status).value_or(""); }

TEST_CASE("A signature of each algorithm verifies, and fails when any part of it is another") {
  base::ThreadPool pool(2);
  Verifier verifier({.pool = &pool});
  const Algorithm algorithm =
      GENERATE(Algorithm::kEd25519, Algorithm::kEcdsaP256Sha256, Algorithm::kEcdsaP384Sha384,
               Algorithm::kRsaPss2048Sha256, Algorithm::kRsaPkcs1_2048Sha256);
  const Signed good = Sign(algorithm, "a message");
  CHECK(RequireOk(verifier.VerifySignature(good.check())));
  Signed bad = good;
  bad.message += ".";
  CHECK_FALSE(RequireOk(verifier.VerifySignature(bad.check())));
  bad = good;
  bad.signature[bad.signature.size() / 2] ^= 1;
  CHECK_FALSE(RequireOk(verifier.VerifySignature(bad.check())));
  bad = good;
  bad.signature.clear();
  CHECK_FALSE(RequireOk(verifier.VerifySignature(bad.check())));
  bad = good;
  bad.spki = Sign(algorithm, "").spki;
  CHECK_FALSE(RequireOk(verifier.VerifySignature(bad.check())));
}

TEST_CASE("A digest verifies as its message does") {
  base::ThreadPool pool(1);
  Verifier verifier({.pool = &pool});
  const Signed one = Sign(Algorithm::kEcdsaP384Sha384, "a message");
  const std::string digest = crypto::Digest(crypto::DigestAlgorithm::kSha384, one.message);
  SignatureCheck check = one.check();
  check.prehashed = true;
  check.payload = digest;
  CHECK(RequireOk(verifier.VerifySignature(check)));
  check.payload = absl::string_view(digest).substr(1);
  const auto wrong = verifier.VerifySignature(check);
  CHECK_THAT(wrong, StatusIs(StatusCode::kInvalidArgument, "47 bytes"));
  CHECK(ReasonOf(wrong.status()) == "DIGEST_INVALID");
}

TEST_CASE("Ed25519 takes no digest, and Ed25519ph verifies one of SHA-512") {
  base::ThreadPool pool(1);
  Verifier verifier({.pool = &pool});
  const auto key = RequireOk(crypto::PrivateKey::Generate(Algorithm::kEd25519));
  const std::string digest = crypto::Digest(crypto::DigestAlgorithm::kSha512, "a message");
  const std::string signature = RequireOk(key.SignDigest(digest));
  SignatureCheck check{SignatureCheck::KeyForm::kSpki,
                       key.public_key().spki_der(),
                       Algorithm::kEd25519ph,
                       true,
                       digest,
                       signature};
  CHECK(RequireOk(verifier.VerifySignature(check)));
  check.prehashed = false;
  check.payload = "a message";
  CHECK(RequireOk(verifier.VerifySignature(check)));
  check.algorithm = Algorithm::kEd25519;
  CHECK_FALSE(RequireOk(verifier.VerifySignature(check)));
  check.prehashed = true;
  check.payload = digest;
  CHECK_THAT(verifier.VerifySignature(check), StatusIs(StatusCode::kInvalidArgument, "no digests"));
  // Nor an empty one, which is no empty message.
  const std::string of_nothing = RequireOk(key.SignMessage(""));
  check.payload = "";
  check.signature = of_nothing;
  CHECK_THAT(verifier.VerifySignature(check), StatusIs(StatusCode::kInvalidArgument, "no digests"));
}

TEST_CASE("A key is taken as PEM too, and refused when it is none or of another algorithm") {
  base::ThreadPool pool(1);
  Verifier verifier({.pool = &pool});
  const Signed one = Sign(Algorithm::kEcdsaP256Sha256, "a message");
  const std::string pem = RequireOk(crypto::PublicKey::FromSpkiDer(one.spki)).ToPem();
  SignatureCheck check = one.check();
  check.key_form = SignatureCheck::KeyForm::kPem;
  check.key = pem;
  CHECK(RequireOk(verifier.VerifySignature(check)));
  check.key = one.spki;
  auto refused = verifier.VerifySignature(check);
  CHECK_THAT(refused, StatusIs(StatusCode::kInvalidArgument));
  CHECK(ReasonOf(refused.status()) == "KEY_MALFORMED");
  check.key_form = SignatureCheck::KeyForm::kCertificate;
  CHECK(ReasonOf(verifier.VerifySignature(check).status()) == "KEY_MALFORMED");
  check = one.check();
  check.algorithm = Algorithm::kEd25519;
  refused = verifier.VerifySignature(check);
  CHECK_THAT(refused, StatusIs(StatusCode::kInvalidArgument));
  CHECK(ReasonOf(refused.status()) == "WRONG_ALGORITHM");
}

TEST_CASE("A certificate's key verifies, whatever the certificate's dates") {
  base::ThreadPool pool(1);
  Verifier verifier({.pool = &pool});
  const std::string certificate = RequireOk(base::Base64Decode(kCertificate));
  const std::string signature = RequireOk(base::Base64Decode(kCertificateSignature));
  SignatureCheck check{SignatureCheck::KeyForm::kCertificate,
                       certificate,
                       Algorithm::kEcdsaP256Sha256,
                       false,
                       "a message",
                       signature};
  CHECK(RequireOk(verifier.VerifySignature(check)));
  check.payload = "another message";
  CHECK_FALSE(RequireOk(verifier.VerifySignature(check)));
  check.key = absl::string_view(certificate).substr(1);
  CHECK(ReasonOf(verifier.VerifySignature(check).status()) == "KEY_MALFORMED");
}

TEST_CASE("Good signatures are remembered, bad ones are not") {
  base::ThreadPool pool(1);
  Verifier verifier({.pool = &pool});
  const Signed good = Sign(Algorithm::kEd25519, "a message");
  Signed bad = good;
  bad.signature[3] ^= 1;
  for (int i = 0; i < 3; ++i) {
    CHECK(RequireOk(verifier.VerifySignature(good.check())));
    CHECK_FALSE(RequireOk(verifier.VerifySignature(bad.check())));
  }
  const Verifier::CacheStats stats = verifier.cache_stats();
  CHECK(stats.signature_hits == 2);
  CHECK(stats.signature_misses == 4);
  CHECK(stats.key_misses == 1);
  CHECK(stats.key_hits == 5);
}

TEST_CASE("The cache may be off, and is bounded when it is on") {
  base::ThreadPool pool(1);
  Verifier off({.pool = &pool, .signature_cache_entries = 0});
  const Signed one = Sign(Algorithm::kEd25519, "a message");
  CHECK(RequireOk(off.VerifySignature(one.check())));
  CHECK(RequireOk(off.VerifySignature(one.check())));
  CHECK(off.cache_stats().signature_hits == 0);
  Verifier small({.pool = &pool, .signature_cache_entries = 16});
  const auto key = RequireOk(crypto::PrivateKey::Generate(Algorithm::kEd25519));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::string message = std::to_string(i);
      const std::string signature = RequireOk(key.SignMessage(message));
      CHECK(RequireOk(
          small.VerifySignature({SignatureCheck::KeyForm::kSpki, key.public_key().spki_der(),
                                 Algorithm::kEd25519, false, message, signature})));
    }
  }
  CHECK(small.cache_stats().signature_hits < 200);
}

TEST_CASE("A batch keeps its order, and one bad key does not disturb the others") {
  base::ThreadPool pool(4);
  Verifier verifier({.pool = &pool});
  const auto key = RequireOk(crypto::PrivateKey::Generate(Algorithm::kEd25519));
  std::vector<std::string> messages;
  std::vector<std::string> signatures;
  for (int i = 0; i < 500; ++i) {
    messages.push_back("message " + std::to_string(i));
    signatures.push_back(RequireOk(key.SignMessage(messages.back())));
    if (i % 3 == 1) signatures.back()[0] ^= 1;
  }
  std::vector<SignatureCheck> checks;
  for (size_t i = 0; i < messages.size(); ++i) {
    checks.push_back({SignatureCheck::KeyForm::kSpki,
                      i % 7 == 6 ? absl::string_view("no key") : key.public_key().spki_der(),
                      Algorithm::kEd25519, false, messages[i], signatures[i]});
  }
  // From a thread of the pool itself and from others, all at once.
  std::vector<std::vector<absl::StatusOr<bool>>> answers(3);
  std::thread other([&] { answers[0] = verifier.VerifySignatures(checks); });
  pool.ParallelFor(
      2, [&](int i) { answers[static_cast<size_t>(i) + 1] = verifier.VerifySignatures(checks); });
  other.join();
  for (const auto& results : answers) {
    REQUIRE(results.size() == checks.size());
    int wrong = 0;
    for (size_t i = 0; i < results.size(); ++i) {
      if (i % 7 == 6) {
        if (results[i].status().code() != StatusCode::kInvalidArgument) ++wrong;
      } else if (!results[i].ok() || *results[i] != (i % 3 != 1)) {
        ++wrong;
      }
    }
    CHECK(wrong == 0);
  }
  CHECK(verifier.VerifySignatures({}).empty());
}

TEST_CASE("A bundle and a tlog-proof are judged by the trust file that comes with them") {
  base::ThreadPool pool(1);
  Verifier verifier({.pool = &pool});
  const ProofFixture fixture = MakeProofFixture();
  const auto artifact = bundle::DigestOf(fixture.artifact);
  for (int i = 0; i < 2; ++i) {
    const bundle::Verdict verdict =
        RequireOk(verifier.VerifyBundle(fixture.bundle, artifact, fixture.trust_file));
    CHECK(verdict.verified);
    CHECK(verdict.signer_name == "alice");
    CHECK(verdict.log_origin == "log.example/one");
    REQUIRE(verdict.witnesses.size() == 1);
    CHECK(verdict.witnesses[0].name == "north");
  }
  CHECK(RequireOk(verifier.VerifyTlogProof(fixture.tlog_proof, artifact, fixture.trust_file))
            .verified);
  CHECK(RequireOk(verifier.VerifyBundle(fixture.bundle, artifact, fixture.strict_trust_file))
            .reason == bundle::Reason::kQuorumNotMet);
  CHECK(RequireOk(
            verifier.VerifyBundle(fixture.bundle, bundle::DigestOf("other"), fixture.trust_file))
            .reason == bundle::Reason::kArtifactMismatch);
}

TEST_CASE("A trust file is parsed once, unless it is a large one") {
  base::ThreadPool pool(1);
  Verifier verifier({.pool = &pool});
  const ProofFixture fixture = MakeProofFixture();
  const auto artifact = bundle::DigestOf(fixture.artifact);
  const auto verify = [&](const std::string& trust_file) {
    return RequireOk(verifier.VerifyBundle(fixture.bundle, artifact, trust_file)).verified;
  };
  const std::string large = fixture.trust_file + std::string(64 << 10, ' ');
  for (int i = 0; i < 2; ++i) CHECK(verify(large));
  CHECK(verifier.cache_stats().trust_hits == 0);
  for (int i = 0; i < 2; ++i) CHECK(verify(fixture.trust_file));
  CHECK(verifier.cache_stats().trust_hits == 1);
}

TEST_CASE("Without a trust file the verifier's own is used, or the call refused") {
  base::ThreadPool pool(1);
  const ProofFixture fixture = MakeProofFixture();
  const auto artifact = bundle::DigestOf(fixture.artifact);
  Verifier none({.pool = &pool});
  const auto refused = none.VerifyBundle(fixture.bundle, artifact, "");
  CHECK_THAT(refused, StatusIs(StatusCode::kFailedPrecondition, "--trust"));
  CHECK(ReasonOf(refused.status()) == "TRUST_FILE_MISSING");
  const auto malformed = none.VerifyBundle(fixture.bundle, artifact, "{}");
  CHECK_THAT(malformed, StatusIs(StatusCode::kInvalidArgument));
  CHECK(ReasonOf(malformed.status()) == "TRUST_FILE_MALFORMED");
  Verifier own({.pool = &pool,
                .trust = std::make_shared<const bundle::TrustPolicy>(
                    RequireOk(bundle::TrustPolicy::Parse(fixture.trust_file)))});
  CHECK(RequireOk(own.VerifyTlogProof(fixture.tlog_proof, artifact, "")).verified);
}

}  // namespace
}  // namespace countersign::verify
