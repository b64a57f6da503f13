// What ACME signs its requests with (RFC 8555 section 6.2; RFC 7515, 7517, 7638).
//
// Pure functions, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_ACME_JWS_H_
#define COUNTERSIGN_LIBS_ACME_JWS_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "libs/crypto/private_key.h"
#include "libs/crypto/secret.h"

namespace countersign::acme {

// RFC 4648 section 5 without padding.
std::string Base64Url(absl::string_view bytes);

// The JWK of a P-256 key, its members in the order that the thumbprint needs, without spaces.
// InvalidArgument for another kind of key.
absl::StatusOr<std::string> Jwk(const crypto::PublicKey& key);
// Base64url of the JWK's SHA-256 thumbprint (RFC 7638).
absl::StatusOr<std::string> JwkThumbprint(const crypto::PublicKey& key);

// A flattened JWS (RFC 7515 section 7.2.2) of `payload` by ES256. The protected header has the
// key's JWK, or `key_id` when it is not empty, and `nonce` unless that is empty.
absl::StatusOr<std::string> SignEs256(const crypto::PrivateKey& key, absl::string_view key_id,
                                      absl::string_view nonce, absl::string_view url,
                                      absl::string_view payload);

// The external account binding of `account_key` (RFC 8555 section 7.3.4), by HS256.
absl::StatusOr<std::string> BindExternalAccount(const crypto::PublicKey& account_key,
                                                absl::string_view key_id,
                                                const crypto::SecretBytes& mac_key,
                                                absl::string_view url);

}  // namespace countersign::acme

#endif  // COUNTERSIGN_LIBS_ACME_JWS_H_
