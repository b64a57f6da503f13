#include "libs/runtime/request_id.h"

#include <algorithm>
#include <cstdint>
#include <random>

#include "absl/strings/ascii.h"

namespace countersign::runtime {

std::string NewRequestId() {
  thread_local std::mt19937_64 engine = [] {
    std::random_device device;
    std::seed_seq seed{device(), device(), device(), device(), device(), device()};
    return std::mt19937_64(seed);
  }();
  const uint64_t high = (engine() & ~uint64_t{0xf000}) | 0x4000;
  const uint64_t low = (engine() & ~(uint64_t{3} << 62)) | (uint64_t{1} << 63);
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id(36, '-');
  size_t at = 0;
  for (int nibble = 0; nibble < 32; ++nibble) {
    if (at == 8 || at == 13 || at == 18 || at == 23) ++at;
    const uint64_t word = nibble < 16 ? high : low;
    id[at++] = kDigits[(word >> (60 - 4 * (nibble % 16))) & 0xf];
  }
  return id;
}

bool ValidRequestId(absl::string_view id) {
  return !id.empty() && id.size() <= 128 && std::all_of(id.begin(), id.end(), [](unsigned char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.' || c == ':';
  });
}

}  // namespace countersign::runtime
