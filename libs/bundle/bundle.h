// Sigstore bundle v0.3 (sigstore/protobuf-specs, sigstore_bundle.proto) as JSON.
//
// This is the document only: what it claims is checked by verify.h. Parsing follows protobuf's JSON
// mapping: unknown fields are ignored, absent and null ones take their default, 64-bit integers are
// strings. It is stricter in two things: base64 is the standard, padded one, and a key may stand in
// an object once. Pure functions and values, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_BUNDLE_BUNDLE_H_
#define COUNTERSIGN_LIBS_BUNDLE_BUNDLE_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/bundle/hashedrekord.h"
#include "libs/crypto/digest.h"

namespace countersign::bundle {

inline constexpr absl::string_view kBundleMediaType =
    "application/vnd.dev.sigstore.bundle.v0.3+json";

// Larger documents are refused before they are parsed, in bytes. An envelope's payload is the only
// part that grows.
inline constexpr size_t kMaxBundleSize = 64 << 20;

struct InclusionProof {
  int64_t log_index = 0;
  std::string root_hash;
  int64_t tree_size = 0;
  // Leaf's sibling first; 32 bytes each in a well-formed proof.
  std::vector<std::string> hashes;
  // The signed note that authenticates root and size.
  std::string checkpoint;
};

struct LogEntry {
  int64_t log_index = 0;
  // SHA-256 of the log's whole note key hash input: 32 bytes.
  std::string log_id;
  std::string kind;
  std::string version;
  // Seconds since 1970; 0 in Rekor v2, whose logs sign no time.
  int64_t integrated_time = 0;
  InclusionProof inclusion_proof;
  // The leaf's bytes.
  std::string canonicalized_body;
};

struct MessageSignature {
  crypto::DigestAlgorithm digest_algorithm = crypto::DigestAlgorithm::kSha256;
  std::string digest;
  std::string signature;
};

struct DsseSignature {
  std::string signature;
  std::string key_id;
};

struct DsseEnvelope {
  std::string payload_type;
  std::string payload;
  std::vector<DsseSignature> signatures;
};

struct Bundle {
  // Exactly one of key hint (base64 SHA-256 of the SPKI, see KeyHint) and leaf certificate; a hint
  // may be empty.
  std::string key_hint;
  std::string certificate_der;
  std::vector<LogEntry> log_entries;
  // DER of RFC 3161 TimeStampResps over the signature.
  std::vector<std::string> rfc3161_timestamps;
  std::variant<MessageSignature, DsseEnvelope> content;
};

// The hint that our bundles carry: base64 of the SHA-256 of `spki_der`.
std::string KeyHint(absl::string_view spki_der);

// Pretty-printed JSON that ends in a newline.
std::string FormatBundle(const Bundle& bundle);

// InvalidArgument, naming the field, when the document is malformed; Unimplemented when it is a
// bundle of another version or content, or uses a digest that is not known here.
absl::StatusOr<Bundle> ParseBundle(absl::string_view json);

// Where and how a log proves an entry: what a ledger answers, without the entry.
struct LogProof {
  int64_t index = 0;
  int64_t tree_size = 0;
  std::string root_hash;
  std::vector<std::string> hashes;
  std::string checkpoint;
  std::string log_id;
};

// The bundle of a logged message signature: `entry` is the hashedrekord, `body` its canonical
// bytes.
Bundle MakeBundle(const HashedRekord& entry, std::string body, LogProof proof);

// The same for an envelope, whose entry covers its pre-authentication encoding. The envelope's one
// signature is the entry's.
Bundle MakeDsseBundle(const HashedRekord& entry, std::string body, LogProof proof,
                      absl::string_view payload_type, absl::string_view payload);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_BUNDLE_H_
