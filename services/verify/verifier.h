// The verifier: judges signatures, bundles and tlog-proofs.
#ifndef COUNTERSIGN_SERVICES_VERIFY_VERIFIER_H_
#define COUNTERSIGN_SERVICES_VERIFY_VERIFIER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/base/thread_pool.h"
#include "libs/bundle/trust.h"
#include "libs/bundle/verify.h"
#include "libs/cache/lru_cache.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/public_key.h"

namespace countersign::verify {

// One question: is `signature` one by `key` over `payload`? Views belong to the caller.
struct SignatureCheck {
  enum class KeyForm { kSpki, kPem, kCertificate };

  KeyForm key_form = KeyForm::kSpki;
  absl::string_view key;
  crypto::Algorithm algorithm = crypto::Algorithm::kEd25519;
  // Whether `payload` is the message's digest rather than the message.
  bool prehashed = false;
  absl::string_view payload;
  absl::string_view signature;
};

struct VerifierOptions {
  // Threads that share a batch with the caller's; outlives the verifier.
  base::ThreadPool* pool = nullptr;
  // Verified signatures remembered, at most (about 130 bytes each). 0: none.
  uint64_t signature_cache_entries = 1 << 18;
  // Whom bundles are judged by when a call brings no trust file; null: such calls are refused.
  std::shared_ptr<const bundle::TrustPolicy> trust;
};

// Thread-safe. Verdicts are values; an error means that a question has none, and carries a reason
// (libs/runtime/error_details.h): KEY_MALFORMED, WRONG_ALGORITHM, DIGEST_INVALID,
// TRUST_FILE_MALFORMED, TRUST_FILE_MISSING, ARTIFACT_DIGEST_MISSING.
class Verifier {
 public:
  struct CacheStats {
    uint64_t signature_hits = 0;
    uint64_t signature_misses = 0;
    uint64_t key_hits = 0;
    uint64_t key_misses = 0;
    uint64_t trust_hits = 0;
    uint64_t trust_misses = 0;
  };

  explicit Verifier(const VerifierOptions& options);

  // Whether the signature is good. InvalidArgument when the key does not parse or does not fit the
  // algorithm, or the digest is not one that the algorithm signs.
  absl::StatusOr<bool> VerifySignature(const SignatureCheck& check);

  // The same for each of `checks`, in their order, on all threads of the pool.
  std::vector<absl::StatusOr<bool>> VerifySignatures(absl::Span<const SignatureCheck> checks);

  // Judges a Sigstore bundle, or a tlog-proof, by `trust_file` (libs/bundle/trust.h), or by the
  // verifier's own trust when that is empty. InvalidArgument for a bad trust file;
  // FailedPrecondition when there is no trust; else what `artifact` returned.
  absl::StatusOr<bundle::Verdict> VerifyBundle(absl::string_view bundle,
                                               const bundle::ArtifactDigest& artifact,
                                               absl::string_view trust_file);
  absl::StatusOr<bundle::Verdict> VerifyTlogProof(absl::string_view proof,
                                                  const bundle::ArtifactDigest& artifact,
                                                  absl::string_view trust_file);

  CacheStats cache_stats() const;

 private:
  using Hash = std::array<uint8_t, 32>;
  using TrustPtr = std::shared_ptr<const bundle::TrustPolicy>;

  absl::StatusOr<crypto::PublicKey> ParseKey(const SignatureCheck& check);
  absl::StatusOr<TrustPtr> Trust(absl::string_view trust_file);

  const VerifierOptions options_;
  // Only signatures that verified, by the SHA-256 of all that they depend on.
  cache::LruCache<Hash, bool> signatures_;
  // Parsed keys, by the SHA-256 of the form and bytes they came in.
  cache::LruCache<Hash, crypto::PublicKey> keys_;
  // Parsed trust files, by their SHA-256.
  cache::LruCache<Hash, TrustPtr> trusts_;
};

}  // namespace countersign::verify

#endif  // COUNTERSIGN_SERVICES_VERIFY_VERIFIER_H_
