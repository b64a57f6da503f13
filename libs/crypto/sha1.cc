#include "libs/crypto/sha1.h"

#include "libs/crypto/openssl_util.h"
#include "openssl/sha.h"

namespace countersign::crypto {

std::array<uint8_t, 20> Sha1(absl::string_view data) {
  std::array<uint8_t, 20> digest;
  SHA1(Bytes(data), data.size(), digest.data());
  return digest;
}

}  // namespace countersign::crypto
