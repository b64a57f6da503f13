// The log entry of a signature: Rekor v2's "hashedrekord" 0.0.2.
//
// An entry names the digest of what was signed, the signature and the key (or the certificate that
// holds it). Its bytes are canonical JSON (RFC 8785) and are the leaf in the log:
//   {"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":…,
//   "digest":…},"signature":{"content":…,"verifier":{"keyDetails":…,"publicKey":{"rawBytes":…}}}}}}
// Byte fields are standard base64. FORMAT.md has the whole grammar.
//
// Everything is a pure function or a value, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_BUNDLE_HASHEDREKORD_H_
#define COUNTERSIGN_LIBS_BUNDLE_HASHEDREKORD_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/digest.h"
#include "libs/crypto/public_key.h"

namespace countersign::bundle {

inline constexpr absl::string_view kHashedRekordKind = "hashedrekord";
inline constexpr absl::string_view kHashedRekordVersion = "0.0.2";

struct HashedRekord {
  // Of the artifact; for a DSSE envelope, of its pre-authentication encoding (dsse.h).
  crypto::DigestAlgorithm digest_algorithm = crypto::DigestAlgorithm::kSha256;
  std::string digest;
  std::string signature;
  // Key type and hash together. Never kEd25519, which signs no digest: use kEd25519ph.
  crypto::Algorithm algorithm = crypto::Algorithm::kEcdsaP256Sha256;
  // Exactly one of these is not empty.
  std::string spki_der;
  std::string certificate_der;
};

// "SHA2_256", "SHA2_384", "SHA2_512"; empty for kNone.
absl::string_view SigstoreDigestName(crypto::DigestAlgorithm algorithm);

// Inverse of SigstoreDigestName. Unimplemented for another name.
absl::StatusOr<crypto::DigestAlgorithm> ParseSigstoreDigestName(absl::string_view name);

// The entry's canonical bytes. InvalidArgument when the digest does not fit its algorithm or the
// algorithm does not sign that digest, or unless there is one of key and certificate. Looks at
// neither the signature nor the key: CheckSignature does.
absl::StatusOr<std::string> FormatHashedRekord(const HashedRekord& entry);

// The exact inverse: accepts no other bytes than FormatHashedRekord writes. Unimplemented for
// another kind, version, digest or key type; InvalidArgument for what is malformed.
absl::StatusOr<HashedRekord> ParseHashedRekord(absl::string_view body);

// The key that made the signature, out of the entry's SPKI or certificate, checked to fit the
// algorithm. InvalidArgument otherwise.
absl::StatusOr<crypto::PublicKey> SignerKey(const HashedRekord& entry);

// Whether the entry's signature is one over its digest by its key. Errors as of SignerKey, and
// InvalidArgument for a digest of the wrong length.
absl::StatusOr<bool> CheckSignature(const HashedRekord& entry);

}  // namespace countersign::bundle

#endif  // COUNTERSIGN_LIBS_BUNDLE_HASHEDREKORD_H_
