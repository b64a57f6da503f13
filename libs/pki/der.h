// Strict DER (X.690 section 10): reading without copying, writing into a string.
//
// Tags are single bytes: universal, constructed and context-specific ones up to number 30.
// Readers are values over bytes that outlive them; a Read that fails leaves the reader where it
// was.
#ifndef COUNTERSIGN_LIBS_PKI_DER_H_
#define COUNTERSIGN_LIBS_PKI_DER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"

namespace countersign::pki {

enum DerTag : uint8_t {
  kBoolean = 0x01,
  kInteger = 0x02,
  kBitString = 0x03,
  kOctetString = 0x04,
  kNull = 0x05,
  kOid = 0x06,
  kEnumerated = 0x0A,
  kUtf8String = 0x0C,
  kPrintableString = 0x13,
  kTeletexString = 0x14,
  kIa5String = 0x16,
  kUtcTime = 0x17,
  kGeneralizedTime = 0x18,
  kBmpString = 0x1E,
  kSequence = 0x30,
  kSet = 0x31,
};

// [n] IMPLICIT of a primitive type, and [n] EXPLICIT or IMPLICIT of a constructed one.
constexpr uint8_t ContextTag(int n) { return static_cast<uint8_t>(0x80 | n); }
constexpr uint8_t ContextConstructed(int n) { return static_cast<uint8_t>(0xA0 | n); }

class DerReader {
 public:
  explicit DerReader(absl::string_view der = {}) : rest_(der) {}

  bool empty() const { return rest_.empty(); }
  absl::string_view rest() const { return rest_; }
  // The next element's tag; 0 when there is none.
  uint8_t PeekTag() const { return rest_.empty() ? 0 : static_cast<uint8_t>(rest_[0]); }

  // One element with this tag: its contents, or (ReadElement) with its header. False for another
  // tag, a length that is not the shortest, is indefinite, or reaches beyond the end.
  bool Read(uint8_t tag, absl::string_view* contents);
  bool Read(uint8_t tag, DerReader* contents);
  bool ReadElement(uint8_t tag, absl::string_view* element);
  // One element of whatever tag.
  bool ReadAny(uint8_t* tag, absl::string_view* contents, absl::string_view* element = nullptr);
  // As Read, when the next tag is `tag`; `*present` says whether it was. False for a bad element.
  bool ReadOptional(uint8_t tag, absl::string_view* contents, bool* present);

  // A non-negative INTEGER in its shortest form, without the sign's zero byte; empty never: zero is
  // one zero byte.
  bool ReadUnsigned(absl::string_view* magnitude);
  // An INTEGER that fits.
  bool ReadInt64(int64_t* value);
  // A BOOLEAN: 0x00 or 0xFF.
  bool ReadBoolean(bool* value);
  // A BIT STRING without unused bits: its bytes.
  bool ReadBitStringBytes(absl::string_view* bytes);

 private:
  absl::string_view rest_;
};

// Appends to a string that it owns. Begin and End nest; lengths are filled in at End.
class DerWriter {
 public:
  DerWriter() = default;
  // With room for so many bytes.
  explicit DerWriter(size_t size) { out_.reserve(size); }

  void Add(uint8_t tag, absl::string_view contents);
  // A whole element, header included.
  void AddRaw(absl::string_view element) { out_.append(element.data(), element.size()); }
  void AddNull();
  void AddBoolean(bool value);
  void AddInt64(int64_t value, uint8_t tag = kInteger);
  // An INTEGER from a big-endian magnitude; leading zeros are dropped.
  void AddUnsigned(absl::string_view magnitude);
  // A BIT STRING of whole bytes.
  void AddBitStringBytes(absl::string_view bytes);

  // Everything added until the matching End is the element's contents.
  size_t Begin(uint8_t tag);
  void End(size_t begun);

  const std::string& der() const { return out_; }
  std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

// Appends tag and length of an element with `size` bytes of contents.
void AppendDerHeader(uint8_t tag, size_t size, std::string* out);
// How many bytes such a header has.
size_t DerHeaderSize(size_t size);

}  // namespace countersign::pki

#endif  // COUNTERSIGN_LIBS_PKI_DER_H_
