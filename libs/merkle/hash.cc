#include "libs/merkle/hash.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "libs/base/bytes.h"
#include "libs/base/status_macros.h"
#include "libs/crypto/digest.h"
#include "libs/merkle/sha256_kernels.h"

namespace countersign::merkle {

Hash EmptyRoot() { return crypto::Sha256(""); }

Hash LeafHash(absl::string_view entry) {
  return crypto::Sha256Parts({absl::string_view("\0", 1), entry});
}

Hash NodeHash(const Hash& left, const Hash& right) {
  const std::array<Hash, 2> children = {left, right};
  Hash hash;
#if defined(__x86_64__)
  if (internal::HasShaNi()) {
    internal::NodesShaNi(children[0].data(), 1, hash.data());
    return hash;
  }
#endif
  internal::NodesPortable(children[0].data(), 1, hash.data());
  return hash;
}

absl::StatusOr<Hash> ToHash(absl::string_view bytes) {
  if (bytes.size() != kHashSize) {
    return absl::InvalidArgumentError(
        absl::StrCat("a hash has ", kHashSize, " bytes, not ", bytes.size()));
  }
  Hash hash;
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

std::string EncodeHash(const Hash& hash) { return base::Base64Encode(base::AsBytes(hash)); }

absl::StatusOr<Hash> DecodeHash(absl::string_view base64) {
  ASSIGN_OR_RETURN(const std::string bytes, base::Base64Decode(base64));
  return ToHash(bytes);
}

}  // namespace countersign::merkle
