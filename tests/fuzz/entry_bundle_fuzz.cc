#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/merkle/tile.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace merkle = countersign::merkle;

// The first byte is the number of entries expected.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const absl::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto parsed = merkle::ParseBundle(input, data[0]);
  if (!parsed.ok()) return 0;
  Holds(parsed->size() == data[0], "a bundle holds what was expected");
  std::string bundle;
  for (absl::string_view entry : *parsed) {
    Holds(merkle::AppendToBundle(entry, &bundle).ok(), "an entry read can be written");
  }
  Holds(bundle == input, "a bundle has one form");
  return 0;
}
