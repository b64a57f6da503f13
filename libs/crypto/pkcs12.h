// PKCS#12 (RFC 7292): a private key and its certificates in one file, under a passphrase.
//
// Pure functions but for randomness, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_PKCS12_H_
#define COUNTERSIGN_LIBS_CRYPTO_PKCS12_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

struct Pkcs12 {
  // For messages: P-256 with SHA-256, P-384 with SHA-384, Ed25519, PKCS#1 v1.5 of its size.
  PrivateKey key;
  std::string certificate;          // DER, of the key
  std::vector<std::string> others;  // DER, in the file's order
  std::string friendly_name;        // UTF-8, of the key's certificate; empty when there is none
};

// A hostile file can ask for as many rounds of key derivation as it likes; a million take about a
// second.
inline constexpr uint64_t kMaxPkcs12Iterations = 1'000'000;

// Opens a file with one private key of a kind that PrivateKey knows. PBES2 with AES and the older
// schemes are read; their MAC is checked. InvalidArgument when it is not DER (some programs write
// BER: `openssl pkcs12` reads those and writes DER), the passphrase is wrong or not UTF-8, a
// derivation has more than `max_iterations`, or the key or its certificate is missing.
absl::StatusOr<Pkcs12> ParsePkcs12(absl::string_view der, const SecretBytes& passphrase,
                                   uint64_t max_iterations = kMaxPkcs12Iterations);

// A file with `key`, its `certificate` and `others`, all in DER. Key and certificates are encrypted
// with AES-256 (PBES2, PBKDF2 with HMAC-SHA-256) and the whole is authenticated with HMAC-SHA-256,
// as OpenSSL 3 writes it too; this takes about 0.1 s. InvalidArgument when
// `certificate` is not the key's, or name or passphrase are not UTF-8 of the basic plane.
absl::StatusOr<std::string> BuildPkcs12(const PrivateKey& key, absl::string_view certificate,
                                        const std::vector<std::string>& others,
                                        absl::string_view friendly_name,
                                        const SecretBytes& passphrase);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_PKCS12_H_
