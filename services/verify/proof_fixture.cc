#include "services/verify/proof_fixture.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "catch2/catch.hpp"
#include "libs/base/manual_clock.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/bundle/proofs.h"
#include "libs/bundle/trust.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/private_key.h"
#include "libs/merkle/hash.h"
#include "libs/note/checkpoint.h"
#include "libs/note/cosignature.h"
#include "libs/note/signed_note.h"
#include "libs/testing/matchers.h"

namespace countersign::verify {
namespace {

using crypto::Algorithm;
using testing::RequireOk;

crypto::PrivateKey NewKey(Algorithm algorithm) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm));
}

}  // namespace

ProofFixture MakeProofFixture() {
  ProofFixture fixture;
  fixture.artifact = "release 1.0 of everything\n";
  const crypto::PrivateKey key = NewKey(Algorithm::kEcdsaP256Sha256);
  fixture.signer_fingerprint = key.public_key().Fingerprint();
  bundle::HashedRekord entry;
  entry.digest = crypto::Digest(crypto::DigestAlgorithm::kSha256, fixture.artifact);
  entry.signature = RequireOk(key.SignDigest(entry.digest));
  entry.spki_der = key.public_key().spki_der();
  bundle::LoggedSignature logged;
  logged.canonicalized_body = RequireOk(bundle::FormatHashedRekord(entry));

  const auto log =
      RequireOk(note::NewEd25519Signer("log.example/one", NewKey(Algorithm::kEd25519)));
  base::ManualClock clock(absl::FromUnixSeconds(ProofFixture::kCosignTime));
  const auto north = RequireOk(note::CosignatureSigner::Create(
      "north.example/witness", NewKey(Algorithm::kEd25519), &clock));
  const auto south = RequireOk(note::CosignatureSigner::Create(
      "south.example/witness", NewKey(Algorithm::kEd25519), &clock));
  logged.tree_size = 1;
  logged.checkpoint = RequireOk(note::SignNote(
      note::FormatCheckpoint({log->name(), 1, merkle::LeafHash(logged.canonicalized_body)}),
      {log.get(), north.get()}));
  const auto& log_hash = log->verifier().key_hash();
  logged.log_key_id.assign(log_hash.begin(), log_hash.end());
  const bundle::Proofs proofs = RequireOk(bundle::MakeProofs(logged));
  fixture.bundle = proofs.sigstore_bundle;
  fixture.tlog_proof = proofs.tlog_proof;

  const std::string policy =
      absl::StrCat("log ", log->vkey(), "\nwitness north ", north->vkey(), "\n");
  const auto trust = [&](const std::string& text) {
    return RequireOk(bundle::TrustPolicy::Create(text, {{"alice", key.public_key()}})).Format();
  };
  fixture.trust_file = trust(policy + "quorum north\n");
  fixture.strict_trust_file = trust(absl::StrCat(policy, "witness south ", south->vkey(),
                                                 "\ngroup both all north south\nquorum both\n"));
  return fixture;
}

}  // namespace countersign::verify
