// SHA-256 of 16 messages at once: lane i of every vector belongs to message i.
#include "libs/merkle/sha256_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

// GCC 12 takes the undefined vectors in its own header for a mistake of ours.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

// For these functions alone, so that the rest of the binary runs on every x86-64.
#define COUNTERSIGN_AVX512 __attribute__((target("avx512f,avx512bw")))
#define COUNTERSIGN_AVX512_INLINE __attribute__((target("avx512f,avx512bw"), always_inline)) inline

namespace countersign::merkle::internal {
namespace {

constexpr size_t kLanes = kAvx512Lanes;
constexpr int kXor = 0x96;       // vpternlog's truth tables
constexpr int kChoose = 0xca;    // FIPS 180-4 Ch
constexpr int kMajority = 0xe8;  // and Maj
constexpr int kAndOr = 0xea;     // (a & b) | c

using Vector = __m512i;

COUNTERSIGN_AVX512_INLINE Vector Add(Vector a, Vector b) { return _mm512_add_epi32(a, b); }

COUNTERSIGN_AVX512_INLINE Vector Xor(Vector a, Vector b, Vector c) {
  return _mm512_ternarylogic_epi32(a, b, c, kXor);
}

COUNTERSIGN_AVX512_INLINE Vector Broadcast(uint32_t value) {
  return _mm512_set1_epi32(static_cast<int>(value));
}

// The bytes of every 32-bit word in the other order.
COUNTERSIGN_AVX512_INLINE Vector SwapBytes(Vector v) {
  return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4,
                                                                    5, 6, 7, 0, 1, 2, 3)));
}

// Word j of row i becomes word i of row j.
COUNTERSIGN_AVX512_INLINE void Transpose(Vector (&rows)[kLanes]) {
  Vector t[kLanes];
  for (size_t i = 0; i < kLanes; i += 2) {
    t[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (size_t i = 0; i < kLanes; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // Quarter q of rows[4 * g + c] now holds word 4 * q + c of rows 4 * g to 4 * g + 3.
  for (size_t c = 0; c < 4; ++c) {
    const Vector even_low = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0x88);
    const Vector even_high = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0x88);
    const Vector odd_low = _mm512_shuffle_i32x4(rows[c], rows[4 + c], 0xdd);
    const Vector odd_high = _mm512_shuffle_i32x4(rows[8 + c], rows[12 + c], 0xdd);
    t[c] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(even_low, even_high, 0xdd);
    t[12 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xdd);
  }
  for (size_t i = 0; i < kLanes; ++i) rows[i] = t[i];
}

COUNTERSIGN_AVX512_INLINE Vector Schedule(Vector w0, Vector w1, Vector w9, Vector w14) {
  const Vector sigma0 =
      Xor(_mm512_ror_epi32(w1, 7), _mm512_ror_epi32(w1, 18), _mm512_srli_epi32(w1, 3));
  const Vector sigma1 =
      Xor(_mm512_ror_epi32(w14, 17), _mm512_ror_epi32(w14, 19), _mm512_srli_epi32(w14, 10));
  return Add(Add(w0, sigma0), Add(w9, sigma1));
}

COUNTERSIGN_AVX512_INLINE void Start(Vector (&state)[8]) {
  for (size_t i = 0; i < 8; ++i) state[i] = Broadcast(kInitialState[i]);
}

// Takes one block of each message, as its 16 words, into the states. Overwrites the words.
COUNTERSIGN_AVX512_INLINE void Compress(Vector (&state)[8], Vector (&w)[kLanes]) {
  Vector s[8];
  for (size_t i = 0; i < 8; ++i) s[i] = state[i];
    // Unrolled, so that the words and the states keep their registers and change only their names.
#pragma GCC unroll 4
  for (size_t round = 0; round < 64; round += 16) {
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; ++i) {
      if (round != 0) {
        w[i] = Schedule(w[i], w[(i + 1) % 16], w[(i + 9) % 16], w[(i + 14) % 16]);
      }
      const Vector a = s[(0 - i) % 8], b = s[(1 - i) % 8], c = s[(2 - i) % 8];
      const Vector e = s[(4 - i) % 8], f = s[(5 - i) % 8], g = s[(6 - i) % 8];
      Vector& d = s[(3 - i) % 8];
      Vector& h = s[(7 - i) % 8];
      const Vector sum1 =
          Xor(_mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11), _mm512_ror_epi32(e, 25));
      const Vector t1 = Add(Add(h, Add(w[i], Broadcast(kRoundConstants[round + i]))),
                            Add(sum1, _mm512_ternarylogic_epi32(e, f, g, kChoose)));
      const Vector sum0 =
          Xor(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13), _mm512_ror_epi32(a, 22));
      d = Add(d, t1);
      h = Add(t1, Add(sum0, _mm512_ternarylogic_epi32(a, b, c, kMajority)));
    }
  }
  for (size_t i = 0; i < 8; ++i) state[i] = Add(state[i], s[i]);
}

