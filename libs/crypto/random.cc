#include "libs/crypto/random.h"

#include "libs/base/bytes.h"
#include "libs/crypto/openssl_util.h"
#include "openssl/mem.h"
#include "openssl/rand.h"

namespace countersign::crypto {

std::string RandomBytes(size_t count) {
  std::string bytes(count, '\0');
  RAND_bytes(MutableBytes(&bytes), bytes.size());
  return bytes;
}

std::string RandomUuid() {
  std::string bytes = RandomBytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  std::string uuid = base::HexEncode(bytes);
  for (size_t dash : {8, 13, 18, 23}) uuid.insert(dash, 1, '-');
  return uuid;
}

bool ConstantTimeEquals(absl::string_view a, absl::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace countersign::crypto
