// Randomness from the system's generator, and comparison that does not tell where bytes differ.
//
// Safe to use from any thread. A system without randomness ends the process.
#ifndef COUNTERSIGN_LIBS_CRYPTO_RANDOM_H_
#define COUNTERSIGN_LIBS_CRYPTO_RANDOM_H_

#include <cstddef>
#include <string>

#include "absl/strings/string_view.h"

namespace countersign::crypto {

// `count` bytes fit for keys and nonces.
std::string RandomBytes(size_t count);

// A random UUID (RFC 9562 version 4) in lower case, "9f1b…-….".
std::string RandomUuid();

// Equal length and bytes; the time taken depends on the lengths alone.
bool ConstantTimeEquals(absl::string_view a, absl::string_view b);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_RANDOM_H_
