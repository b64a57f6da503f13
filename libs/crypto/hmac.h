// HMAC-SHA256 (RFC 2104).
//
// Safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_CRYPTO_HMAC_H_
#define COUNTERSIGN_LIBS_CRYPTO_HMAC_H_

#include <string>

#include "absl/strings/string_view.h"
#include "libs/crypto/secret.h"

namespace countersign::crypto {

// The 32-byte code of `message` under `key`, of any length.
std::string HmacSha256(const SecretBytes& key, absl::string_view message);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_HMAC_H_
