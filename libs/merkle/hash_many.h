// Many hashes of an RFC 6962 tree at once: several SHA-256 side by side, by the widest instructions
// that the processor has, chosen once at run time.
//
// Pure functions, safe to use from any thread. They allocate nothing.
#ifndef COUNTERSIGN_LIBS_MERKLE_HASH_MANY_H_
#define COUNTERSIGN_LIBS_MERKLE_HASH_MANY_H_

#include <cstddef>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "libs/merkle/hash.h"

namespace countersign::merkle {

// hashes[i] = LeafHash(entries[i]). Fastest for entries of about equal length; any mix is hashed.
void LeafHashes(absl::Span<const absl::string_view> entries, Hash* hashes);

// hashes[i] = NodeHash(children[2 * i], children[2 * i + 1]), for i below `count`. `hashes` may be
// `children`, so that a level of a tree becomes the one above in place; else they lie apart.
void NodeHashes(const Hash* children, size_t count, Hash* hashes);

// The ways to do it, each of which gives the same hashes.
enum class HashKernel {
  kPortable,     // one after the other
  kShaNi,        // up to four interleaved
  kAvx512,       // 16 at once; what is too little for that, as kPortable
  kAvx512ShaNi,  // 16 at once; what is too little for that, as kShaNi
};

// Those that this processor runs, the one in use last.
std::vector<HashKernel> HashKernels();

// "portable", "sha-ni", "avx512", "avx512+sha-ni".
absl::string_view HashKernelName(HashKernel kernel);

// The same functions by a chosen kernel, which must be one of HashKernels(): for tests and
// measurements.
void LeafHashes(HashKernel kernel, absl::Span<const absl::string_view> entries, Hash* hashes);
void NodeHashes(HashKernel kernel, const Hash* children, size_t count, Hash* hashes);

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_HASH_MANY_H_
