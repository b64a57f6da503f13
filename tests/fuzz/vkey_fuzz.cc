#include <cstddef>
#include <cstdint>

#include "libs/note/key.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace note = countersign::note;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = note::ParseVkey(input);
  if (!parsed.ok()) return 0;
  Holds(parsed->vkey() == input, "a verifier key has one text");
  Holds(note::IsValidKeyName(parsed->name()), "a verifier key has a valid name");
  Holds(!parsed->Verify(input, input), "a key verifies no noise");
  return 0;
}
