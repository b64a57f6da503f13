// Public keys: parsing, printing, verifying.
#ifndef COUNTERSIGN_LIBS_CRYPTO_PUBLIC_KEY_H_
#define COUNTERSIGN_LIBS_CRYPTO_PUBLIC_KEY_H_

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/digest.h"

namespace countersign::crypto {

enum class KeyType { kEd25519, kX25519, kEcP256, kEcP384, kRsa };

// An Ed25519, X25519, P-256, P-384 or RSA key (2048 to 4096 bits, public exponent 65537).
// Immutable and thread-safe; copies share their state.
class PublicKey {
 public:
  // A SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in its one DER encoding, points uncompressed.
  // InvalidArgument for anything else.
  static absl::StatusOr<PublicKey> FromSpkiDer(absl::string_view der);

  // One "PUBLIC KEY" block (RFC 7468 section 13) with nothing but white space around it.
  static absl::StatusOr<PublicKey> FromPem(absl::string_view pem);

  // The 32 bytes of RFC 8032 section 5.1.5.
  static absl::StatusOr<PublicKey> FromEd25519Raw(absl::string_view raw);

  // The 32 bytes of RFC 7748 section 6.1.
  static absl::StatusOr<PublicKey> FromX25519Raw(absl::string_view raw);

  KeyType type() const;

  // The modulus' size for RSA, else the field's.
  int bits() const;

  const std::string& spki_der() const;
  std::string ToPem() const;

  // The 32 bytes of an Ed25519 or X25519 key; empty for another type.
  const std::string& raw() const;
  const std::string& ed25519_raw() const { return raw(); }

  // Lower-case hexadecimal SHA-256 of spki_der().
  std::string Fingerprint() const;

  // OK when this type and size of key is what `algorithm` needs; else InvalidArgument, saying both.
  absl::Status Check(Algorithm algorithm) const;

  // The algorithm that a key of this type signs digests by when nothing else is said: P-256 with
  // SHA-256, P-384 with SHA-384, Ed25519ph, PKCS#1 v1.5 of the key's size.
  // InvalidArgument for X25519 and odd RSA sizes.
  absl::StatusOr<Algorithm> DefaultAlgorithm() const;

  // Whether `signature` is one over `message`, hashed as `algorithm` needs. An error means that the
  // question has no answer: the key does not fit the algorithm.
  absl::StatusOr<bool> VerifyMessage(Algorithm algorithm, absl::string_view message,
                                     absl::string_view signature) const;

  // Whether `signature` is one over a message with this digest. Errors as above, and
  // InvalidArgument for a digest of the wrong length or for kEd25519, which signs no digests.
  absl::StatusOr<bool> VerifyDigest(Algorithm algorithm, absl::string_view digest,
                                    absl::string_view signature) const;

  // Whether `signature` is an RSA PKCS#1 v1.5 one over `message` with this hash, whatever the key's
  // size: others' certificates are signed so, with hashes that no Algorithm has. InvalidArgument
  // for another type of key, or kNone.
  absl::StatusOr<bool> VerifyRsaPkcs1(DigestAlgorithm hash, absl::string_view message,
                                      absl::string_view signature) const;

  friend bool operator==(const PublicKey& a, const PublicKey& b) {
    return a.spki_der() == b.spki_der();
  }

 private:
  struct Impl;

  explicit PublicKey(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  std::shared_ptr<const Impl> impl_;
};

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_PUBLIC_KEY_H_
