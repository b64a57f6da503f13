#include "libs/bundle/verify.h"

#include <map>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "catch2/catch.hpp"
#include "libs/base/bytes.h"
#include "libs/base/file.h"
#include "libs/bundle/bundle.h"
#include "libs/bundle/dsse.h"
#include "libs/bundle/proofs.h"
#include "libs/bundle/test_log.h"
#include "libs/note/signed_note.h"
#include "libs/testing/matchers.h"
#include "nlohmann/json.hpp"

namespace Catch {
template <>
struct StringMaker<countersign::bundle::Reason> {
  static std::string convert(countersign::bundle::Reason reason) {
    return std::string(countersign::bundle::ReasonCode(reason));
  }
};
}  // namespace Catch

namespace countersign::bundle {
namespace {

using crypto::Algorithm;
using crypto::DigestAlgorithm;
using nlohmann::ordered_json;
using testing::RequireOk;
using testing::StatusIs;

std::string TestData(const std::string& name) {
  return RequireOk(base::ReadFile("libs/bundle/testdata/" + name));
}

TrustPolicy GoldenTrust() { return RequireOk(TrustPolicy::Parse(TestData("golden.trust.json"))); }

Verdict VerifyGolden(const std::string& bundle) {
  return RequireOk(VerifyBundle(bundle, DigestOf(TestData("golden.txt")), GoldenTrust()));
}

crypto::PrivateKey NewKey(Algorithm algorithm = Algorithm::kEcdsaP256Sha256) {
  return RequireOk(crypto::PrivateKey::Generate(algorithm));
}

Proofs ProofsOf(const TestLog& log, const HashedRekord& entry, const std::vector<int>& cosigners) {
  return RequireOk(MakeProofs(log.Log(RequireOk(FormatHashedRekord(entry)), cosigners)));
}

// Both proofs of one signature say the same.
void CheckBoth(const Proofs& proofs, const std::string& artifact, const TrustPolicy& trust,
               Reason reason) {
  const Verdict bundle = RequireOk(VerifyBundle(proofs.sigstore_bundle, DigestOf(artifact), trust));
  const Verdict proof = RequireOk(VerifyTlogProof(proofs.tlog_proof, DigestOf(artifact), trust));
  CAPTURE(bundle.detail, proof.detail);
  CHECK(bundle.reason == reason);
  CHECK(proof.reason == reason);
  CHECK(bundle.verified == (reason == Reason::kVerified));
  CHECK(proof.verified == (reason == Reason::kVerified));
  CHECK(bundle.detail.empty() == bundle.verified);
}

TEST_CASE("The golden bundle verifies, and every fact is told") {
  const Verdict verdict = VerifyGolden(TestData("golden.sigstore.json"));
  CHECK(verdict.detail == "");
  CHECK(verdict.reason == Reason::kVerified);
  CHECK(verdict.verified);
  CHECK(verdict.format == "sigstore-bundle");
  CHECK(verdict.signer_name == "golden");
  CHECK(verdict.signer_fingerprint == GoldenTrust().signers()[0].key.Fingerprint());
  CHECK(verdict.algorithm == "ecdsa-p256-sha256");
  CHECK(verdict.digest_algorithm == DigestAlgorithm::kSha256);
  CHECK(verdict.digest == crypto::Digest(DigestAlgorithm::kSha256, TestData("golden.txt")));
  CHECK(verdict.payload_type == "");
  CHECK(verdict.log_origin == "log.example/golden");
  CHECK(verdict.log_index == 2);
  CHECK(verdict.tree_size == 6);
  CHECK(verdict.root_hash.size() == 32);
  REQUIRE(verdict.witnesses.size() == 2);
  CHECK(verdict.witnesses[0].name == "w1");
  CHECK(verdict.witnesses[0].key_name == "witness-1.example");
  CHECK(verdict.witnesses[0].time == absl::FromUnixSeconds(1760000000));
  CHECK(verdict.witnesses[1].name == "w2");
  CHECK(verdict.witnesses[1].time == absl::FromUnixSeconds(1760000002));
  CHECK(verdict.quorum == "two-of-three, 2 of 3");
}

TEST_CASE("The golden tlog-proof verifies by itself and proves the same") {
  const Verdict verdict = RequireOk(VerifyTlogProof(
      TestData("golden.tlog-proof"), DigestOf(TestData("golden.txt")), GoldenTrust()));
  const Verdict bundle = VerifyGolden(TestData("golden.sigstore.json"));
  CHECK(verdict.detail == "");
  CHECK(verdict.verified);
  CHECK(verdict.format == "tlog-proof");
  CHECK(verdict.signer_name == bundle.signer_name);
  CHECK(verdict.digest == bundle.digest);
  CHECK(verdict.root_hash == bundle.root_hash);
  CHECK(verdict.witnesses.size() == bundle.witnesses.size());
}

enum class Change { kFlipBit, kAddOne, kAppend };

std::string Tampered(const std::string& value, Change change) {
  switch (change) {
    case Change::kFlipBit: {
      std::string bytes = RequireOk(base::Base64Decode(value));
      bytes[bytes.size() / 2] ^= 1;
      return base::Base64Encode(bytes);
    }
    case Change::kAddOne:
      return absl::StrCat(std::stoll(value) + 1);
    case Change::kAppend:
      break;
  }
  return value + "x";
}

void CollectLeaves(const ordered_json& value, const std::string& path, std::set<std::string>* out) {
  if (value.is_primitive()) {
    out->insert(path);
    return;
  }
  for (const auto& [key, member] : value.items()) CollectLeaves(member, path + "/" + key, out);
}

TEST_CASE("Each field of a bundle, tampered with, is told from every other") {
  const std::string entry = "/verificationMaterial/tlogEntries/0";
  const std::map<std::string, std::pair<Change, Reason>> expected = {
      {"/mediaType", {Change::kAppend, Reason::kUnsupported}},
      {"/verificationMaterial/publicKey/hint", {Change::kFlipBit, Reason::kInconsistent}},
      {entry + "/logIndex", {Change::kAddOne, Reason::kInconsistent}},
      {entry + "/logId/keyId", {Change::kFlipBit, Reason::kInconsistent}},
      {entry + "/kindVersion/kind", {Change::kAppend, Reason::kInconsistent}},
      {entry + "/kindVersion/version", {Change::kAppend, Reason::kInconsistent}},
      {entry + "/integratedTime", {Change::kAddOne, Reason::kInconsistent}},
      {entry + "/inclusionProof/logIndex", {Change::kAddOne, Reason::kNotInLog}},
      {entry + "/inclusionProof/rootHash", {Change::kFlipBit, Reason::kInconsistent}},
      {entry + "/inclusionProof/treeSize", {Change::kAddOne, Reason::kInconsistent}},
      {entry + "/inclusionProof/hashes/0", {Change::kFlipBit, Reason::kNotInLog}},
      {entry + "/inclusionProof/hashes/1", {Change::kFlipBit, Reason::kNotInLog}},
      {entry + "/inclusionProof/hashes/2", {Change::kFlipBit, Reason::kNotInLog}},
      {entry + "/inclusionProof/checkpoint/envelope", {Change::kAppend, Reason::kMalformed}},
      {entry + "/canonicalizedBody", {Change::kFlipBit, Reason::kEntryMismatch}},
      {"/messageSignature/messageDigest/algorithm", {Change::kAppend, Reason::kUnsupported}},
      {"/messageSignature/messageDigest/digest", {Change::kFlipBit, Reason::kArtifactMismatch}},
      {"/messageSignature/signature", {Change::kFlipBit, Reason::kSignatureInvalid}},
  };
  const ordered_json golden = ordered_json::parse(TestData("golden.sigstore.json"));
  std::set<std::string> leaves;
  CollectLeaves(golden, "", &leaves);
  for (const std::string& path : leaves) {
    CAPTURE(path);
    REQUIRE(expected.count(path) == 1);
    const auto& [change, reason] = expected.at(path);
    const ordered_json::json_pointer pointer(path);
    ordered_json tampered = golden;
    tampered[pointer] = Tampered(golden[pointer].get<std::string>(), change);
    const Verdict verdict = VerifyGolden(tampered.dump());
    CAPTURE(verdict.detail);
    CHECK(verdict.reason == reason);
    CHECK_FALSE(verdict.verified);
    CHECK_FALSE(verdict.detail.empty());
  }
  CHECK(leaves.size() == expected.size());
}

TEST_CASE("Each field of a bundle, taken away, fails unless it may be absent") {
  const ordered_json golden = ordered_json::parse(TestData("golden.sigstore.json"));
  std::set<std::string> leaves;
  CollectLeaves(golden, "", &leaves);
  // The hint is a hint, and an integrated time of zero is the default.
  const std::set<std::string> optional = {"/verificationMaterial/publicKey/hint",
                                          "/verificationMaterial/tlogEntries/0/integratedTime"};
  for (const std::string& path : leaves) {
    CAPTURE(path);
    ordered_json without = golden;
    const ordered_json::json_pointer pointer(path);
    ordered_json& parent = without[pointer.parent_pointer()];
    if (parent.is_array()) {
      parent.erase(std::stoul(pointer.back()));
    } else {
      parent.erase(pointer.back());
    }
    CHECK(VerifyGolden(without.dump()).verified == (optional.count(path) == 1));
  }
}

TEST_CASE("Each byte of a tlog-proof counts, but for signatures of unknown keys") {
  const std::string golden = TestData("golden.tlog-proof");
  const std::string artifact = TestData("golden.txt");
  const TrustPolicy trust = GoldenTrust();
  const size_t stranger = golden.find("\xE2\x80\x94 stranger.example");
  const size_t stranger_end = golden.find('\n', stranger);
  REQUIRE(stranger != std::string::npos);
  for (size_t i = 0; i < golden.size(); ++i) {
    std::string tampered = golden;
    tampered[i] ^= 1;
    const Verdict verdict = RequireOk(VerifyTlogProof(tampered, DigestOf(artifact), trust));
    CAPTURE(i, tampered.substr(i < 20 ? 0 : i - 20, 40));
    if (i < stranger || i > stranger_end) CHECK_FALSE(verdict.verified);
  }
}

TEST_CASE("A tampered checkpoint is refused for what was changed in it") {
  const ordered_json golden = ordered_json::parse(TestData("golden.sigstore.json"));
  const ordered_json::json_pointer pointer(
      "/verificationMaterial/tlogEntries/0/inclusionProof/checkpoint/envelope");
  const std::string envelope = golden[pointer].get<std::string>();
  const auto verify_with = [&](const std::string& changed) {
    REQUIRE(changed != envelope);
    ordered_json tampered = golden;
    tampered[pointer] = changed;
    return VerifyGolden(tampered.dump());
  };
  const auto without_line = [&](const std::string& begin) {
    const size_t start = envelope.find("\xE2\x80\x94 " + begin);
    return envelope.substr(0, start) + envelope.substr(envelope.find('\n', start) + 1);
  };
  // Flips a bit in the last byte of a signature that stays well-formed base64.
  const auto damaged = [&](const std::string& name) {
    note::SignedNote parsed = RequireOk(note::ParseNote(envelope));
    for (note::NoteSignature& signature : parsed.signatures) {
      if (signature.name == name) signature.signature.back() ^= 1;
    }
    return note::FormatNote(parsed);
  };
  CHECK(verify_with(absl::StrReplaceAll(envelope, {{"\n6\n", "\n3\n"}})).reason ==
        Reason::kNotInLog);
  // A path of this length fits a tree of 7 as well, so here it is the signature that tells.
  CHECK(verify_with(absl::StrReplaceAll(envelope, {{"\n6\n", "\n7\n"}})).reason ==
        Reason::kCheckpointSignatureInvalid);
  CHECK(
      verify_with(absl::StrReplaceAll(envelope, {{"log.example/golden\n", "log.example/other\n"}}))
          .reason == Reason::kLogNotTrusted);
  CHECK(verify_with(damaged("log.example/golden")).reason == Reason::kCheckpointSignatureInvalid);
  CHECK(verify_with(damaged("witness-1.example")).reason == Reason::kCheckpointSignatureInvalid);
  CHECK(verify_with(without_line("log.example/golden")).reason ==
        Reason::kCheckpointSignatureInvalid);
  CHECK(verify_with(without_line("witness-1.example")).reason == Reason::kQuorumNotMet);
  CHECK(verify_with(damaged("stranger.example")).verified);
  CHECK(verify_with(without_line("stranger.example")).verified);
}

TEST_CASE("Another file than the signed one is told by its digest") {
  for (const std::string& artifact : {std::string(), TestData("golden.txt") + "x"}) {
    const Verdict verdict = RequireOk(
        VerifyBundle(TestData("golden.sigstore.json"), DigestOf(artifact), GoldenTrust()));
    CHECK(verdict.reason == Reason::kArtifactMismatch);
    CHECK(verdict.signer_name.empty());
    CHECK(verdict.tree_size == 0);
  }
}

TEST_CASE("A file that cannot be read is an error and no verdict") {
  const ArtifactDigest unreadable = [](DigestAlgorithm) -> absl::StatusOr<std::string> {
    return absl::PermissionDeniedError("locked");
  };
  CHECK_THAT(VerifyBundle(TestData("golden.sigstore.json"), unreadable, GoldenTrust()),
             StatusIs(absl::StatusCode::kPermissionDenied, "locked"));
  CHECK_THAT(VerifyTlogProof(TestData("golden.tlog-proof"), unreadable, GoldenTrust()),
             StatusIs(absl::StatusCode::kPermissionDenied, "locked"));
}

TEST_CASE("Proofs verify for every kind of signing key, over an empty file too") {
  const TestLog log;
  for (Algorithm algorithm : {Algorithm::kEd25519, Algorithm::kEcdsaP256Sha256,
                              Algorithm::kEcdsaP384Sha384, Algorithm::kRsaPss2048Sha256}) {
    CAPTURE(crypto::AlgorithmName(algorithm));
    const crypto::PrivateKey key = NewKey(algorithm);
    const TrustPolicy trust = log.Trust(3, key.public_key());
    for (const std::string artifact : {"", "a file"}) {
      const Proofs proofs = ProofsOf(log, SignedEntry(key, artifact), {2, 0, 1});
      CheckBoth(proofs, artifact, trust, Reason::kVerified);
    }
  }
}

TEST_CASE("The quorum decides how many witnesses are enough") {
  const TestLog log;
  const crypto::PrivateKey key = NewKey();
  const HashedRekord entry = SignedEntry(key, "a file");
  const std::vector<std::vector<int>> cosigners = {{}, {1}, {1, 2}, {0, 1, 2}};
  for (int quorum = 0; quorum <= TestLog::kWitnesses; ++quorum) {
    for (size_t n = 0; n < cosigners.size(); ++n) {
      CAPTURE(quorum, n);
      CheckBoth(ProofsOf(log, entry, cosigners[n]), "a file", log.Trust(quorum, key.public_key()),
                n >= static_cast<size_t>(quorum) ? Reason::kVerified : Reason::kQuorumNotMet);
    }
  }
}

TEST_CASE("A witness of the same name with another key does not count") {
  const TestLog log;
  const TestLog strangers;
  const crypto::PrivateKey key = NewKey();
  const Proofs proofs = ProofsOf(log, SignedEntry(key, "a file"), {0, 1, 2});
  // The log's own key, the others' witnesses.
  const std::string policy = absl::StrCat("log ", log.signer().vkey(), "\n", "witness w0 ",
                                          strangers.witness(0).vkey(), "\n", "quorum w0\n");
  const TrustPolicy trust = RequireOk(TrustPolicy::Create(policy, {{"release", key.public_key()}}));
  CheckBoth(proofs, "a file", trust, Reason::kQuorumNotMet);
}

TEST_CASE("A log of the same name with another key does not count") {
  const TestLog log;
  const TestLog impostor;
  const crypto::PrivateKey key = NewKey();
  const Proofs proofs = ProofsOf(impostor, SignedEntry(key, "a file"), {0, 1, 2});
  CheckBoth(proofs, "a file", log.Trust(0, key.public_key()), Reason::kCheckpointSignatureInvalid);
  const TestLog elsewhere("elsewhere.example");
  CheckBoth(ProofsOf(elsewhere, SignedEntry(key, "a file"), {0}), "a file",
            log.Trust(0, key.public_key()), Reason::kLogNotTrusted);
}

TEST_CASE("A signer whom nobody trusts is named by the key's fingerprint") {
  const TestLog log;
  const crypto::PrivateKey key = NewKey();
  const Proofs proofs = ProofsOf(log, SignedEntry(key, "a file"), {0, 1, 2});
  const TrustPolicy trust = log.Trust(1, NewKey().public_key());
  CheckBoth(proofs, "a file", trust, Reason::kSignerNotTrusted);
  const Verdict verdict =
      RequireOk(VerifyBundle(proofs.sigstore_bundle, DigestOf("a file"), trust));
  CHECK(verdict.signer_fingerprint == key.public_key().Fingerprint());
  CHECK(verdict.signer_name.empty());
}

TEST_CASE("A logged signature that is not the bundle's does not carry it") {
  const TestLog log;
  const crypto::PrivateKey key = NewKey();
  const TrustPolicy trust = log.Trust(1, key.public_key());
  Bundle bundle = RequireOk(
      ParseBundle(ProofsOf(log, SignedEntry(key, "an old file"), {0, 1, 2}).sigstore_bundle));
  const HashedRekord unlogged = SignedEntry(key, "a new file");
  bundle.content = MessageSignature{unlogged.digest_algorithm, unlogged.digest, unlogged.signature};
  const Verdict verdict =
      RequireOk(VerifyBundle(FormatBundle(bundle), DigestOf("a new file"), trust));
  CHECK(verdict.reason == Reason::kEntryMismatch);

  bundle.log_entries.clear();
  CHECK(RequireOk(VerifyBundle(FormatBundle(bundle), DigestOf("a new file"), trust)).reason ==
        Reason::kNotInLog);
}

TEST_CASE("A bundle may name the signer by its fingerprint or its name in the trust file") {
  const TestLog log;
  const crypto::PrivateKey key = NewKey();
  Bundle bundle =
      RequireOk(ParseBundle(ProofsOf(log, SignedEntry(key, "a file"), {0}).sigstore_bundle));
  for (const std::string& hint : {key.public_key().Fingerprint(), std::string("release")}) {
    bundle.key_hint = hint;
    CHECK(RequireOk(VerifyBundle(FormatBundle(bundle), DigestOf("a file"),
                                 log.Trust(1, key.public_key())))
              .verified);
  }
}

TEST_CASE("An envelope is verified over its pre-authentication encoding") {
  const TestLog log;
  const crypto::PrivateKey key = NewKey();
  const TrustPolicy trust = log.Trust(1, key.public_key());
  const std::string digest =
      base::HexEncode(crypto::Digest(DigestAlgorithm::kSha256, "the subject"));
  const std::string statement = absl::StrCat(
      R"({"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"other","digest":{"sha256":"00"}},)",
      R"({"name":"it","digest":{"sha256":")", digest, R"("}}],"predicateType":"x"})");
  const auto make = [&](const std::string& type, const std::string& payload) {
    const HashedRekord entry = SignedEntry(key, PreAuthEncoding(type, payload));
    const LoggedSignature logged = log.Log(RequireOk(FormatHashedRekord(entry)), {0});
    const Proofs proofs = RequireOk(MakeProofs(logged));
    return MakeDsseBundle(entry, logged.canonicalized_body,
                          LogProof{logged.index, logged.tree_size, proofs.root_hash, logged.hashes,
                                   logged.checkpoint, logged.log_key_id},
                          type, payload);
  };
  const auto verify = [&](const Bundle& bundle, const std::string& artifact) {
    return RequireOk(VerifyBundle(FormatBundle(bundle), DigestOf(artifact), trust));
  };
  Bundle bundle = make("application/vnd.in-toto+json", statement);
  const Verdict verdict = verify(bundle, "the subject");
  CHECK(verdict.detail == "");
  CHECK(verdict.verified);
  CHECK(verdict.payload_type == "application/vnd.in-toto+json");
  CHECK(base::HexEncode(verdict.digest) == digest);
  CHECK(verify(bundle, "another").reason == Reason::kArtifactMismatch);
  CHECK(verify(make("application/vnd.in-toto+json", "{}"), "the subject").reason ==
        Reason::kMalformed);

