#include "libs/piv/tlv.h"

#include <cstddef>

namespace countersign::piv {
namespace {

uint8_t Byte(absl::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

// The low five bits of a tag's first byte when its number follows in the next.
constexpr uint8_t kLongTag = 0x1F;

bool ReadTag(absl::string_view* bytes, uint32_t* tag) {
  if (bytes->empty()) return false;
  *tag = Byte(*bytes, 0);
  bytes->remove_prefix(1);
  if ((*tag & kLongTag) != kLongTag) return true;
  // A second byte that announces a third is beyond what PIV has.
  if (bytes->empty() || (Byte(*bytes, 0) & 0x80) != 0) return false;
  *tag = *tag << 8 | Byte(*bytes, 0);
  bytes->remove_prefix(1);
  return true;
}

bool ReadLength(absl::string_view* bytes, size_t* length) {
  if (bytes->empty()) return false;
  const uint8_t first = Byte(*bytes, 0);
  bytes->remove_prefix(1);
  if (first < 0x80) {
    *length = first;
    return true;
  }
  const size_t count = first & 0x7F;
  if (count == 0 || count > 3 || bytes->size() < count) return false;
  *length = 0;
  for (size_t i = 0; i < count; ++i) *length = *length << 8 | Byte(*bytes, i);
  bytes->remove_prefix(count);
  return true;
}

}  // namespace

bool TlvReader::Read(uint32_t* tag, absl::string_view* value) {
  absl::string_view rest = rest_;
  uint32_t read = 0;
  size_t length = 0;
  if (!ReadTag(&rest, &read) || !ReadLength(&rest, &length) || rest.size() < length) return false;
  *tag = read;
  *value = rest.substr(0, length);
  rest_ = rest.substr(length);
  return true;
}

bool TlvReader::Read(uint32_t tag, absl::string_view* value) {
  TlvReader ahead = *this;
  uint32_t read = 0;
  absl::string_view contents;
  if (!ahead.Read(&read, &contents) || read != tag) return false;
  *value = contents;
  *this = ahead;
  return true;
}

void AppendTlv(uint32_t tag, absl::string_view value, std::string* out) {
  if (tag > 0xFF) out->push_back(static_cast<char>(tag >> 8));
  out->push_back(static_cast<char>(tag));
  if (value.size() > 0xFF) {
    out->push_back('\x82');
    out->push_back(static_cast<char>(value.size() >> 8));
  } else if (value.size() > 0x7F) {
    out->push_back('\x81');
  }
  out->push_back(static_cast<char>(value.size()));
  out->append(value.data(), value.size());
}

std::string Tlv(uint32_t tag, absl::string_view value) {
  std::string out;
  AppendTlv(tag, value, &out);
  return out;
}

}  // namespace countersign::piv
