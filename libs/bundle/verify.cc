#include "libs/bundle/verify.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/bundle.h"
#include "libs/bundle/certificate.h"
#include "libs/bundle/dsse.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/bundle/strict_json.h"
#include "libs/merkle/hash.h"
#include "libs/merkle/proof.h"
#include "libs/note/checkpoint.h"
#include "libs/note/policy.h"
#include "libs/note/tlog_proof.h"

namespace countersign::bundle {
namespace {

using crypto::DigestAlgorithm;

constexpr absl::string_view kInTotoPayload = "application/vnd.in-toto+json";

// The outcome of one step: nothing, or why the verdict is negative.
struct Failure {
  Reason reason;
  std::string detail;
};
using Step = std::optional<Failure>;

Step Fail(Reason reason, std::string detail) { return Failure{reason, std::move(detail)}; }

// For parsers: Unimplemented is kUnsupported, the rest kMalformed.
Step FailParse(const absl::Status& status, absl::string_view what) {
  return Fail(absl::IsUnimplemented(status) ? Reason::kUnsupported : Reason::kMalformed,
              absl::StrCat(what, status.message()));
}

// Runs the next step; leaves the function with its failure.
#define NEXT_STEP(step)                           \
  do {                                            \
    if (Step step_ = (step); step_.has_value()) { \
      return step_;                               \
    }                                             \
  } while (false)

// Enough of a digest to tell it from another at a glance.
std::string Abbreviated(absl::string_view digest) {
  return absl::StrCat(base::HexEncode(digest.substr(0, 8)), "\xE2\x80\xA6");
}

// "2 of 3" and the like, for people.
std::string DescribeQuorum(const note::Policy& policy) {
  if (policy.quorum() == "none") return "no witness asked for";
  for (const note::PolicyGroup& group : policy.groups()) {
    if (group.name == policy.quorum()) {
      return absl::StrCat(group.name, ", ", group.threshold, " of ", group.members.size());
    }
  }
  return absl::StrCat("witness ", policy.quorum());
}

// A leaf, and what is to show that it is in a trusted log.
struct LogClaim {
  std::string body;
  uint64_t index = 0;
  std::vector<merkle::Hash> hashes;
  std::string checkpoint;
};

// From the leaf to the root of the checkpoint, and from its origin to the policy's log. Fills in
// the log's facts and the witnesses'; whether the witnesses are enough is CheckQuorum's.
Step CheckLog(const LogClaim& claim, const TrustPolicy& trust, note::PolicyVerdict* found,
              Verdict* verdict) {
  absl::StatusOr<note::Checkpoint> checkpoint = note::ParseSignedCheckpoint(claim.checkpoint);
  if (!checkpoint.ok()) return FailParse(checkpoint.status(), "the checkpoint is malformed: ");
  const absl::Status included = merkle::VerifyInclusion(
      claim.index, checkpoint->size, merkle::LeafHash(claim.body), claim.hashes, checkpoint->root);
  if (!included.ok()) {
    return Fail(Reason::kNotInLog,
                absl::StrCat("entry ", claim.index, " is not shown to be in the tree of ",
                             checkpoint->size, ": ", included.message()));
  }
  absl::StatusOr<note::PolicyVerdict> checked = trust.log_policy().Check(claim.checkpoint);
  if (absl::IsNotFound(checked.status())) {
    return Fail(Reason::kLogNotTrusted,
                absl::StrCat("the log ", checkpoint->origin, " is not one that the policy trusts"));
  }
  if (absl::IsPermissionDenied(checked.status())) {
    return Fail(Reason::kCheckpointSignatureInvalid, std::string(checked.status().message()));
  }
  if (!checked.ok()) return FailParse(checked.status(), "the checkpoint is malformed: ");
  *found = *std::move(checked);
  verdict->log_origin = found->checkpoint.origin;
  verdict->log_index = claim.index;
  verdict->tree_size = found->checkpoint.size;
  verdict->root_hash = std::string(base::AsBytes(found->checkpoint.root));
  for (const note::PolicyWitness& witness : trust.log_policy().witnesses()) {
    for (const note::PolicyCosignature& cosignature : found->cosignatures) {
      if (cosignature.witness != witness.name) continue;
      verdict->witnesses.push_back(
          {witness.name, witness.key.name(),
           absl::FromUnixSeconds(static_cast<int64_t>(cosignature.timestamp))});
    }
  }
  return std::nullopt;
}

Step CheckQuorum(const note::PolicyVerdict& found, const TrustPolicy& trust, Verdict* verdict) {
  verdict->quorum = DescribeQuorum(trust.log_policy());
  if (found.quorum) return std::nullopt;
  return Fail(
      Reason::kQuorumNotMet,
      absl::StrCat(
          verdict->witnesses.size(), " of the policy's ", trust.log_policy().witnesses().size(),
          " witnesses cosigned the checkpoint, which is not the quorum: ", verdict->quorum));
}

// Compares the artifact's digest with the one that was signed. The error is the artifact's own.
absl::StatusOr<Step> CheckDigest(DigestAlgorithm algorithm, const std::string& digest,
                                 const ArtifactDigest& artifact, Verdict* verdict) {
  ASSIGN_OR_RETURN(const std::string actual, artifact(algorithm));
  if (actual != digest) {
    return Fail(
        Reason::kArtifactMismatch,
        absl::StrCat("the file is not the one that was signed: its ", crypto::DigestName(algorithm),
                     " is ", Abbreviated(actual), ", signed was ", Abbreviated(digest)));
  }
  verdict->digest_algorithm = algorithm;
  verdict->digest = digest;
  return Step();
}

// An in-toto statement is about the files it names as subjects.
absl::StatusOr<Step> CheckSubjects(const std::string& statement, const ArtifactDigest& artifact,
                                   Verdict* verdict) {
  const absl::StatusOr<nlohmann::json> root = ParseStrictJson(statement);
  if (!root.ok()) return FailParse(root.status(), "the statement is malformed: ");
  if (!root->is_object() || !root->contains("subject") || !(*root)["subject"].is_array()) {
    return Fail(Reason::kMalformed, "the statement names no subject");
  }
  for (DigestAlgorithm algorithm :
       {DigestAlgorithm::kSha256, DigestAlgorithm::kSha384, DigestAlgorithm::kSha512}) {
    const std::string name(crypto::DigestName(algorithm));
    std::string actual;
    for (const nlohmann::json& subject : (*root)["subject"]) {
      if (!subject.is_object() || !subject.contains("digest")) continue;
      const nlohmann::json& digests = subject["digest"];
      if (!digests.is_object() || !digests.contains(name) || !digests[name].is_string()) continue;
      if (actual.empty()) {
        ASSIGN_OR_RETURN(actual, artifact(algorithm));
      }
      if (digests[name].get_ref<const std::string&>() != base::HexEncode(actual)) continue;
      verdict->digest_algorithm = algorithm;
      verdict->digest = actual;
      return Step();
    }
  }
  return Fail(Reason::kArtifactMismatch, "the file is none of the statement's subjects");
}

absl::StatusOr<Step> CheckArtifact(const Bundle& bundle, const ArtifactDigest& artifact,
                                   Verdict* verdict) {
  if (const auto* message = std::get_if<MessageSignature>(&bundle.content)) {
    return CheckDigest(message->digest_algorithm, message->digest, artifact, verdict);
  }
  const auto& envelope = std::get<DsseEnvelope>(bundle.content);
  verdict->payload_type = envelope.payload_type;
  if (envelope.payload_type == kInTotoPayload) {
    return CheckSubjects(envelope.payload, artifact, verdict);
  }
  return CheckDigest(DigestAlgorithm::kSha256,
                     crypto::Digest(DigestAlgorithm::kSha256, envelope.payload), artifact, verdict);
}

// The key is trusted, and made `signature` over `digest`.
Step CheckSigner(const std::string& spki, crypto::Algorithm algorithm, const std::string& digest,
                 const std::string& signature, const TrustPolicy& trust, Verdict* verdict) {
  const absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromSpkiDer(spki);
  if (!key.ok()) return FailParse(key.status(), "the signer's key is malformed: ");
  verdict->signer_fingerprint = key->Fingerprint();
  verdict->algorithm = std::string(crypto::AlgorithmName(algorithm));
  const TrustedSigner* signer = trust.FindSigner(spki);
  if (signer == nullptr) {
    return Fail(Reason::kSignerNotTrusted,
                absl::StrCat("the key with fingerprint ", verdict->signer_fingerprint,
                             " is not one that the trust policy names"));
  }
  const absl::StatusOr<bool> holds = key->VerifyDigest(algorithm, digest, signature);
  if (!holds.ok() || !*holds) {
    return Fail(Reason::kSignatureInvalid,
                absl::StrCat("the signature is not one by ", signer->name, " over this digest"));
  }
  verdict->signer_name = signer->name;
  return std::nullopt;
}

// The key that the bundle says signed: its certificate's, that of the trusted signer whom the hint
// names, else the log entry's.
absl::StatusOr<std::string> BundleKey(const Bundle& bundle, const HashedRekord& entry,
                                      const TrustPolicy& trust) {
  if (!bundle.certificate_der.empty()) return CertificateSpki(bundle.certificate_der);
  for (const TrustedSigner& signer : trust.signers()) {
    if (KeyHint(signer.key.spki_der()) == bundle.key_hint) return signer.key.spki_der();
  }
  if (!entry.certificate_der.empty()) return CertificateSpki(entry.certificate_der);
  return entry.spki_der;
}

// The hint is that of the key: base64 or hexadecimal SHA-256 of the SPKI, or the signer's name.
bool HintFits(const std::string& hint, const Verdict& verdict, const std::string& spki) {
  return hint.empty() || hint == KeyHint(spki) || hint == verdict.signer_fingerprint ||
         hint == verdict.signer_name;
}

// What else the bundle says of its log entry is what was proved.
Step CheckCopies(const LogEntry& logged, const note::PolicyVerdict& found) {
  const InclusionProof& proof = logged.inclusion_proof;
  const auto wrong = [](absl::string_view field) {
    return Fail(Reason::kInconsistent,
                absl::StrCat("the bundle's ", field, " contradicts what the log proves"));
  };
  if (logged.log_id != base::AsBytes(found.log->key.key_hash())) return wrong("logId.keyId");
  if (logged.log_index != proof.log_index) return wrong("logIndex");
  if (static_cast<uint64_t>(proof.tree_size) != found.checkpoint.size) return wrong("treeSize");
  if (proof.root_hash != base::AsBytes(found.checkpoint.root)) return wrong("rootHash");
  if (logged.integrated_time != 0) {
    return Fail(Reason::kInconsistent, "the bundle's integratedTime is signed by nobody");
  }
  return std::nullopt;
}

// The part of the bundle behind the artifact.
Step CheckSignedAndLogged(const Bundle& bundle, const TrustPolicy& trust, Verdict* verdict) {
  if (bundle.log_entries.empty()) {
    return Fail(Reason::kNotInLog, "the bundle holds no log entry: the signature was not logged");
  }
  if (bundle.log_entries.size() > 1) {
    return Fail(Reason::kUnsupported, "the bundle holds several log entries; one is supported");
  }
  const LogEntry& logged = bundle.log_entries[0];
  const absl::StatusOr<HashedRekord> entry = ParseHashedRekord(logged.canonicalized_body);
  if (!entry.ok()) return FailParse(entry.status(), "the log entry cannot be read: ");

  std::string digest;
  std::string signature;
  DigestAlgorithm digest_algorithm = entry->digest_algorithm;
  if (const auto* message = std::get_if<MessageSignature>(&bundle.content)) {
    digest_algorithm = message->digest_algorithm;
    digest = message->digest;
    signature = message->signature;
  } else {
    const auto& envelope = std::get<DsseEnvelope>(bundle.content);
    if (envelope.signatures.size() != 1) {
      return Fail(Reason::kUnsupported,
                  absl::StrCat("the envelope has ", envelope.signatures.size(),
                               " signatures; one is supported"));
    }
    digest =
        crypto::Digest(digest_algorithm, PreAuthEncoding(envelope.payload_type, envelope.payload));
    signature = envelope.signatures[0].signature;
  }
  const absl::StatusOr<std::string> spki = BundleKey(bundle, *entry, trust);
  if (!spki.ok()) return FailParse(spki.status(), "the signer's certificate is malformed: ");
  NEXT_STEP(CheckSigner(*spki, entry->algorithm, digest, signature, trust, verdict));
  const absl::StatusOr<crypto::PublicKey> entry_key = SignerKey(*entry);
  const bool certificate_differs =
      !bundle.certificate_der.empty() && entry->certificate_der != bundle.certificate_der;
  if (entry->digest_algorithm != digest_algorithm || entry->digest != digest ||
      entry->signature != signature || !entry_key.ok() || entry_key->spki_der() != *spki ||
      certificate_differs) {
    return Fail(Reason::kEntryMismatch,
                "the log entry is of another digest, signature or key than the bundle");
  }

  LogClaim claim{logged.canonicalized_body,
                 static_cast<uint64_t>(logged.inclusion_proof.log_index),
                 {},
                 logged.inclusion_proof.checkpoint};
  for (const std::string& bytes : logged.inclusion_proof.hashes) {
    const absl::StatusOr<merkle::Hash> hash = merkle::ToHash(bytes);
    if (!hash.ok()) return FailParse(hash.status(), "the inclusion proof is malformed: ");
    claim.hashes.push_back(*hash);
  }
  note::PolicyVerdict found;
  NEXT_STEP(CheckLog(claim, trust, &found, verdict));
  if (logged.kind != kHashedRekordKind || logged.version != kHashedRekordVersion) {
    return Fail(Reason::kInconsistent, "the bundle's kindVersion is not that of the log entry");
  }
  if (!HintFits(bundle.key_hint, *verdict, *spki)) {
    return Fail(Reason::kInconsistent,
                "the bundle's publicKey.hint is not that of the signer's key");
  }
  NEXT_STEP(CheckCopies(logged, found));
  return CheckQuorum(found, trust, verdict);
}

Step CheckTlogProof(const note::TlogProof& proof, const HashedRekord& entry,
                    const TrustPolicy& trust, Verdict* verdict) {
  const absl::StatusOr<crypto::PublicKey> key = SignerKey(entry);
  if (!key.ok()) return FailParse(key.status(), "the signer's key is malformed: ");
  NEXT_STEP(
      CheckSigner(key->spki_der(), entry.algorithm, entry.digest, entry.signature, trust, verdict));
  note::PolicyVerdict found;
  NEXT_STEP(CheckLog({*proof.extra, proof.index, proof.hashes, proof.checkpoint}, trust, &found,
                     verdict));
  return CheckQuorum(found, trust, verdict);
}

Verdict Conclude(Step failure, Verdict verdict) {
  verdict.verified = !failure.has_value();
  verdict.reason = failure.has_value() ? failure->reason : Reason::kVerified;
  verdict.detail = failure.has_value() ? std::move(failure->detail) : "";
  return verdict;
}

}  // namespace

absl::string_view ReasonCode(Reason reason) {
  switch (reason) {
    case Reason::kVerified:
      return "VERIFIED";
    case Reason::kMalformed:
      return "MALFORMED";
    case Reason::kUnsupported:
      return "UNSUPPORTED";
    case Reason::kArtifactMismatch:
      return "ARTIFACT_MISMATCH";
    case Reason::kSignerNotTrusted:
      return "SIGNER_NOT_TRUSTED";
    case Reason::kSignatureInvalid:
      return "SIGNATURE_INVALID";
    case Reason::kEntryMismatch:
      return "ENTRY_MISMATCH";
    case Reason::kInconsistent:
      return "INCONSISTENT";
    case Reason::kNotInLog:
      return "NOT_IN_LOG";
    case Reason::kLogNotTrusted:
      return "LOG_NOT_TRUSTED";
    case Reason::kCheckpointSignatureInvalid:
      return "CHECKPOINT_SIGNATURE_INVALID";
    case Reason::kQuorumNotMet:
      return "QUORUM_NOT_MET";
  }
  return "UNKNOWN";
}

ArtifactDigest DigestOf(std::string bytes) {
  return [bytes = std::move(bytes)](DigestAlgorithm algorithm) -> absl::StatusOr<std::string> {
    return crypto::Digest(algorithm, bytes);
  };
}

absl::StatusOr<Verdict> VerifyBundle(absl::string_view bundle_json, const ArtifactDigest& artifact,
                                     const TrustPolicy& trust) {
  Verdict verdict;
  verdict.format = "sigstore-bundle";
  const absl::StatusOr<Bundle> bundle = ParseBundle(bundle_json);
  if (!bundle.ok()) {
    return Conclude(FailParse(bundle.status(), "the bundle cannot be read: "), std::move(verdict));
  }
  ASSIGN_OR_RETURN(Step failure, CheckArtifact(*bundle, artifact, &verdict));
  if (!failure.has_value()) failure = CheckSignedAndLogged(*bundle, trust, &verdict);
  return Conclude(std::move(failure), std::move(verdict));
}

absl::StatusOr<Verdict> VerifyTlogProof(absl::string_view text, const ArtifactDigest& artifact,
                                        const TrustPolicy& trust) {
  Verdict verdict;
  verdict.format = "tlog-proof";
  const absl::StatusOr<note::TlogProof> proof = note::ParseTlogProof(text);
  if (!proof.ok()) {
    return Conclude(FailParse(proof.status(), "the tlog-proof cannot be read: "),
                    std::move(verdict));
  }
  if (!proof->extra.has_value()) {
    return Conclude(
        Fail(Reason::kUnsupported, "the tlog-proof has no extra line with the log entry"),
        std::move(verdict));
  }
  const absl::StatusOr<HashedRekord> entry = ParseHashedRekord(*proof->extra);
  if (!entry.ok()) {
    return Conclude(FailParse(entry.status(), "the log entry cannot be read: "),
                    std::move(verdict));
  }
  ASSIGN_OR_RETURN(Step failure,
                   CheckDigest(entry->digest_algorithm, entry->digest, artifact, &verdict));
  if (!failure.has_value()) failure = CheckTlogProof(*proof, *entry, trust, &verdict);
  return Conclude(std::move(failure), std::move(verdict));
}

}  // namespace countersign::bundle
