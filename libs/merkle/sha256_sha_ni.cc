// SHA-256 by the processor's own instructions. They take several cycles each but may overlap, so
// messages are interleaved.
#include "libs/merkle/sha256_kernels.h"

#if defined(__x86_64__)

#include <immintrin.h>

// For these functions alone, so that the rest of the binary runs on every x86-64.
#define COUNTERSIGN_SHA_NI __attribute__((target("sha,sse4.1")))
#define COUNTERSIGN_SHA_NI_INLINE __attribute__((target("sha,sse4.1"), always_inline)) inline

namespace countersign::merkle::internal {
namespace {

constexpr size_t kMostLanes = 4;

// A message's state in the order that the instructions want.
struct State {
  __m128i abef;
  __m128i cdgh;
};

COUNTERSIGN_SHA_NI_INLINE __m128i Load(const void* bytes) {
  return _mm_loadu_si128(static_cast<const __m128i*>(bytes));
}

COUNTERSIGN_SHA_NI_INLINE __m128i SwapBytes(__m128i v) {
  return _mm_shuffle_epi8(v, _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
}

COUNTERSIGN_SHA_NI_INLINE State Start() {
  const uint32_t* h = kInitialState;
  return {_mm_set_epi32(static_cast<int>(h[0]), static_cast<int>(h[1]), static_cast<int>(h[4]),
                        static_cast<int>(h[5])),
          _mm_set_epi32(static_cast<int>(h[2]), static_cast<int>(h[3]), static_cast<int>(h[6]),
                        static_cast<int>(h[7]))};
}

COUNTERSIGN_SHA_NI_INLINE void Finish(const State& state, uint8_t* digest) {
  const __m128i feba = _mm_shuffle_epi32(state.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(state.cdgh, 0xb1);
  const __m128i abcd = _mm_blend_epi16(feba, dchg, 0xf0);
  const __m128i efgh = _mm_alignr_epi8(dchg, feba, 8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(digest), SwapBytes(abcd));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(digest + 16), SwapBytes(efgh));
}

// Takes one block of each message, as its 16 words, into the states. Overwrites the words.
template <size_t kLanes>
COUNTERSIGN_SHA_NI_INLINE void Compress(State (&state)[kLanes], __m128i (&w)[4][kLanes]) {
  State s[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) s[lane] = state[lane];
#pragma GCC unroll 16
  for (size_t i = 0; i < 16; ++i) {
    const __m128i constants = Load(kRoundConstants + 4 * i);
#pragma GCC unroll 4
    for (size_t lane = 0; lane < kLanes; ++lane) {
      __m128i& w0 = w[i % 4][lane];
      if (i >= 4) {
        const __m128i w2 = w[(i + 2) % 4][lane];
        const __m128i w3 = w[(i + 3) % 4][lane];
        const __m128i sigma0 = _mm_sha256msg1_epu32(w0, w[(i + 1) % 4][lane]);
        w0 = _mm_sha256msg2_epu32(_mm_add_epi32(sigma0, _mm_alignr_epi8(w3, w2, 4)), w3);
      }
      const __m128i wk = _mm_add_epi32(w0, constants);
      s[lane].cdgh = _mm_sha256rnds2_epu32(s[lane].cdgh, s[lane].abef, wk);
      s[lane].abef = _mm_sha256rnds2_epu32(s[lane].abef, s[lane].cdgh, _mm_shuffle_epi32(wk, 0x0e));
    }
  }
  for (size_t lane = 0; lane < kLanes; ++lane) {
    state[lane].abef = _mm_add_epi32(state[lane].abef, s[lane].abef);
    state[lane].cdgh = _mm_add_epi32(state[lane].cdgh, s[lane].cdgh);
  }
}

template <size_t kLanes>
COUNTERSIGN_SHA_NI void Nodes(const uint8_t* children, uint8_t* digests) {
  State state[kLanes];
  __m128i w[4][kLanes];
  __m128i last[kLanes];
  for (size_t lane = 0; lane < kLanes; ++lane) {
    state[lane] = Start();
    // The prefix shifts the children by a byte.
    __m128i before = _mm_set1_epi8(kNodePrefix);
    for (size_t i = 0; i < 4; ++i) {
      const __m128i bytes = Load(children + kBlockBytes * lane + 16 * i);
      w[i][lane] = SwapBytes(_mm_alignr_epi8(bytes, before, 15));
      before = bytes;
    }
    last[lane] = _mm_set_epi32(0, 0, 0, children[kBlockBytes * lane + 63] << 24 | 0x00800000);
  }
  Compress(state, w);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    w[0][lane] = last[lane];
    w[1][lane] = w[2][lane] = _mm_setzero_si128();
    w[3][lane] = _mm_set_epi32(kNodeBits, 0, 0, 0);
  }
  Compress(state, w);
  for (size_t lane = 0; lane < kLanes; ++lane) Finish(state[lane], digests + kDigestBytes * lane);
}

// A leaf that is being hashed.
struct Lane {
  State state;
  LeafJob job;
  size_t block = 0;  // the next
  uint8_t scratch[kBlockBytes];
};

// Moves the first kLanes of `lanes` on by a block.
template <size_t kLanes>
COUNTERSIGN_SHA_NI void Advance(Lane* const* lanes) {
  State state[kLanes];
  __m128i w[4][kLanes];
  for (size_t i = 0; i < kLanes; ++i) {
    Lane& lane = *lanes[i];
    state[i] = lane.state;
    const uint8_t* block = lane.job.message.Block(lane.block++, &lane.scratch);
    for (size_t k = 0; k < 4; ++k) w[k][i] = SwapBytes(Load(block + 16 * k));
  }
  Compress(state, w);
  for (size_t i = 0; i < kLanes; ++i) lanes[i]->state = state[i];
}

}  // namespace

bool HasShaNi() { return __builtin_cpu_supports("sha") && __builtin_cpu_supports("sse4.1"); }

COUNTERSIGN_SHA_NI void NodesShaNi(const uint8_t* children, size_t count, uint8_t* digests) {
  // Each step has read its children before it writes, and writes no further than it has read.
  for (; count >= 4; count -= 4, children += 4 * kBlockBytes, digests += 4 * kDigestBytes) {
    Nodes<4>(children, digests);
  }
  for (; count >= 2; count -= 2, children += 2 * kBlockBytes, digests += 2 * kDigestBytes) {
    Nodes<2>(children, digests);
  }
  if (count != 0) Nodes<1>(children, digests);
}

COUNTERSIGN_SHA_NI void LeavesShaNi(const LeafJob* jobs, size_t count) {
  Lane storage[kMostLanes];
  Lane* lanes[kMostLanes];
  size_t active = 0;
  const LeafJob* const end = jobs + count;
  const auto begin = [&](Lane* lane) COUNTERSIGN_SHA_NI {
    lane->state = Start();
    lane->job = *jobs++;
    lane->block = 0;
  };
  for (; active < kMostLanes && jobs != end; ++active) {
    lanes[active] = &storage[active];
    begin(lanes[active]);
  }
  while (active != 0) {
    size_t at = 0;
    for (; active - at >= 4; at += 4) Advance<4>(lanes + at);
    for (; active - at >= 2; at += 2) Advance<2>(lanes + at);
    if (active != at) Advance<1>(lanes + at);
    // A lane whose leaf is done takes the next one, or leaves the row.
    for (size_t i = 0; i < active;) {
      Lane* const lane = lanes[i];
      if (lane->block != lane->job.message.blocks()) {
        ++i;
        continue;
      }
      Finish(lane->state, lane->job.digest);
      if (jobs != end) {
        begin(lane);
        ++i;
      } else {
        lanes[i] = lanes[--active];
      }
    }
  }
}

}  // namespace countersign::merkle::internal

#endif  // defined(__x86_64__)
