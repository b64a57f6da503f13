#include "libs/crypto/ed25519ph.h"

#include <cstddef>
#include <cstring>
#include <initializer_list>

#include "openssl/curve25519.h"
#include "openssl/mem.h"
#include "openssl/sha.h"
// After openssl/curve25519.h, which declares what it uses.
#include "src/crypto/curve25519/internal.h"

namespace countersign::crypto {
namespace {

// dom2(1, "") of RFC 8032 section 2: the prefix, the pre-hash flag, the context's length.
constexpr uint8_t kDom2[] = {'S', 'i', 'g', 'E', 'd', '2', '5', '5', '1', '9', ' ', 'n',
                             'o', ' ', 'E', 'd', '2', '5', '5', '1', '9', ' ', 'c', 'o',
                             'l', 'l', 'i', 's', 'i', 'o', 'n', 's', 1,   0};

// The group's order, in little-endian limbs.
constexpr uint64_t kOrder[4] = {0x5812631a5cf5d3ed, 0x14def9dea2f79cd6, 0, 0x1000000000000000};

struct Part {
  const uint8_t* data;
  size_t size;
};

// SHA-512 of dom2 and `parts`, as a scalar below the order in out[0, 32).
void HashToScalar(std::initializer_list<Part> parts, uint8_t out[64]) {
  SHA512_CTX context;
  SHA512_Init(&context);
  SHA512_Update(&context, kDom2, sizeof(kDom2));
  for (const Part& part : parts) SHA512_Update(&context, part.data, part.size);
  SHA512_Final(out, &context);
  OPENSSL_cleanse(&context, sizeof(context));
  x25519_sc_reduce(out);
}

void Encode(const ge_p3& point, uint8_t out[32]) {
  ge_p2 projective = {point.X, point.Y, point.Z};
  x25519_ge_tobytes(out, &projective);
}

void LoadLimbs(const uint8_t bytes[32], uint64_t limbs[4]) {
  std::memcpy(limbs, bytes, 32);  // x86-64 and AArch64, where we run, are little-endian
}

// out = (a * b + c) mod L. The only branches and indices are on loop counters.
void MultiplyAdd(const uint8_t a[32], const uint8_t b[32], const uint8_t c[32], uint8_t out[32]) {
  uint64_t x[4], y[4], z[4];
  LoadLimbs(a, x);
  LoadLimbs(b, y);
  LoadLimbs(c, z);
  uint64_t sum[8] = {z[0], z[1], z[2], z[3], 0, 0, 0, 0};
  for (int i = 0; i < 4; ++i) {
    uint64_t carry = 0;
    for (int j = 0; j < 4; ++j) {
      const unsigned __int128 t = static_cast<unsigned __int128>(x[i]) * y[j] + sum[i + j] + carry;
      sum[i + j] = static_cast<uint64_t>(t);
      carry = static_cast<uint64_t>(t >> 64);
    }
    sum[i + 4] = carry;
  }
  uint8_t wide[64];
  std::memcpy(wide, sum, sizeof(wide));
  x25519_sc_reduce(wide);
  std::memcpy(out, wide, 32);
  for (void* secret : {static_cast<void*>(x), static_cast<void*>(y), static_cast<void*>(z)}) {
    OPENSSL_cleanse(secret, 32);
  }
  OPENSSL_cleanse(sum, sizeof(sum));
  OPENSSL_cleanse(wide, sizeof(wide));
}

bool BelowOrder(const uint8_t scalar[32]) {
  uint64_t limbs[4];
  LoadLimbs(scalar, limbs);
  for (int i = 3; i >= 0; --i) {
    if (limbs[i] != kOrder[i]) return limbs[i] < kOrder[i];
  }
  return false;
}

}  // namespace

void Ed25519phSign(const uint8_t key[64], const uint8_t digest[64], uint8_t signature[64]) {
  const uint8_t* const public_key = key + 32;
  uint8_t expanded[64];  // the scalar, then the nonce prefix
  SHA512(key, 32, expanded);
  expanded[0] &= 248;
  expanded[31] &= 127;
  expanded[31] |= 64;

  uint8_t nonce[64];
  HashToScalar({{expanded + 32, 32}, {digest, 64}}, nonce);
  ge_p3 r;
  x25519_ge_scalarmult_base(&r, nonce);
  Encode(r, signature);

  uint8_t challenge[64];
  HashToScalar({{signature, 32}, {public_key, 32}, {digest, 64}}, challenge);
  MultiplyAdd(challenge, expanded, nonce, signature + 32);

  OPENSSL_cleanse(expanded, sizeof(expanded));
  OPENSSL_cleanse(nonce, sizeof(nonce));
  OPENSSL_cleanse(&r, sizeof(r));
}

bool Ed25519phVerify(const uint8_t public_key[32], const uint8_t digest[64],
                     const uint8_t signature[64]) {
  ge_p3 a;
  if (!BelowOrder(signature + 32) || !x25519_ge_frombytes_vartime(&a, public_key)) return false;

  uint8_t challenge[64];
  HashToScalar({{signature, 32}, {public_key, 32}, {digest, 64}}, challenge);

  // R = S*B - k*A. k*A goes through its encoding to become a point that can be subtracted.
  ge_p2 product;
  x25519_ge_scalarmult(&product, challenge, &a);
  uint8_t encoded[32];
  x25519_ge_tobytes(encoded, &product);
  ge_p3 ka;
  if (!x25519_ge_frombytes_vartime(&ka, encoded)) return false;

  ge_p3 sb;
  x25519_ge_scalarmult_base(&sb, signature + 32);
  ge_cached subtrahend;
  x25519_ge_p3_to_cached(&subtrahend, &ka);
  ge_p1p1 difference;
  x25519_ge_sub(&difference, &sb, &subtrahend);
  ge_p2 r;
  x25519_ge_p1p1_to_p2(&r, &difference);
  x25519_ge_tobytes(encoded, &r);
  return CRYPTO_memcmp(encoded, signature, 32) == 0;
}

}  // namespace countersign::crypto
