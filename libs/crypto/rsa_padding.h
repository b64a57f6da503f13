// RSA encodings for keys that only exponentiate: those on cards (RFC 8017).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_RSA_PADDING_H_
#define COUNTERSIGN_LIBS_CRYPTO_RSA_PADDING_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/algorithm.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// The encoded message for an RSA algorithm over a digest of its hash, as long as the modulus:
// EMSA-PKCS1-v1_5 (section 9.2), or EMSA-PSS (section 9.1.1) with a random salt. InvalidArgument
// for another algorithm or a digest of the wrong length.
absl::StatusOr<std::string> EncodeForSigning(Algorithm algorithm, absl::string_view digest);

enum class RsaEncryption { kPkcs1, kOaepSha256 };

// The message in a decrypted block (sections 7.1.2 step 3 and 7.2.2 step 3); OAEP with an empty
// label and MGF1 of the same hash. In constant time but for whether it succeeds. InvalidArgument,
// never saying why, when the padding is wrong.
absl::StatusOr<SecretBytes> DecodeDecrypted(RsaEncryption encryption, const SecretBytes& block);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_RSA_PADDING_H_
