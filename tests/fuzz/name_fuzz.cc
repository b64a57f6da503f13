#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/pki/name.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace pki = countersign::pki;

namespace {

void CheckName(const pki::Name& name) {
  const std::string der = pki::EncodeName(name);
  const auto read = pki::ParseName(der);
  Holds(read.ok(), "an encoded name parses");
  Holds(pki::EncodeName(*read) == der, "a name has one encoding of ours");
  Holds(pki::SameName(name, *read), "it is the same name");
  Holds(pki::IsBelow(name, name) && pki::IsBelow(name, {}), "a name is below itself and nothing");
  const auto again = pki::ParseNameText(pki::FormatName(*read));
  if (pki::CheckBounds(name).ok()) {
    Holds(again.ok() && *again == *read, "a name reads back from its text");
  } else {
    Holds(!again.ok(), "a text keeps to the bounds");
  }
}

}  // namespace

// As DER and as text.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto name = pki::ParseName(input); name.ok()) {
    const auto read = pki::ParseName(pki::EncodeName(*name));
    // Of RDNs with several attributes the order can change with the string types.
    Holds(read.ok() && pki::SameName(*name, *read), "a name survives our string types");
    CheckName(*name);
  }
  if (const auto name = pki::ParseNameText(input); name.ok()) {
    Holds(pki::CheckBounds(*name).ok(), "a text keeps to the bounds");
    CheckName(*name);
  }
  return 0;
}
