#include "libs/crypto/hmac.h"

#include "libs/crypto/openssl_util.h"
#include "openssl/hmac.h"
#include "openssl/sha.h"

namespace countersign::crypto {

std::string HmacSha256(const SecretBytes& key, absl::string_view message) {
  const absl::string_view bytes = key.Expose(SecretAccess::Grant());
  std::string code(SHA256_DIGEST_LENGTH, '\0');
  unsigned int size = 0;
  HMAC(EVP_sha256(), bytes.data(), bytes.size(), Bytes(message), message.size(),
       MutableBytes(&code), &size);
  return code;
}

}  // namespace countersign::crypto
