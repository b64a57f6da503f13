#include "libs/base/bytes.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace countersign::base {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void AppendInteger(std::string* out, uint64_t value, int width) {
  for (int shift = (width - 1) * 8; shift >= 0; shift -= 8) {
    out->push_back(static_cast<char>((value >> shift) & 0xff));
  }
}

}  // namespace

std::string HexEncode(absl::string_view bytes) { return absl::BytesToHexString(bytes); }

absl::StatusOr<std::string> HexDecode(absl::string_view hex) {
  if (hex.size() % 2 != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("hexadecimal text has an odd length, ", hex.size()));
  }
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexDigit(hex[i]);
    const int low = HexDigit(hex[i + 1]);
    if (high < 0 || low < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("not a hexadecimal digit at position ", high < 0 ? i : i + 1));
    }
    bytes.push_back(static_cast<char>(high << 4 | low));
  }
  return bytes;
}

std::string Base64Encode(absl::string_view bytes) { return absl::Base64Escape(bytes); }

absl::StatusOr<std::string> Base64Decode(absl::string_view text) {
  std::string bytes;
  // Abseil's decoder is lenient (white space, missing padding, '.' for '='); encoding again and
  // comparing admits the canonical form alone.
  if (text.size() % 4 != 0 || !absl::Base64Unescape(text, &bytes) ||
      absl::Base64Escape(bytes) != text) {
    return absl::InvalidArgumentError("not canonical base64 (RFC 4648 section 4, padded)");
  }
  return bytes;
}

void AppendU16(std::string* out, uint16_t value) { AppendInteger(out, value, 2); }
void AppendU32(std::string* out, uint32_t value) { AppendInteger(out, value, 4); }
void AppendU64(std::string* out, uint64_t value) { AppendInteger(out, value, 8); }

bool ByteReader::ReadInteger(size_t width, uint64_t* value) {
  if (rest_.size() < width) return false;
  *value = 0;
  for (size_t i = 0; i < width; ++i) {
    *value = *value << 8 | static_cast<uint8_t>(rest_[i]);
  }
  rest_.remove_prefix(width);
  return true;
}

bool ByteReader::ReadU8(uint8_t* value) {
  uint64_t wide;
  if (!ReadInteger(1, &wide)) return false;
  *value = static_cast<uint8_t>(wide);
  return true;
}

bool ByteReader::ReadU16(uint16_t* value) {
  uint64_t wide;
  if (!ReadInteger(2, &wide)) return false;
  *value = static_cast<uint16_t>(wide);
  return true;
}

bool ByteReader::ReadU32(uint32_t* value) {
  uint64_t wide;
  if (!ReadInteger(4, &wide)) return false;
  *value = static_cast<uint32_t>(wide);
  return true;
}

bool ByteReader::ReadU64(uint64_t* value) { return ReadInteger(8, value); }

bool ByteReader::ReadBytes(size_t count, absl::string_view* bytes) {
  if (rest_.size() < count) return false;
  *bytes = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return true;
}

}  // namespace countersign::base
