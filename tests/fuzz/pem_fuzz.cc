#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/pki/pem.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace pki = countersign::pki;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  (void)pki::DerFromDerOrPem(input, "CERTIFICATE REQUEST");
  const auto blocks = pki::ParsePem(input);
  if (!blocks.ok()) return 0;
  std::string text;
  for (const pki::PemBlock& block : *blocks) {
    Holds(!block.label.empty() && !block.der.empty(), "a block has a label and contents");
    const std::string one = pki::FormatPem(block.label, block.der);
    const auto der = pki::DerFromDerOrPem(one, block.label);
    Holds(der.ok() && *der == block.der, "one block is taken by its label");
    text += one;
  }
  const auto again = pki::ParsePem(text);
  Holds(again.ok() && again->size() == blocks->size(), "blocks read back");
  for (size_t i = 0; i < blocks->size(); ++i) {
    Holds((*again)[i].label == (*blocks)[i].label && (*again)[i].der == (*blocks)[i].der,
          "blocks are what they were");
  }
  return 0;
}
