#include <cstddef>
#include <cstdint>

#include "libs/bundle/hashedrekord.h"
#include "libs/bundle/jcs.h"
#include "tests/fuzz/property.h"

using countersign::fuzz::Holds;
namespace bundle = countersign::bundle;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  const auto parsed = bundle::ParseHashedRekord(input);
  if (!parsed.ok()) return 0;
  Holds(*bundle::FormatHashedRekord(*parsed) == input, "an entry has one text");
  Holds(*bundle::CanonicalizeJson(input) == input, "and that is canonical JSON");
  // Whatever the key is: an answer or an error, no crash.
  (void)bundle::CheckSignature(*parsed).ok();
  return 0;
}
