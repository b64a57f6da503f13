// Text encodings of bytes, and big-endian framing.
//
// Everything here is a pure function or a value type, safe to use from any thread.
#ifndef COUNTERSIGN_LIBS_BASE_BYTES_H_
#define COUNTERSIGN_LIBS_BASE_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::base {

// Lower-case hexadecimal, two digits a byte.
std::string HexEncode(absl::string_view bytes);

// The bytes of `hex`, upper or lower case. InvalidArgument for an odd length or another character.
absl::StatusOr<std::string> HexDecode(absl::string_view hex);

// RFC 4648 section 4: standard alphabet, padded.
std::string Base64Encode(absl::string_view bytes);

// Strict inverse of Base64Encode: InvalidArgument for white space, missing padding, another
// alphabet or non-zero bits behind the last byte, so that each value has one encoding.
absl::StatusOr<std::string> Base64Decode(absl::string_view text);

// Append `value` to `*out` in big-endian order.
void AppendU16(std::string* out, uint16_t value);
void AppendU32(std::string* out, uint32_t value);
void AppendU64(std::string* out, uint64_t value);

// A byte array (a hash, say) as bytes.
template <typename Array>
absl::string_view AsBytes(const Array& array) {
  return absl::string_view(reinterpret_cast<const char*>(array.data()), array.size());
}

// Reads big-endian fields from the front of a buffer that outlives it. Each Read returns false, and
// leaves the reader where it was, when the buffer holds too little.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  bool ReadU8(uint8_t* value);
  bool ReadU16(uint16_t* value);
  bool ReadU32(uint32_t* value);
  bool ReadU64(uint64_t* value);
  bool ReadBytes(size_t count, absl::string_view* bytes);

  // What is not read yet.
  absl::string_view rest() const { return rest_; }
  bool empty() const { return rest_.empty(); }

 private:
  bool ReadInteger(size_t width, uint64_t* value);

  absl::string_view rest_;
};

}  // namespace countersign::base

#endif  // COUNTERSIGN_LIBS_BASE_BYTES_H_
