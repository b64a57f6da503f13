#include <cstddef>
#include <cstdint>
#include <string>

#include "libs/note/checkpoint.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace note = countersign::note;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (const auto parsed = note::ParseCheckpoint(input); parsed.ok()) {
    Holds(note::FormatCheckpoint(*parsed) == input, "a checkpoint has one text");
    Holds(!parsed->origin.empty(), "a checkpoint has an origin");
    Holds(parsed->size <= INT64_MAX, "a size fits a signed number");
  }
  if (const auto parsed = note::ParseSignedCheckpoint(input); parsed.ok()) {
    Holds(absl::string_view(input).substr(0, parsed->origin.size()) == parsed->origin,
          "a signed checkpoint begins with its origin");
  }
  return 0;
}
