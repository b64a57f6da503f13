#include "libs/crypto/rsa_checks.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "libs/crypto/openssl_util.h"
#include "openssl/bn.h"

namespace countersign::crypto {
namespace {

constexpr uint32_t kPrimesBelow = 1 << 16;
constexpr int kFermatRounds = 100;
// The odd primes up to here are those of the published fingerprint.
constexpr uint32_t kLastRocaPrime = 167;
constexpr uint32_t kRocaGenerator = 65537;

// The modulus in 64-bit limbs, the least significant first.
std::vector<uint64_t> Limbs(absl::string_view modulus) {
  std::vector<uint64_t> limbs((modulus.size() + 7) / 8, 0);
  for (size_t i = 0; i < modulus.size(); ++i) {
    const size_t from_end = modulus.size() - 1 - i;
    limbs[from_end / 8] |= uint64_t{static_cast<uint8_t>(modulus[i])} << (8 * (from_end % 8));
  }
  return limbs;
}

std::vector<uint32_t> OddPrimes() {
  std::vector<bool> composite(kPrimesBelow, false);
  std::vector<uint32_t> primes;
  for (uint32_t n = 3; n < kPrimesBelow; n += 2) {
    if (composite[n]) continue;
    primes.push_back(n);
    for (uint64_t multiple = uint64_t{n} * n; multiple < kPrimesBelow; multiple += 2 * n) {
      composite[multiple] = true;
    }
  }
  return primes;
}

// Odd primes whose product is below 2^63, so that one pass over a modulus tests them all.
struct PrimeGroup {
  uint64_t product = 1;
  uint64_t negated_inverse = 0;  // -1/product modulo 2^64
  std::vector<uint32_t> primes;
};

std::vector<PrimeGroup> GroupPrimes() {
  std::vector<PrimeGroup> groups(1);
  for (const uint32_t prime : OddPrimes()) {
    if (groups.back().product > (uint64_t{1} << 63) / prime) groups.emplace_back();
    groups.back().product *= prime;
    groups.back().primes.push_back(prime);
  }
  for (PrimeGroup& group : groups) {
    // Newton's iteration doubles the correct bits; an odd number is its own inverse modulo 8.
    uint64_t inverse = group.product;
    for (int bits = 3; bits < 64; bits *= 2) inverse *= 2 - group.product * inverse;
    group.negated_inverse = -inverse;
  }
  return groups;
}

// Montgomery's reduction, limb by limb, gives the modulus times a power of two modulo the group's
// product: zero modulo one of its primes exactly when the modulus is. Several groups at once, since
// each multiplication waits for the one before it.
bool HasSmallFactor(const std::vector<uint64_t>& limbs) {
  static const std::vector<PrimeGroup>& groups = *new std::vector<PrimeGroup>(GroupPrimes());
  constexpr size_t kAtOnce = 8;
  if (limbs.empty() || (limbs[0] & 1) == 0) return true;
  for (size_t first = 0; first < groups.size(); first += kAtOnce) {
    std::array<uint64_t, kAtOnce> product;
    std::array<uint64_t, kAtOnce> negated_inverse;
    std::array<uint64_t, kAtOnce> reduced{};
    for (size_t i = 0; i < kAtOnce; ++i) {
      const PrimeGroup& group = groups[std::min(first + i, groups.size() - 1)];
      product[i] = group.product;
      negated_inverse[i] = group.negated_inverse;
    }
    for (const uint64_t limb : limbs) {
      for (size_t i = 0; i < kAtOnce; ++i) {
        const unsigned __int128 sum = static_cast<unsigned __int128>(reduced[i]) + limb;
        const uint64_t factor = static_cast<uint64_t>(sum) * negated_inverse[i];
        reduced[i] = static_cast<uint64_t>(
            (sum + static_cast<unsigned __int128>(factor) * product[i]) >> 64);
      }
    }
    for (size_t i = 0; i < kAtOnce && first + i < groups.size(); ++i) {
      for (const uint32_t prime : groups[first + i].primes) {
        if (reduced[i] % prime == 0) return true;
      }
    }
  }
  return false;
}

uint32_t Remainder(const std::vector<uint64_t>& limbs, uint32_t divisor) {
  uint64_t rest = 0;
  for (size_t i = limbs.size(); i-- > 0;) {
    rest = (rest << 32 | limbs[i] >> 32) % divisor;
    rest = (rest << 32 | (limbs[i] & 0xFFFFFFFF)) % divisor;
  }
  return static_cast<uint32_t>(rest);
}

bool IsPrime(uint32_t n) {
  for (uint32_t divisor = 3; divisor * divisor <= n; divisor += 2) {
    if (n % divisor == 0) return false;
  }
  return true;
}

bool HasRocaFingerprint(const std::vector<uint64_t>& limbs) {
  for (uint32_t prime = 3; prime <= kLastRocaPrime; prime += 2) {
    if (!IsPrime(prime)) continue;
    std::bitset<kLastRocaPrime + 1> powers;
    for (uint32_t power = 1; !powers[power]; power = power * (kRocaGenerator % prime) % prime) {
      powers.set(power);
    }
    if (!powers[Remainder(limbs, prime)]) return false;
  }
  return true;
}

template <uint32_t modulus>
bool IsSquareModulo(uint64_t value) {
  constexpr uint32_t squares = [] {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < modulus; ++i) bits |= 1u << (i * i % modulus);
    return bits;
  }();
  return (squares >> (value % modulus) & 1) != 0;
}

// Rules out 99 of 100 numbers that are no squares.
bool MayBeSquare(const BIGNUM* value) {
  const uint64_t rest = BN_mod_word(value, 16 * 9 * 5 * 7 * 11 * 13);
  return IsSquareModulo<16>(rest) && IsSquareModulo<9>(rest) && IsSquareModulo<5>(rest) &&
         IsSquareModulo<7>(rest) && IsSquareModulo<11>(rest) && IsSquareModulo<13>(rest);
}

// The square root of `value`, rounded down, by Newton's method from above. False without memory.
bool SquareRoot(const BIGNUM* value, BIGNUM* root, BN_CTX* context) {
  bssl::UniquePtr<BIGNUM> next(BN_new());
  if (next == nullptr || !BN_one(root) ||
      !BN_lshift(root, root, static_cast<int>(BN_num_bits(value) + 1) / 2)) {
    return false;
  }
  for (;;) {
    if (!BN_div(next.get(), nullptr, value, root, context) ||
        !BN_add(next.get(), next.get(), root) || !BN_rshift1(next.get(), next.get())) {
      return false;
    }
    if (BN_cmp(next.get(), root) >= 0) return true;
    if (BN_copy(root, next.get()) == nullptr) return false;
  }
}

// Fermat: N = a^2 - b^2 = (a+b)(a-b), with `a` from the square root of N upwards.
bool HasClosePrimes(absl::string_view modulus) {
  bssl::UniquePtr<BN_CTX> context(BN_CTX_new());
  bssl::UniquePtr<BIGNUM> n(BN_bin2bn(Bytes(modulus), modulus.size(), nullptr));
  bssl::UniquePtr<BIGNUM> a(BN_new());
  bssl::UniquePtr<BIGNUM> b_squared(BN_new());
  bssl::UniquePtr<BIGNUM> b(BN_new());
  if (context == nullptr || n == nullptr || a == nullptr || b_squared == nullptr || b == nullptr ||
      !SquareRoot(n.get(), a.get(), context.get()) ||
      !BN_sqr(b_squared.get(), a.get(), context.get())) {
    return false;
  }
  if (BN_cmp(b_squared.get(), n.get()) == 0) return true;
  if (!BN_add_word(a.get(), 1) || !BN_sqr(b_squared.get(), a.get(), context.get()) ||
      !BN_sub(b_squared.get(), b_squared.get(), n.get())) {
    return false;
  }
  for (int round = 0; round < kFermatRounds; ++round) {
    if (MayBeSquare(b_squared.get()) &&
        Verdict(BN_sqrt(b.get(), b_squared.get(), context.get()) == 1)) {
      return true;
    }
    // (a+1)^2 = a^2 + 2a + 1.
    if (!BN_add(b_squared.get(), b_squared.get(), a.get()) ||
        !BN_add(b_squared.get(), b_squared.get(), a.get()) || !BN_add_word(b_squared.get(), 1) ||
        !BN_add_word(a.get(), 1)) {
      return false;
    }
  }
  return false;
}

}  // namespace

RsaFlaw FindRsaFlaw(absl::string_view modulus) {
  const std::vector<uint64_t> limbs = Limbs(modulus);
  if (HasSmallFactor(limbs)) return RsaFlaw::kSmallFactor;
  if (HasRocaFingerprint(limbs)) return RsaFlaw::kRoca;
  if (HasClosePrimes(modulus)) return RsaFlaw::kClosePrimes;
  return RsaFlaw::kNone;
}

}  // namespace countersign::crypto
