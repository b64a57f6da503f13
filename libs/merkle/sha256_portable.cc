#include <array>

#include "absl/strings/string_view.h"
#include "libs/crypto/digest.h"
#include "libs/merkle/sha256_kernels.h"

namespace countersign::merkle::internal {

void NodesPortable(const uint8_t* children, size_t count, uint8_t* digests) {
  for (; count > 0; --count, children += 2 * kDigestBytes, digests += kDigestBytes) {
    uint8_t message[1 + 2 * kDigestBytes];
    message[0] = kNodePrefix;
    std::memcpy(message + 1, children, 2 * kDigestBytes);
    crypto::Sha256Raw(message, sizeof(message), digests);
  }
}

void LeavesPortable(const LeafJob* jobs, size_t count) {
  constexpr char prefix = kLeafPrefix;
  for (const LeafJob* job = jobs; job != jobs + count; ++job) {
    const std::array<uint8_t, kDigestBytes> digest =
        crypto::Sha256Parts({absl::string_view(&prefix, 1), job->message.entry()});
    std::copy(digest.begin(), digest.end(), job->digest);
  }
}

}  // namespace countersign::merkle::internal