// digests[i] becomes the digest of message i.
COUNTERSIGN_AVX512_INLINE void Finish(const Vector (&state)[8], uint8_t (*digests)[kDigestBytes]) {
  Vector rows[kLanes];
  for (size_t i = 0; i < kLanes; ++i) rows[i] = i < 8 ? state[i] : _mm512_setzero_si512();
  Transpose(rows);
  for (size_t i = 0; i < kLanes; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(digests[i]),
                        _mm512_castsi512_si256(SwapBytes(rows[i])));
  }
}

}  // namespace

bool HasAvx512() { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"); }

COUNTERSIGN_AVX512 void NodesAvx512(const uint8_t* children, uint8_t* digests) {
  Vector state[8];
  Vector w[kLanes];
  Start(state);
  // The first block is the prefix and 63 bytes of the children, so one before them is not loaded.
  const Vector prefix = _mm512_set1_epi8(kNodePrefix);
  for (size_t i = 0; i < kLanes; ++i) {
    w[i] = SwapBytes(_mm512_mask_loadu_epi8(prefix, ~__mmask64{1}, children + kBlockBytes * i - 1));
  }
  Transpose(w);
  Compress(state, w);
  // The second is their last byte, the padding and the length.
  const Vector offsets =
      _mm512_slli_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 6);
  const Vector last = _mm512_i32gather_epi32(offsets, children + kBlockBytes - 4, 1);
  w[0] = _mm512_ternarylogic_epi32(last, Broadcast(0xff000000), Broadcast(0x00800000), kAndOr);
  for (size_t i = 1; i < 15; ++i) w[i] = _mm512_setzero_si512();
  w[15] = Broadcast(kNodeBits);
  Compress(state, w);
  Finish(state, reinterpret_cast<uint8_t(*)[kDigestBytes]>(digests));
}

COUNTERSIGN_AVX512 void LeavesAvx512(const LeafJob* jobs) {
  alignas(64) uint8_t scratch[kLanes][kBlockBytes];
  Vector state[8];
  Start(state);
  const size_t blocks = jobs[0].message.blocks();
  for (size_t block = 0; block < blocks; ++block) {
    Vector w[kLanes];
    const uint8_t* bytes[kLanes];
    for (size_t i = 0; i < kLanes; ++i) bytes[i] = jobs[i].message.Block(block, &scratch[i]);
    for (size_t i = 0; i < kLanes; ++i) w[i] = SwapBytes(_mm512_loadu_si512(bytes[i]));
    Transpose(w);
    Compress(state, w);
  }
  uint8_t digests[kLanes][kDigestBytes];
  Finish(state, digests);
  for (size_t i = 0; i < kLanes; ++i) std::memcpy(jobs[i].digest, digests[i], kDigestBytes);
}

}  // namespace countersign::merkle::internal

#endif  // defined(__x86_64__)
