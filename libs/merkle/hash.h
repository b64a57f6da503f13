// The hashes of an RFC 6962 Merkle tree (section 2.1), over SHA-256.
//
// Pure functions, safe to use from any thread. NodeHash does not allocate.
#ifndef COUNTERSIGN_LIBS_MERKLE_HASH_H_
#define COUNTERSIGN_LIBS_MERKLE_HASH_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::merkle {

inline constexpr size_t kHashSize = 32;

using Hash = std::array<uint8_t, kHashSize>;

// The root of the tree without leaves: SHA-256 of nothing.
Hash EmptyRoot();

// SHA-256(0x00 || entry).
Hash LeafHash(absl::string_view entry);

// SHA-256(0x01 || left || right).
Hash NodeHash(const Hash& left, const Hash& right);

// Raw bytes as a hash. InvalidArgument unless there are 32 of them.
absl::StatusOr<Hash> ToHash(absl::string_view bytes);

// The one base64 text of a hash (RFC 4648 section 4, 44 characters), and its strict inverse.
std::string EncodeHash(const Hash& hash);
absl::StatusOr<Hash> DecodeHash(absl::string_view base64);

}  // namespace countersign::merkle

#endif  // COUNTERSIGN_LIBS_MERKLE_HASH_H_
