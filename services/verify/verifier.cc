#include "services/verify/verifier.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/bundle/certificate.h"
#include "libs/crypto/digest.h"
#include "libs/runtime/error_details.h"

namespace countersign::verify {
namespace {

using crypto::Algorithm;
using crypto::DigestAlgorithm;
using runtime::AttachReason;

// Parsed keys take up to a few kilobytes each.
constexpr uint64_t kCachedKeys = 10'000;
constexpr uint64_t kCachedTrustFiles = 64;
// Callers choose the trust files: larger ones, some ten times as large when parsed, are not kept.
constexpr size_t kMaxCachedTrustBytes = 64 << 10;
// Signatures that a thread takes from a batch at a time.
constexpr int kChunk = 16;

std::string LengthOf(absl::string_view bytes) {
  std::string out;
  base::AppendU64(&out, bytes.size());
  return out;
}

absl::StatusOr<crypto::PublicKey> ParseKeyOf(const SignatureCheck& check) {
  switch (check.key_form) {
    case SignatureCheck::KeyForm::kSpki:
      return crypto::PublicKey::FromSpkiDer(check.key);
    case SignatureCheck::KeyForm::kPem:
      return crypto::PublicKey::FromPem(check.key);
    case SignatureCheck::KeyForm::kCertificate: {
      ASSIGN_OR_RETURN(const std::string spki, bundle::CertificateSpki(check.key));
      return crypto::PublicKey::FromSpkiDer(spki);
    }
  }
  return absl::InvalidArgumentError("unknown form of key");
}

}  // namespace

Verifier::Verifier(const VerifierOptions& options)
    : options_(options),
      signatures_({.capacity = options.signature_cache_entries}),
      keys_({.capacity = kCachedKeys}),
      trusts_({.capacity = kCachedTrustFiles, .shards = 1}) {}

absl::StatusOr<crypto::PublicKey> Verifier::ParseKey(const SignatureCheck& check) {
  const char form = static_cast<char>(check.key_form);
  const Hash hash = crypto::Sha256Parts({absl::string_view(&form, 1), check.key});
  if (std::optional<crypto::PublicKey> known = keys_.Get(hash)) return *std::move(known);
  absl::StatusOr<crypto::PublicKey> key = ParseKeyOf(check);
  if (!key.ok()) return AttachReason(key.status(), "KEY_MALFORMED");
  keys_.Put(hash, *key);
  return key;
}

absl::StatusOr<bool> Verifier::VerifySignature(const SignatureCheck& check) {
  ASSIGN_OR_RETURN(const crypto::PublicKey key, ParseKey(check));
  if (const absl::Status fits = key.Check(check.algorithm); !fits.ok()) {
    return AttachReason(fits, "WRONG_ALGORITHM");
  }
  if (!crypto::CanSign(check.algorithm)) {
    return AttachReason(absl::InvalidArgumentError(absl::StrCat(
                            crypto::AlgorithmName(check.algorithm), " makes no signatures")),
                        "WRONG_ALGORITHM");
  }
  const DigestAlgorithm hash = crypto::DigestFor(check.algorithm);
  std::string computed;
  absl::string_view digest = check.payload;
  if (!check.prehashed && hash != DigestAlgorithm::kNone) {
    computed = crypto::Digest(hash, check.payload);
    digest = computed;
  } else if (check.prehashed &&
             (hash == DigestAlgorithm::kNone || digest.size() != crypto::DigestLength(hash))) {
    return AttachReason(
        absl::InvalidArgumentError(
            hash == DigestAlgorithm::kNone
                ? absl::StrCat("ed25519 signs messages and no digests; a digest is signed by ",
                               crypto::AlgorithmName(Algorithm::kEd25519ph))
                : absl::StrCat("the digest has ", digest.size(), " bytes, ",
                               crypto::DigestName(hash), " has ", crypto::DigestLength(hash))),
        "DIGEST_INVALID");
  }
  // A message that is signed itself stands in for the digest: the algorithm tells them apart.
  const char algorithm = static_cast<char>(check.algorithm);
  const Hash id = crypto::Sha256Parts({absl::string_view(&algorithm, 1), LengthOf(key.spki_der()),
                                       key.spki_der(), LengthOf(digest), digest, check.signature});
  if (signatures_.Get(id).has_value()) return true;
  absl::StatusOr<bool> good = hash == DigestAlgorithm::kNone
                                  ? key.VerifyMessage(check.algorithm, digest, check.signature)
                                  : key.VerifyDigest(check.algorithm, digest, check.signature);
  if (good.ok() && *good) signatures_.Put(id, true);
  return good;
}

std::vector<absl::StatusOr<bool>> Verifier::VerifySignatures(
    absl::Span<const SignatureCheck> checks) {
  std::vector<absl::StatusOr<bool>> results(checks.size(), absl::StatusOr<bool>(false));
  const int count = static_cast<int>(checks.size());
  options_.pool->ParallelFor((count + kChunk - 1) / kChunk, [&](int chunk) {
    const int end = std::min(count, (chunk + 1) * kChunk);
    for (int i = chunk * kChunk; i < end; ++i) {
      results[static_cast<size_t>(i)] = VerifySignature(checks[static_cast<size_t>(i)]);
    }
  });
  return results;
}

absl::StatusOr<Verifier::TrustPtr> Verifier::Trust(absl::string_view trust_file) {
  if (trust_file.empty()) {
    if (options_.trust != nullptr) return options_.trust;
    return AttachReason(
        absl::FailedPreconditionError(
            "no trust file was given and this server has none: send trust_file, or start it with "
            "--trust"),
        "TRUST_FILE_MISSING");
  }
  const Hash hash = crypto::Sha256(trust_file);
  if (std::optional<TrustPtr> known = trusts_.Get(hash)) return *std::move(known);
  absl::StatusOr<bundle::TrustPolicy> parsed = bundle::TrustPolicy::Parse(trust_file);
  if (!parsed.ok()) return AttachReason(parsed.status(), "TRUST_FILE_MALFORMED");
  TrustPtr trust = std::make_shared<const bundle::TrustPolicy>(*std::move(parsed));
  if (trust_file.size() <= kMaxCachedTrustBytes) trusts_.Put(hash, trust);
  return trust;
}

absl::StatusOr<bundle::Verdict> Verifier::VerifyBundle(absl::string_view bundle,
                                                       const bundle::ArtifactDigest& artifact,
                                                       absl::string_view trust_file) {
  ASSIGN_OR_RETURN(const TrustPtr trust, Trust(trust_file));
  return bundle::VerifyBundle(bundle, artifact, *trust);
}

absl::StatusOr<bundle::Verdict> Verifier::VerifyTlogProof(absl::string_view proof,
                                                          const bundle::ArtifactDigest& artifact,
                                                          absl::string_view trust_file) {
  ASSIGN_OR_RETURN(const TrustPtr trust, Trust(trust_file));
  return bundle::VerifyTlogProof(proof, artifact, *trust);
}

Verifier::CacheStats Verifier::cache_stats() const {
  const auto signatures = signatures_.stats();
  const auto keys = keys_.stats();
  const auto trusts = trusts_.stats();
  return {signatures.hits, signatures.misses, keys.hits, keys.misses, trusts.hits, trusts.misses};
}

}  // namespace countersign::verify
