// Finding RSA moduli that can be factored, from the modulus alone.
#ifndef COUNTERSIGN_LIBS_CRYPTO_RSA_CHECKS_H_
#define COUNTERSIGN_LIBS_CRYPTO_RSA_CHECKS_H_

#include "absl/strings/string_view.h"

namespace countersign::crypto {

enum class RsaFlaw {
  kNone,
  kSmallFactor,  // a prime below 65,536 divides it
  kRoca,         // of the form that Infineon's library made (CVE-2017-15361)
  kClosePrimes,  // Fermat's method finds its two factors within 100 rounds
};

// The first of these flaws that `modulus` has, a big-endian number. About 0.1 ms for 2048 bits.
// Pure, safe to use from any thread; not in constant time, since a modulus is public.
//
// ROCA is told by its fingerprint: both primes are a power of 65537 modulo the product of the first
// primes, and so is their product modulo each of these primes. About one of 2^28 other moduli has
// it too.
RsaFlaw FindRsaFlaw(absl::string_view modulus);

}  // namespace countersign::crypto

#endif  // COUNTERSIGN_LIBS_CRYPTO_RSA_CHECKS_H_
