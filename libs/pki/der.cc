#include "libs/pki/der.h"

namespace countersign::pki {
namespace {

// Splits the first element off `in`. False unless its header is DER and its contents are there.
bool Split(absl::string_view in, uint8_t* tag, size_t* header, size_t* length) {
  if (in.size() < 2) return false;
  *tag = static_cast<uint8_t>(in[0]);
  if ((*tag & 0x1F) == 0x1F) return false;
  *length = static_cast<uint8_t>(in[1]);
  *header = 2;
  if (*length >= 0x80) {
    const size_t count = *length - 0x80;
    if (count == 0 || count > 4 || in.size() < 2 + count) return false;
    *length = 0;
    for (size_t i = 0; i < count; ++i) *length = *length << 8 | static_cast<uint8_t>(in[2 + i]);
    if (*length < 0x80 || *length >> (8 * (count - 1)) == 0) return false;
    *header += count;
  }
  return in.size() - *header >= *length;
}

bool ShortestInteger(absl::string_view contents) {
  if (contents.empty()) return false;
  if (contents.size() == 1) return true;
  const uint8_t first = static_cast<uint8_t>(contents[0]);
  const bool second_is_high = (static_cast<uint8_t>(contents[1]) & 0x80) != 0;
  return !(first == 0x00 && !second_is_high) && !(first == 0xFF && second_is_high);
}

}  // namespace

bool DerReader::ReadAny(uint8_t* tag, absl::string_view* contents, absl::string_view* element) {
  size_t header;
  size_t length;
  if (!Split(rest_, tag, &header, &length)) return false;
  *contents = rest_.substr(header, length);
  if (element != nullptr) *element = rest_.substr(0, header + length);
  rest_.remove_prefix(header + length);
  return true;
}

bool DerReader::Read(uint8_t tag, absl::string_view* contents) {
  uint8_t found;
  return PeekTag() == tag && ReadAny(&found, contents);
}

bool DerReader::Read(uint8_t tag, DerReader* contents) {
  absl::string_view bytes;
  if (!Read(tag, &bytes)) return false;
  *contents = DerReader(bytes);
  return true;
}

bool DerReader::ReadElement(uint8_t tag, absl::string_view* element) {
  uint8_t found;
  absl::string_view contents;
  return PeekTag() == tag && ReadAny(&found, &contents, element);
}

bool DerReader::ReadOptional(uint8_t tag, absl::string_view* contents, bool* present) {
  *present = PeekTag() == tag && !empty();
  return !*present || Read(tag, contents);
}

bool DerReader::ReadUnsigned(absl::string_view* magnitude) {
  DerReader at = *this;
  absl::string_view contents;
  if (!at.Read(kInteger, &contents) || !ShortestInteger(contents)) return false;
  if ((static_cast<uint8_t>(contents[0]) & 0x80) != 0) return false;
  if (contents[0] == 0 && contents.size() > 1) contents.remove_prefix(1);
  *magnitude = contents;
  *this = at;
  return true;
}

bool DerReader::ReadInt64(int64_t* value) {
  DerReader at = *this;
  absl::string_view contents;
  if (!at.Read(kInteger, &contents) || !ShortestInteger(contents) || contents.size() > 8) {
    return false;
  }
  uint64_t bits = (static_cast<uint8_t>(contents[0]) & 0x80) != 0 ? ~uint64_t{0} : 0;
  for (const char c : contents) bits = bits << 8 | static_cast<uint8_t>(c);
  *value = static_cast<int64_t>(bits);
  *this = at;
  return true;
}

bool DerReader::ReadBoolean(bool* value) {
  DerReader at = *this;
  absl::string_view contents;
  if (!at.Read(kBoolean, &contents) || contents.size() != 1) return false;
  const uint8_t byte = static_cast<uint8_t>(contents[0]);
  if (byte != 0x00 && byte != 0xFF) return false;
  *value = byte != 0;
  *this = at;
  return true;
}

bool DerReader::ReadBitStringBytes(absl::string_view* bytes) {
  DerReader at = *this;
  absl::string_view contents;
  if (!at.Read(kBitString, &contents) || contents.empty() || contents[0] != 0) return false;
  *bytes = contents.substr(1);
  *this = at;
  return true;
}

size_t DerHeaderSize(size_t size) {
  size_t header = 2;
  if (size >= 0x80) {
    for (size_t left = size; left != 0; left >>= 8) ++header;
  }
  return header;
}

void AppendDerHeader(uint8_t tag, size_t size, std::string* out) {
  out->push_back(static_cast<char>(tag));
  if (size < 0x80) {
    out->push_back(static_cast<char>(size));
    return;
  }
  const size_t count = DerHeaderSize(size) - 2;
  out->push_back(static_cast<char>(0x80 | count));
  for (size_t i = count; i > 0; --i) out->push_back(static_cast<char>(size >> (8 * (i - 1))));
}

void DerWriter::Add(uint8_t tag, absl::string_view contents) {
  AppendDerHeader(tag, contents.size(), &out_);
  AddRaw(contents);
}

void DerWriter::AddNull() { Add(kNull, ""); }

void DerWriter::AddBoolean(bool value) {
  const char byte = value ? '\xFF' : '\x00';
  Add(kBoolean, absl::string_view(&byte, 1));
}

void DerWriter::AddInt64(int64_t value, uint8_t tag) {
  char bytes[8];
  for (int i = 0; i < 8; ++i)
    bytes[i] = static_cast<char>(static_cast<uint64_t>(value) >> (56 - 8 * i));
  absl::string_view contents(bytes, 8);
  while (!ShortestInteger(contents)) contents.remove_prefix(1);
  Add(tag, contents);
}

void DerWriter::AddUnsigned(absl::string_view magnitude) {
  while (magnitude.size() > 1 && magnitude[0] == 0) magnitude.remove_prefix(1);
  const bool sign = magnitude.empty() || (static_cast<uint8_t>(magnitude[0]) & 0x80) != 0;
  AppendDerHeader(kInteger, magnitude.size() + (sign ? 1 : 0), &out_);
  if (sign) out_.push_back('\0');
  AddRaw(magnitude);
}

void DerWriter::AddBitStringBytes(absl::string_view bytes) {
  AppendDerHeader(kBitString, bytes.size() + 1, &out_);
  out_.push_back('\0');
  AddRaw(bytes);
}

// Begin leaves one byte for the length: most elements need no more, and End moves nothing then.
size_t DerWriter::Begin(uint8_t tag) {
  out_.push_back(static_cast<char>(tag));
  out_.push_back('\0');
  return out_.size();
}

void DerWriter::End(size_t begun) {
  const size_t size = out_.size() - begun;
  if (size < 0x80) {
    out_[begun - 1] = static_cast<char>(size);
    return;
  }
  const size_t count = DerHeaderSize(size) - 2;
  out_[begun - 1] = static_cast<char>(0x80 | count);
  out_.insert(begun, count, '\0');
  for (size_t i = 0; i < count; ++i) {
    out_[begun + i] = static_cast<char>(size >> (8 * (count - 1 - i)));
  }
}

}  // namespace countersign::pki
