// BER-TLV as PIV data objects and commands use it (ISO/IEC 7816-4 section 5.2.2): tags of one or
// two bytes, definite lengths of up to three.
//
// Pure functions, safe to use from any thread. Readers are values over bytes that outlive them.
#ifndef COUNTERSIGN_LIBS_PIV_TLV_H_
#define COUNTERSIGN_LIBS_PIV_TLV_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace countersign::piv {

class TlvReader {
 public:
  explicit TlvReader(absl::string_view bytes = {}) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  absl::string_view rest() const { return rest_; }

  // The next element, whatever its tag (0x53, 0x7F49, 0x5FC1…: two bytes when the low five bits of
  // the first are ones). False, leaving the reader where it was, for what is cut short. Lengths
  // need not be the shortest: cards pad them.
  bool Read(uint32_t* tag, absl::string_view* value);
  // As above, for one tag: false for another too.
  bool Read(uint32_t tag, absl::string_view* value);

 private:
  absl::string_view rest_;
};

// Appends tag, shortest length and value. Values are below 65,536 bytes.
void AppendTlv(uint32_t tag, absl::string_view value, std::string* out);
std::string Tlv(uint32_t tag, absl::string_view value);

}  // namespace countersign::piv

#endif  // COUNTERSIGN_LIBS_PIV_TLV_H_