  Bundle tampered = bundle;
  std::get<DsseEnvelope>(tampered.content).payload += " ";
  CHECK(verify(tampered, "the subject").reason == Reason::kSignatureInvalid);
  tampered = bundle;
  std::get<DsseEnvelope>(tampered.content).signatures[0].signature.back() ^= 1;
  CHECK(verify(tampered, "the subject").reason == Reason::kSignatureInvalid);
  tampered = bundle;
  std::get<DsseEnvelope>(tampered.content).signatures.clear();
  CHECK(verify(tampered, "the subject").reason == Reason::kUnsupported);

  bundle = make("text/plain", "hello");
  CHECK(verify(bundle, "hello").verified);
  CHECK(verify(bundle, "hullo").reason == Reason::kArtifactMismatch);
  std::get<DsseEnvelope>(bundle.content).payload_type = "text/html";
  CHECK(verify(bundle, "hello").reason == Reason::kSignatureInvalid);
}

TEST_CASE("Text that is no proof at all is malformed") {
  for (const char* text : {"", "{}x", "null", "c2sp.org/tlog-proof@v1\n"}) {
    CAPTURE(text);
    CHECK(VerifyGolden(text).reason == Reason::kMalformed);
    CHECK(RequireOk(VerifyTlogProof(text, DigestOf(""), GoldenTrust())).reason ==
          Reason::kMalformed);
  }
}

TEST_CASE("Proofs that do not hold are not made") {
  const TestLog log;
  const crypto::PrivateKey key = NewKey();
  const LoggedSignature good =
      log.Log(RequireOk(FormatHashedRekord(SignedEntry(key, "a file"))), {0});
  CHECK(MakeProofs(good).ok());
  LoggedSignature bad = good;
  bad.index = 3;
  CHECK_FALSE(MakeProofs(bad).ok());
  bad = good;
  bad.tree_size = 7;
  CHECK_FALSE(MakeProofs(bad).ok());
  bad = good;
  bad.hashes[1][0] ^= 1;
  CHECK_FALSE(MakeProofs(bad).ok());
  bad = good;
  bad.hashes[1].pop_back();
  CHECK_FALSE(MakeProofs(bad).ok());
  bad = good;
  HashedRekord forged = SignedEntry(key, "a file");
  forged.signature = SignedEntry(NewKey(), "a file").signature;
  bad.canonicalized_body = RequireOk(FormatHashedRekord(forged));
  CHECK_THAT(MakeProofs(bad), StatusIs(absl::StatusCode::kInvalidArgument, "not its key's"));
}

}  // namespace
}  // namespace countersign::bundle
