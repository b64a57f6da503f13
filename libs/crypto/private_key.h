// Private keys: generation, PKCS#8, signing.
#ifndef COUNTERSIGN_LIBS_CRYPTO_PRIVATE_KEY_H_
#define COUNTERSIGN_LIBS_CRYPTO_PRIVATE_KEY_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/public_key.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// A private key and the algorithm it is for. Moves, never copies; wiped when it ends.
// Const methods are thread-safe.
class PrivateKey {
 public:
  // A fresh key. RSA takes from 0.1 to a few seconds; the others microseconds.
  static absl::StatusOr<PrivateKey> Generate(Algorithm algorithm);

  // An unencrypted PrivateKeyInfo (RFC 5958, version 1) in DER. InvalidArgument when it does not
  // parse, is inconsistent or does not fit `algorithm`.
  static absl::StatusOr<PrivateKey> FromPkcs8(const SecretBytes& der, Algorithm algorithm);

  // A kEd25519 key from the 32-byte private key of RFC 8032 section 5.1.5.
  static absl::StatusOr<PrivateKey> FromEd25519Seed(const SecretBytes& seed);

  ~PrivateKey();
  PrivateKey(PrivateKey&&) noexcept;
  PrivateKey& operator=(PrivateKey&&) noexcept;

  absl::StatusOr<SecretBytes> ToPkcs8() const;

  Algorithm algorithm() const;
  const PublicKey& public_key() const;

  // The signature over `message`, hashed as the algorithm needs. ECDSA in ASN.1 DER (RFC 3279
  // section 2.2.3), RSA as long as the modulus, Ed25519 64 bytes. FailedPrecondition for
  // kHpkeX25519.
  absl::StatusOr<std::string> SignMessage(absl::string_view message) const;

  // As SignMessage, over a digest of DigestFor(algorithm()); a kEd25519 key makes an Ed25519ph
  // signature (empty context) over a SHA-512 digest. InvalidArgument for another length.
  absl::StatusOr<std::string> SignDigest(absl::string_view digest) const;

 private:
  friend class X25519Secret;
  struct Impl;

  explicit PrivateKey(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

// What an algorithm's SignDigest takes: DigestFor, or SHA-512 for kEd25519 (then Ed25519ph).
DigestAlgorithm SignedDigest(Algorithm algorithm);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_PRIVATE_KEY_H_
