#include "libs/bundle/certificate.h"

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"

namespace countersign::bundle {
namespace {

constexpr uint8_t kSequence = 0x30;
constexpr uint8_t kInteger = 0x02;
constexpr uint8_t kVersion = 0xA0;

// Takes one DER element with this tag off the front of `*in`. `element` gets all of it, `contents`
// what its header announces. False, with `*in` as it was, for another tag or a length that is not
// DER or not there.
bool TakeElement(absl::string_view* in, uint8_t tag, absl::string_view* element,
                 absl::string_view* contents) {
  if (in->size() < 2 || static_cast<uint8_t>((*in)[0]) != tag) return false;
  size_t length = static_cast<uint8_t>((*in)[1]);
  size_t header = 2;
  if (length >= 0x80) {
    const size_t count = length - 0x80;
    if (count == 0 || count > 4 || in->size() < 2 + count) return false;
    length = 0;
    for (size_t i = 0; i < count; ++i) length = length << 8 | static_cast<uint8_t>((*in)[2 + i]);
    if (length < 0x80 || length >> (8 * (count - 1)) == 0) return false;
    header += count;
  }
  if (in->size() - header < length) return false;
  *element = in->substr(0, header + length);
  *contents = element->substr(header);
  in->remove_prefix(element->size());
  return true;
}

}  // namespace

absl::StatusOr<std::string> CertificateSpki(absl::string_view der) {
  absl::string_view element;
  absl::string_view certificate;
  absl::string_view tbs;
  const bool outline = TakeElement(&der, kSequence, &element, &certificate) && der.empty() &&
                       TakeElement(&certificate, kSequence, &element, &tbs);
  if (!outline) return absl::InvalidArgumentError("this is not the DER of an X.509 certificate");
  absl::string_view ignored;
  TakeElement(&tbs, kVersion, &element, &ignored);  // absent in version 1
  if (!TakeElement(&tbs, kInteger, &element, &ignored)) {
    return absl::InvalidArgumentError("the certificate has no serial number");
  }
  // signature, issuer, validity, subject; then the key.
  for (int i = 0; i < 5; ++i) {
    if (!TakeElement(&tbs, kSequence, &element, &ignored)) {
      return absl::InvalidArgumentError("the certificate ends before its public key");
    }
  }
  return std::string(element);
}

}  // namespace countersign::bundle
