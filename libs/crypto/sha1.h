// SHA-1 (FIPS 180-4), for identifiers that RFC 6960 fixes, not for security.
#ifndef COUNTERSIGN_LIBS_CRYPTO_SHA1_H_
#define COUNTERSIGN_LIBS_CRYPTO_SHA1_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace countersign::crypto {

// Pure, safe to use from any thread.
std::array<uint8_t, 20> Sha1(absl::string_view data);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_SHA1_H_
