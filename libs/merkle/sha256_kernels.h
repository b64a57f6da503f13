// SHA-256 (FIPS 180-4) of several messages side by side, in the shapes of an RFC 6962 tree.
//
// What the functions of hash.h and hash_many.h are made of; use those. Thread-safe, no allocation.
#ifndef COUNTERSIGN_LIBS_MERKLE_SHA256_KERNELS_H_
#define COUNTERSIGN_LIBS_MERKLE_SHA256_KERNELS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"

namespace countersign::merkle::internal {

inline constexpr size_t kBlockBytes = 64;
inline constexpr size_t kDigestBytes = 32;

inline constexpr uint32_t kInitialState[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                              0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

alignas(64) inline constexpr uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

inline constexpr uint8_t kLeafPrefix = 0x00;

// A node's message: 0x01 and two hashes, 65 bytes. Its second block is the last byte of the right
// hash, the padding, and this length.
inline constexpr uint8_t kNodePrefix = 0x01;
inline constexpr uint32_t kNodeBits = (1 + 2 * kDigestBytes) * 8;

// A leaf's message, 0x00 and the entry, cut into blocks and padded. The prefix shifts the entry, so
// that block i > 0 begins at its byte 64 * i - 1.
class LeafMessage {
 public:
  LeafMessage() = default;
  explicit LeafMessage(absl::string_view entry) : entry_(entry) {}

  absl::string_view entry() const { return entry_; }

  // The prefix, the padding's first byte and the length's eight are in them too.
  size_t blocks() const { return (entry_.size() + 10 + kBlockBytes - 1) / kBlockBytes; }

  // Block `i`, in the entry where it stands there as it is, else put together in `*scratch`.
  const uint8_t* Block(size_t i, uint8_t (*scratch)[kBlockBytes]) const {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(entry_.data());
    const size_t begin = i * kBlockBytes;
    const size_t message_bytes = 1 + entry_.size();
    if (i > 0 && begin + kBlockBytes <= message_bytes) return bytes + begin - 1;
    uint8_t* const block = *scratch;
    size_t filled = 0;
    if (i == 0) block[filled++] = kLeafPrefix;
    if (begin + filled < message_bytes) {
      const size_t count = std::min(message_bytes - begin, kBlockBytes) - filled;
      std::memcpy(block + filled, bytes + begin + filled - 1, count);
      filled += count;
    }
    if (filled == kBlockBytes) return block;
    std::memset(block + filled, 0, kBlockBytes - filled);
    if (begin + filled == message_bytes) block[filled] = 0x80;
    if (i + 1 == blocks()) {
      const uint64_t bits = uint64_t{message_bytes} * 8;
      for (int k = 0; k < 8; ++k) block[kBlockBytes - 1 - k] = static_cast<uint8_t>(bits >> 8 * k);
    }
    return block;
  }

 private:
  absl::string_view entry_;
};

// What a kernel hashes into where: a leaf's message, and 32 bytes for its digest.
struct LeafJob {
  LeafMessage message;
  uint8_t* digest = nullptr;
};

// Any number of nodes: number i has its two children at children + 64 * i and its digest at
// digests + 32 * i, which may be the same memory. Any number of leaves, of any lengths.
// One after the other, by libs/crypto.
void NodesPortable(const uint8_t* children, size_t count, uint8_t* digests);
void LeavesPortable(const LeafJob* jobs, size_t count);

#if defined(__x86_64__)

// Whether this processor, and the operating system on it, run the kernels below.
bool HasShaNi();
bool HasAvx512();

// The same by SHA-NI, up to four interleaved.
void NodesShaNi(const uint8_t* children, size_t count, uint8_t* digests);
void LeavesShaNi(const LeafJob* jobs, size_t count);

// By AVX-512, side by side: exactly 16 nodes, or 16 leaves of the same number of blocks.
inline constexpr size_t kAvx512Lanes = 16;
void NodesAvx512(const uint8_t* children, uint8_t* digests);
void LeavesAvx512(const LeafJob* jobs);

#endif  // defined(__x86_64__)

}  // namespace countersign::merkle::internal

#endif  // COUNTERSIGN_LIBS_MERKLE_SHA256_KERNELS_H_
